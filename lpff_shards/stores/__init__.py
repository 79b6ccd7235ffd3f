"""Where exports lie and sources come from: folders, and prefixes of buckets, seen alike."""
