"""One interface for a folder or a bucket's prefix: read, list, write atomically, make durable."""
