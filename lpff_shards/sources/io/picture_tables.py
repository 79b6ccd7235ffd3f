"""Tables beside pictures, a row a picture: JSON, JSON lines or CSV, also dataset.json and transforms.json."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.archive import LABELS
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.fields import LARGEST, MOST
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.inventory import Extra
from lpff_shards.sources.io.blobs import MAX_JSON_BYTES
from lpff_shards.sources.io.files import is_picture
from lpff_shards.sources.io.json_files import as_json, decode_file
from lpff_shards.sources.io.tree import read_whole

Row = Mapping[str, Any]
NAMES = ("file_name", "file", "filename", "file_path", "image", "id", "name")
"""Columns that may name a row's picture; the first that a row has does."""
_LISTS = ("frames", "labels")


@dataclass(frozen=True)
class PictureTable:
    """The rows of a file, by the id of their picture.

    Attributes:
        where: the file.
        rows: id to row; ids contain the file's own folder, since names in it are relative.
        twice: ids that several rows have.
        common: the file's values for all of its pictures, such as the camera's focal length.
        naming: the columns that name pictures.
        is_nerf: whether it is NeRF's transforms.json, whose cameras have OpenGL's axes.
    """

    where: str
    rows: Mapping[str, Row]
    twice: frozenset[str] = frozenset()
    common: Row = field(default_factory=dict)
    naming: frozenset[str] = frozenset()
    is_nerf: bool = False


def picture_id(name: str) -> str:
    """Return a picture's id: its path without the suffix of a picture, as NFC."""
    path = posixpath.normpath(name.replace("\\", "/"))
    return nfc(path.rpartition(".")[0] if is_picture(path) else path)


def read_picture_table(blob: Blob, name: str, folder: str, column: str = "camera") -> PictureTable:
    """Read a table.

    Args:
        name: of the file, whose suffix is its format.
        folder: prefix of the pictures' ids: empty, or the file's folder with a slash.
        column: of the values in a JSON file that are no objects; those of dataset.json are labels.

    Raises:
        ShardsError: it cannot be read, or its rows do not name pictures.
    """
    named: Iterable[tuple[str, Row]]
    common: Row = {}
    if name.endswith(".csv"):
        named = _named(blob, _csv_rows(blob))
    elif name.endswith(".jsonl"):
        named = _named(blob, _json_lines(blob))
    else:
        named, common = _json_rows(blob, "label" if name == LABELS else column)
    rows: dict[str, Row] = {}
    twice: set[str] = set()
    for given, row in named:
        id = picture_id(folder + given)
        if id in rows:
            twice.add(id)
        rows[id] = row
    naming = frozenset(column for row in rows.values() if (column := _naming(row)))
    return PictureTable(blob.where, rows, frozenset(twice), common, naming, name.startswith("transforms"))


def column_of(values: Sequence[object], single: bool = True) -> Extra | None:
    """Return a column of the type that all its values have: bool, int64, float64 [n], or texts.

    Missing values (None, NaN and empty texts) are false, 0 or empty. Texts of numbers are numbers, but not those with
    zeros in front, and with `single` not those that a float32 cannot hold. The result is None if a value is a list, an
    object or bytes.
    """
    values = [None if is_missing(value) else value for value in values]
    if any(isinstance(value, list | dict | bytes) for value in values):
        return None
    kinds: tuple[tuple[Callable[[object], float], Any], ...]
    kinds = ((_bool, np.bool_), (_int, np.int64), (partial(_float, single=single), np.float64))
    for parse, kind in kinds if any(value is not None for value in values) else ():
        try:
            found: Any = np.array([0 if value is None else parse(value) for value in values], kind)
        except ValueError:
            continue
        column: Extra = found
        return column
    return Texts.of("" if value is None else str(value) for value in values)


def is_empty(value: object) -> bool:
    """Return whether a cell is empty."""
    return value is None or value == ""


def is_missing(value: object) -> bool:
    """Return whether a cell has no value: it is empty, or NaN as in tables of floats."""
    return is_empty(value) or (isinstance(value, float) and value != value)


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)


def _bool(value: object) -> bool:
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ValueError
    return word == "true"


def _int(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?(?:0|[1-9][0-9]{0,18})", str(value), re.ASCII):
        raise ValueError
    number = int(str(value))
    if not -MOST - 1 <= number <= MOST:
        raise ValueError
    return number


def _float(value: object, single: bool) -> float:
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        raise ValueError
    number = float(str(value))
    # Fields are float32: a large whole number, such as an id, would become another one.
    if single and (not abs(number) <= LARGEST or (number.is_integer() and float(np.float32(number)) != number)):
        raise ValueError
    return number


def _named(blob: Blob, rows: Iterable[object]) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ShardsError(f"{blob.where}: row {number} is not an object with columns", _hint())
        name = row.get(_naming(row))
        if not isinstance(name, str | int):
            raise ShardsError(f"{blob.where}: row {number} does not name its picture", _hint())
        yield str(name), row


def _naming(row: Row) -> str:
    """Return the column that names a row's picture, or an empty text."""
    return next((column for column in NAMES if not is_missing(row.get(column))), "")


def _hint() -> str:
    return f"Give each row the picture's path in a column {', '.join(NAMES[:-1])} or {NAMES[-1]}"


def _csv_rows(blob: Blob) -> Iterator[Row]:
    try:
        text = read_whole(blob, MAX_JSON_BYTES).decode("utf-8-sig")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            if None in row or None in row.values():
                message = f"{blob.where}: the row {next(iter(row.values()))!r} has more or fewer cells than the header"
                raise ShardsError(message, "Quote cells that contain commas")
            yield row
    except UnicodeDecodeError:
        raise ShardsError(f"{blob.where} is not UTF-8 text", "Save it as UTF-8") from None
    except csv.Error as error:
        raise ShardsError(f"{blob.where} is not a CSV table: {error}", "Check the file") from None


def _json_lines(blob: Blob) -> Iterator[object]:
    for number, line in enumerate(read_whole(blob, MAX_JSON_BYTES).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(as_json(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ShardsError(f"{blob.where}: line {number} is not JSON: {error}", "Check the file") from None


def _json_rows(blob: Blob, column: str) -> tuple[Iterable[tuple[str, Row]], Row]:
    """Return the rows of a JSON file with their names, and its common values.

    It is a list of rows, an object with a list of `frames` or `labels`, or an object of rows by name. A row that is
    no object is the value of `column`.
    """
    found = decode_file(blob, msgspec.json.decode, "rows of pictures")
    if isinstance(found, dict):
        listed = next((found[name] for name in _LISTS if isinstance(found.get(name), list)), None)
        if listed is None and not any(found.get(name, 0) is None for name in _LISTS):
            return ((name, row if isinstance(row, dict) else {column: row}) for name, row in found.items()), {}
        common = {name: value for name, value in found.items() if name not in _LISTS}
        pairs = [row for row in listed or () if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)]
        if listed and len(pairs) == len(listed):
            return ((name, {column: value}) for name, value in pairs), common
        return _named(blob, listed or ()), common
    if not isinstance(found, list):
        raise ShardsError(f"{blob.where} contains neither a list nor an object", _hint())
    return _named(blob, found), {}
