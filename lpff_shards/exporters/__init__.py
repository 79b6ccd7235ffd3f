"""Writing shards: the formats, the pictures' re-encoding, one shard's life cycle, the processes, the output folder."""
