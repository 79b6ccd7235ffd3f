"""Reading shards back, sample by sample, with every check that the format and the schema allow."""
