"""From inventories to entries: which picture becomes which samples. Pure functions on columns."""
