"""JSON tables of the sources: objects by id, decoded record by record so that errors name the id."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import camera, landmarks
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.io.blobs import MAX_JSON_BYTES
from lpff_shards.sources.io.tree import read_whole

T = TypeVar("T")
Fault = tuple[str, str]
"""A file, and the rule that a record in it violates."""
Sized = tuple[NDArray[np.floating], tuple[int, int]]
"""Landmarks, and width and height of their picture, 0 for the picture itself."""

TWICE = "the id is in the file twice"
# Created once: creating a decoder costs more than reading a record with it.
_NUMBERS = msgspec.json.Decoder(list[float | None])
_PAIRS = msgspec.json.Decoder(list[tuple[float | None, float | None]])
_NONE = (0.0,) * CAMERA_NUMBERS


@dataclass(frozen=True)
class JsonTable:
    """A JSON object by id, its values not yet decoded.

    Attributes:
        where: the file.
        rows: id to raw JSON.
        twice: ids that are in the object more than once.
    """

    where: str
    rows: dict[str, msgspec.Raw]
    twice: frozenset[str] = frozenset()

    def get(self, id: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        """Return the decoded value of an id, or None if the table lacks it.

        Raises:
            ValueError: the value is of another type, or the id is repeated; the text is the reason.
        """
        raw = self.rows.get(id)
        if raw is None:
            return None
        if id in self.twice:
            raise ValueError(TWICE)
        return decode_record(raw, decoder)


NO_TABLE = JsonTable("", {})
"""The table of a missing file."""
ReadCredit = Callable[[JsonTable, str], Credit]
"""Returns an id's credit from a table that may contain its record."""


def decode_record(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a record; raise a ValueError with the reason if it is of another type."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its record cannot be read: {error}") from None


def decode_file(blob: Blob, decode: Callable[[bytes], T], expected: str) -> T:
    """Decode a JSON file, also with Python's extensions of JSON.

    Args:
        decode: method of a decoder; expected: the expected contents, for errors.

    Raises:
        ShardsError: it is not JSON, is truncated, or contains something else.
    """
    data = read_whole(blob, MAX_JSON_BYTES).removeprefix(_BYTE_ORDER_MARK)
    try:
        try:
            return decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if (repaired := as_json(data)) is data:
                raise
            return decode(repaired)
    except msgspec.ValidationError as error:
        message = f"{blob.where} does not contain {expected}: {error}"
        raise ShardsError(message, "Check that it is the published file") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShardsError(f"{blob.where} is not valid JSON: {error}", "Download it again") from None


def read_table(blob: Blob, expected: str) -> JsonTable:
    """Read a JSON object by id, its ids as NFC; raises the errors of `decode_file`."""
    return JsonTable(blob.where, *decode_file(blob, _members, expected))


class _Name(str):
    """A name that msgspec passes to a hook, so that repeated names are detected."""

    __slots__ = ()


def _members(data: bytes) -> tuple[dict[str, msgspec.Raw], frozenset[str]]:
    """Return the members of an object by name, and the repeated names."""
    seen: set[str] = set()
    twice: set[str] = set()

    def note(_: type, given: Any) -> _Name:
        name = nfc(given)
        (twice if name in seen else seen).add(name)
        return _Name(name)

    found = msgspec.json.decode(data, type=dict[_Name, msgspec.Raw], dec_hook=note)
    return {str(name): raw for name, raw in found.items()}, frozenset(twice)


@dataclass(frozen=True)
class CameraFile:
    """A file with the cameras of pictures, for errors and notes.

    Attributes:
        where: the file; count: number of its cameras; unused: of those without a picture.
        faults: row of a picture to the rule that its camera violates.
        picture, such_as: names of the first picture and the first camera, or empty.
    """

    where: str
    count: int
    unused: int = 0
    faults: Mapping[int, str] = field(default_factory=dict)
    picture: str = ""
    such_as: str = ""


@dataclass(frozen=True)
class Cameras:
    """Cameras by the names of pictures.

    Attributes:
        where: their file.
        rows: name to row of `numbers`.
        numbers: float64 [n, 25], zeros where one is invalid.
        faults: name to the rule that its camera violates.
    """

    where: str
    rows: Mapping[str, int]
    numbers: NDArray[np.float64]
    faults: Mapping[str, str]

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each name's camera, int64 [n], -1 for none."""
        return np.fromiter((self.rows.get(name, -1) for name in names), np.int64, len(names))

    def of(self, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_], CameraFile]:
        """Return the cameras of pictures, float64 [n, 25], zeros where unknown; and whether each is known, bool [n]."""
        rows = self.find(names)
        known = rows >= 0
        numbers = np.zeros((len(names), CAMERA_NUMBERS))
        numbers[known] = self.numbers[rows[known]]
        faults = {
            row: self.faults[name] for row, name in enumerate(names if self.faults else ()) if name in self.faults
        }
        unused = len(self.rows) - len(np.unique(rows[known]))
        such_as = next(iter(self.rows), "")
        return numbers, known, CameraFile(self.where, len(self.rows), unused, faults, "".join(names[:1]), such_as)


def read_cameras(table: JsonTable) -> Cameras:
    """Return the cameras of a table."""
    return Cameras(table.where, *parse_cameras(list(table.rows), table.rows.values(), table.twice))


