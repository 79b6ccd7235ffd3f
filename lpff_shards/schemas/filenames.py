"""Names of the files beside the shards: index files, files of the data set, reports."""

from __future__ import annotations

STATE_FOLDER = ".lpff-shards"
"""Our own files in an output folder, by which it is known as one."""
PART = ".part"
"""Suffix of the parts of a file, which are our own and go when the file is whole."""
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

REPORT_FOLDER = "report"
"""Where the report of an export lies in its folder."""
REPORT_PAGE = "index.html"
PLOTS = (
    "poses-by-source",
    "poses-by-replicas",
    "pose-density",
    "yaw",
    "pitch",
    "shard-sizes",
)
"""The plots of a report, PNGs beside its page."""
OLD_PLOTS = ("replicas", "resolutions", "file-sizes", "licenses", "splits", "shard-poses")
"""Plots that the reports of earlier versions had too."""
REPORT_SHEET = "contact-sheet"


def unfinished(name: str) -> str:
    """What a file of a report is called until it is whole."""
    return f".{name}.new"


def report_files() -> tuple[str, ...]:
    """Every file that a report may have left in the folder of an export, by its path in that folder."""
    names = (REPORT_PAGE, *(f"{plot}.png" for plot in (*PLOTS, *OLD_PLOTS, REPORT_SHEET)))
    return tuple(f"{REPORT_FOLDER}/{file}" for name in names for file in (name, unfinished(name)))
