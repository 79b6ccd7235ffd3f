"""Index files that other readers want beside the shards, made from receipts and manifest: no shard is read for them."""
