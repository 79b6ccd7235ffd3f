"""The writer of each format."""

from __future__ import annotations

from lpff_shards.formats.base import Format


def get_format(name: str) -> Format:
    """The format of that name."""
    if name == "wds":
        from lpff_shards.formats.wds import WebDataset

        return WebDataset()
    if name == "zip":
        from lpff_shards.formats.zip import ZipParts

        return ZipParts()
    from lpff_shards.formats.tfrecord import TfRecord

    return TfRecord()
