"""Writing shards: from a task's entries to a shard and its receipt; joining zips; resuming and finishing an export."""
