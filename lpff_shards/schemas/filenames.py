"""Names of the files of an export: shards, index files, files of the data set, reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ZIP = ".zip"
LEDGER = "samples.sqlite"
"""Every sample of an export: where it is, and its fields."""
ATTRIBUTION = ("ATTRIBUTION.csv", "ATTRIBUTION.md")
"""Whose photos they are: a line a picture, and a summary."""
CARD = "README.md"
POSES = "poses.png"
"""The picture of the pose conventions, which the card shows."""
SUMS = "SHA256SUMS"
DALI = "dali"
"""Folder of the indexes of TFRecords: beside the shards their names would match the shards' own patterns."""
FOLDERS = (DALI, ".nv-meta")
"""Folders of index files."""
ENERGON = tuple(f".nv-meta/{name}" for name in (".info.json", "split.yaml", "dataset.yaml", "crude.yaml"))
TFDS = ("dataset_info.json", "features.json")
ONCE = (CARD, POSES, SUMS, LEDGER, *ATTRIBUTION, *ENERGON, *TFDS)
"""Files beside the shards that stand once in a data set, but for the manifest and the indexes of wids."""

SHARD_NAMES: Mapping[str, re.Pattern[str]] = {
    format: re.compile(rf"[a-z][a-z0-9_]*-[a-z][a-z0-9]*{end}")
    for format, end in (
        ("wds", r"-[0-9]{6,}\.tar"),
        ("tfrecord", r"\.tfrecord-[0-9]{5,}-of-[0-9]{5,}"),
        ("zip", r"\.zip"),
    )
}
"""How the shards of each format are called."""


def is_shard_name(name: str) -> bool:
    """Whether an export may have given a name to a shard."""
    return any(pattern.fullmatch(name) for pattern in SHARD_NAMES.values())


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


def beside_names(shards: Iterable[str]) -> set[str]:
    """Names of all files that an export may write beside its shards, but for the manifest."""
    return {*ONCE, *(name for shard in shards for name in (*index_names(shard), wids_name(shard)))}


FOLDER = "report"
"""Where the report of an export lies in its folder."""
PAGE = "index.html"
PLOTS = (
    "poses-by-source",
    "poses-by-replicas",
    "pose-density",
    "yaw",
    "pitch",
    "replicas",
    "resolutions",
    "file-sizes",
    "licences",
    "splits",
    "shard-sizes",
    "shard-poses",
)
SHEET = "contact-sheet"


def unfinished(name: str) -> str:
    """What a file of a report is called until it is whole."""
    return f".{name}.new"


def report_files() -> tuple[str, ...]:
    """Every file that a report may have left in the folder of an export, by its path in that folder."""
    names = (PAGE, *(f"{plot}.png" for plot in (*PLOTS, SHEET)))
    return tuple(f"{FOLDER}/{file}" for name in names for file in (name, unfinished(name)))
