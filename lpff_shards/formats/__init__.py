"""WebDataset, TFRecord and zip: writing and reading samples; their containers, and picture files."""
