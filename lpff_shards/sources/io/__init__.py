"""Read the files of a data set in a folder, zip or bucket, and its JSON tables."""
