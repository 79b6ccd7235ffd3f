"""ATTRIBUTION.csv: the lines as a table that spreadsheets and scripts read."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from lpff_shards.schemas.escaping import csv_cell
from lpff_shards.sidecars.attribution.lines import Line


def write_table(path: Path, lines: Iterable[Line]) -> None:
    """Writes the lines as CSV (RFC 4180 but for line feeds alone; UTF-8) under a line of their names.

    Cells are as `csv_cell` makes them.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Line.__struct_fields__)
        # By itself the csv of Python below 3.13 leaves a carriage return bare, which ends the line for readers.
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for line in lines:
            row = [csv_cell(cell) if isinstance(cell, str) else cell for cell in structs.astuple(line)]
            (quoted if "\r" in "".join(map(str, row)) else table).writerow(row)
