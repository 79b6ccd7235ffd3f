"""samples.sqlite, also called the ledger: fields and place of every sample of an export; reading it needs no shard."""
