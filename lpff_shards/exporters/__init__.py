"""Writing shards: a task from its entries to a shard and receipt; joining zips; resuming and finishing an export."""
