"""Names of the index files beside a shard, by the shard's name."""

from __future__ import annotations

ZIP = ".zip"
LEDGER = "samples.sqlite"
"""Every sample of an export: where it is, and its fields."""
ATTRIBUTION = ("ATTRIBUTION.csv", "ATTRIBUTION.md")
"""Whose photos they are: a line a picture, and a summary."""
DALI = "dali"
"""Folder of the indexes of TFRecords: beside the shards their names would match the shards' own patterns."""


def index_names(file: str) -> tuple[str, ...]:
    """Names of a shard's index files: of a tar DALI's and Energon's, of a TFRecord DALI's; a zip has its own inside."""
    if file.endswith(ZIP):
        return ()
    if file.endswith(".tar"):
        return f"{file.removesuffix('.tar')}.idx", f"{file}.idx"
    return (f"{DALI}/{file.replace('.tfrecord-', '-')}.idx",)


def wids_name(file: str) -> str:
    """Name of the wids index of the split that a tar belongs to."""
    return f"{file[: file.rfind('-')]}.wids.json"
