"""samples.sqlite, the sample index: fields and place of every sample of an export; reading it needs no shard."""
