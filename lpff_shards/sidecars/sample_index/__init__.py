"""The ledger: what and where every sample of an export is, in one SQLite file that needs no shard to be read."""
