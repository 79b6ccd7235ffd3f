"""Where the files of a data set lie: a folder, a zip, a bucket; and their tables in JSON."""
