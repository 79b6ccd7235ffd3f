"""The reader of each format."""

from __future__ import annotations

from lpff_shards.formats.readers.base import Reader


def get_reader(name: str) -> Reader:
    """The reader of a format."""
    if name == "wds":
        from lpff_shards.formats.readers import wds

        return wds.samples
    if name == "zip":
        from lpff_shards.formats.readers import zip

        return zip.samples
    from lpff_shards.formats.readers import tfrecord

    return tfrecord.samples