def parse_cameras(
    names: Sequence[str], raws: Iterable[msgspec.Raw], twice: Iterable[str]
) -> tuple[dict[str, int], NDArray[np.float64], dict[str, str]]:
    """Return checked cameras as the fields of `Cameras`; a name in `twice` is a fault."""
    found: list[Sequence[float | None]] = []
    faults: dict[str, str] = {}
    for name, raw in zip(names, raws, strict=True):
        numbers: Sequence[float | None] = _NONE
        try:
            numbers = _NUMBERS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults[name] = f"camera is not a list of numbers: {error}"
        if len(numbers) != CAMERA_NUMBERS:
            faults[name] = f"camera has {len(numbers)} numbers, not {CAMERA_NUMBERS}"
            numbers = _NONE
        found.append(numbers)
    # numpy reads null (None) as NaN, which `camera.faults` refuses.
    read = np.array(found, np.float64).reshape(-1, CAMERA_NUMBERS)
    for row, reason in camera.faults(read).items():
        faults.setdefault(names[row], reason)
    return {name: row for row, name in enumerate(names)}, read, faults | dict.fromkeys(twice, TWICE)


@dataclass(frozen=True, eq=False)
class PicturePoints:
    """Landmarks in the order of a source's pictures.

    Attributes:
        numbers: float32 or float64 [m, 68, 2]; `rows` (int64 [n]): the row of each picture, -1 for none.
        sizes: int32 [m, 2], of the pictures of the landmarks, 0 for the picture itself.
        faults: row of a picture to the file and the rule that its landmarks violate.
        where: the file, or empty.
    """

    numbers: NDArray[np.floating]
    rows: NDArray[np.int64]
    sizes: NDArray[np.int32]
    faults: Mapping[int, Fault]
    where: str


def decode_points(raw: msgspec.Raw, exact: bool = False) -> NDArray[np.floating]:
    """Return the 68 landmarks of a record, float32 [68, 2], or float64 if they are to be exact.

    Raises:
        ValueError: they are not 68 pairs of finite numbers; the text is the reason.
    """
    pairs = decode_record(raw, _PAIRS)
    precision: type[np.floating] = np.float64 if exact else np.float32
    # numpy reads null (None) as NaN and too large a number as infinity; the check below refuses both.
    with np.errstate(over="ignore"):
        try:
            points = np.fromiter(chain.from_iterable(pairs), precision).reshape(-1, 2)
        except TypeError:
            # Slower, but accepts null.
            points = np.array(pairs, precision)
    if reason := landmarks.fault(points):
        raise ValueError(reason)
    return points


def join_points(
    table: JsonTable,
    ids: Sequence[str],
    read: Callable[[msgspec.Raw], Sized] | None = None,
    exact: bool = False,
) -> PicturePoints:
    """Return the landmarks of pictures from their table.

    Args:
        read: returns the landmarks of a record that is more than a list; a ValueError is the fault of the picture.
        exact: return them in float64, as crops need them to have the pixels of the published ones.
    """
    most = sum(map(table.rows.__contains__, ids)) if table.rows else 0
    numbers = np.zeros((most, LANDMARKS, 2), np.float64 if exact else np.float32)
    sizes = np.zeros((most, 2), np.int32)
    rows, faults, at = np.full(len(ids), -1), dict[int, Fault](), 0
    for row, id in enumerate(ids if most else ()):
        raw = table.rows.get(id)
        if raw is None:
            continue
        try:
            if id in table.twice:
                raise ValueError(TWICE)
            numbers[at], sizes[at] = read(raw) if read else (decode_points(raw, exact), (0, 0))
        except ValueError as error:
            faults[row] = table.where, str(error)
        else:
            rows[row] = at
            at += 1
    return PicturePoints(numbers[:at], rows, sizes[:at], faults, table.where)


def join_credits(
    table: JsonTable, ids: Sequence[str], read: ReadCredit, hidden: Collection[int] = ()
) -> tuple[Structs[Credit], dict[int, Fault], list[int]]:
    """Read the credits of pictures from their table.

    Args:
        read: returns the credit of an id, also of one without a record; a ValueError is the fault of the picture.
        hidden: rows of pictures whose credit is not needed.

    Returns:
        The credits; row to the fault of its record; and the rows without a record.
    """
    faults: dict[int, Fault] = {}
    missing: list[int] = []

    def found() -> Iterator[Credit]:
        last, credit, fault = None, Credit(), ""
        for row, id in enumerate(ids):
            if id != last:  # a mirror follows its original
                last, credit, fault = id, Credit(), ""
                try:
                    credit = read(table, id)
                except ValueError as error:
                    fault = str(error)
            if fault:
                faults[row] = table.where, fault
            if id not in table.rows:
                missing.append(row)
            yield Credit() if row in hidden else credit

    return Structs.of(found()), faults, missing


# Python's json writes NaN and Infinity, which are not JSON; in strings they are words.
# An unterminated string ends with the bytes, so that each byte is scanned once.
_STRING_OR_NAN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))|-?(?:NaN|Infinity)', re.DOTALL)
# An escape in a string: a pair of surrogates, a lone one (captured), or any other.
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)
# Possible extensions of JSON, see `as_json`.
_BEYOND = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def as_json(data: bytes) -> bytes:
    """Convert Python's extensions to JSON: NaN and infinities become null, lone surrogates U+FFFD.

    Returns:
        The same bytes if they contain no extension.
    """
    if not _BEYOND.search(data):
        return data
    parts: list[bytes] = []
    done = 0
    # Only changed strings are kept: a list of all would take several times the file's size.
    for match in _STRING_OR_NAN.finditer(data):
        found = match[0]
        repaired = _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], found) if match[1] else b"null"
        if repaired != found:
            parts += (data[done : match.start()], repaired)
            done = match.end()
    return b"".join((*parts, data[done:])) if parts else data
