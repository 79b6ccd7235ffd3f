"""The published layouts, one file each: a folder or a zip becomes an `Inventory` of records."""
