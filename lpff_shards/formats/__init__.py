"""WebDataset, TFRecord and zip: writing and reading samples, and the byte formats that they are made of."""
