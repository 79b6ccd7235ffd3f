"""Files next to the shards: readers' indexes, samples.sqlite, attribution, the card; and the state of an export."""
