"""Names of the files next to the shards: index files, files of the data set, reports."""

from __future__ import annotations

STATE_FOLDER = ".lpff-shards"
"""Folder of internal files; it marks an output folder."""
PART = ".part"
"""Suffix of the parts of an unfinished file; the parts are removed when it is complete."""
SAMPLE_INDEX = "samples.sqlite"
"""Location and fields of every sample of an export."""
ATTRIBUTION = ("ATTRIBUTION.csv", "ATTRIBUTION.md")
"""Authors and licenses: one line per picture, and a summary."""
CARD = "README.md"
POSES = "poses.png"
"""The card's picture of the pose conventions."""
SUMS = "SHA256SUMS"
DALI = "dali"
"""Folder of the indexes of TFRecords: next to the shards their names would match the shards' patterns."""
FOLDERS = (DALI, ".nv-meta")
"""Folders of index files."""
ENERGON = tuple(f".nv-meta/{name}" for name in (".info.json", "split.yaml", "dataset.yaml", "crude.yaml"))
TFDS = ("dataset_info.json", "features.json")
ONCE = (CARD, POSES, SUMS, SAMPLE_INDEX, *ATTRIBUTION, *ENERGON, *TFDS)
"""Files that a data set has once, without the manifest and the indexes of wids."""

REPORT_FOLDER = "report"
"""Folder of the report in an export's folder."""
REPORT_PAGE = "index.html"
PLOTS = (
    "poses-by-source",
    "poses-by-replicas",
    "pose-density",
    "yaw",
    "pitch",
    "shard-sizes",
)
"""The plots of a report, PNGs next to its page."""
OLD_PLOTS = ("replicas", "resolutions", "file-sizes", "licenses", "splits", "shard-poses")
"""Further plots in the reports of earlier versions."""
REPORT_SHEET = "contact-sheet"


def unfinished(name: str) -> str:
    """Return the name of a report's file while it is being written."""
    return f".{name}.new"


def report_files() -> tuple[str, ...]:
    """Return every file that a report may have left in an export's folder, by its path in that folder."""
    names = (REPORT_PAGE, *(f"{plot}.png" for plot in (*PLOTS, *OLD_PLOTS, REPORT_SHEET)))
    return tuple(f"{REPORT_FOLDER}/{file}" for name in names for file in (name, unfinished(name)))
