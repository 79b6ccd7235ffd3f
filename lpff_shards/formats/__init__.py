"""The formats of shards: writing and reading samples; their containers, and picture files."""
