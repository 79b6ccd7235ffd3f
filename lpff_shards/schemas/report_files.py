"""Names of a report's files, so that an export that changes its folder can take away the report of what it was."""

from __future__ import annotations

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
