"""From inventories to a plan: filters, splits, rebalancing, which sample goes into which shard. Nothing is written."""
