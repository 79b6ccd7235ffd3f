"""The writer of each format."""

from __future__ import annotations

from lpff_shards.exporters.base import Format


def get_format(name: str) -> Format:
    """The format of that name."""
    if name == "wds":
        from lpff_shards.exporters.wds import WebDataset

        return WebDataset()
    if name == "zip":
        from lpff_shards.exporters.zip import ZipParts

        return ZipParts()
    from lpff_shards.exporters.tfrecord import TfRecord

    return TfRecord()
