"""A folder or a bucket's prefix behind one interface: read, list, write whole or not at all, make durable."""
