"""The JSON tables of the sources: objects by id, decoded record by record so that errors name the id.

A large table is read in parts: LPFF's info.json of a million records has 600 MB.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import oversize
from lpff_shards.sources.io.tree import read_parts, read_whole

T = TypeVar("T")

TWICE = "the id stands in the file twice"
# A decoder is made once: making it costs more than reading a record with it.
_POINTS = msgspec.json.Decoder(list[tuple[float | None, float | None]])


@dataclass(frozen=True)
class Table:
    """A JSON object by id, its values not yet decoded.

    Attributes:
        where: the file.
        rows: id to raw JSON.
        twice: ids that stand in the object more than once.
    """

    where: str
    rows: dict[str, msgspec.Raw]
    twice: frozenset[str] = frozenset()

    def get(self, id: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        """The decoded value of an id, None where the table lacks it.

        Raises:
            ValueError: the value is not of that type, or the id stands twice; the text is the reason.
        """
        raw = self.rows.get(id)
        if raw is None:
            return None
        if id in self.twice:
            raise ValueError(TWICE)
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"its record cannot be read: {error}") from None


def decode_file(blob: Blob, type: type[T], expected: str) -> T:
    """A whole JSON file as a type.

    Args:
        blob: the file.
        expected: for the error: what the file should hold.

    Raises:
        ShardsError: it is not JSON, is cut short, or holds something else.
    """
    data = read_whole(blob).removeprefix(BYTE_ORDER_MARK)
    try:
        try:
            return msgspec.json.decode(data, type=type)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = as_json(data)
            if mended == data:
                raise
            return msgspec.json.decode(mended, type=type)
    except msgspec.ValidationError as error:
        raise ShardsError(
            f"{blob.where} does not hold {expected}: {error}", "Check that it is the published file"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShardsError(f"{blob.where} is not whole JSON: {error}", "Download it again") from None


def read_table(blob: Blob, expected: str) -> Table:
    """A JSON object by id, whole.

    Raises:
        ShardsError: the file is not JSON or not an object.
    """
    rows: dict[str, msgspec.Raw] = {}
    twice: set[str] = set()
    for part in read_tables(blob, expected):
        twice |= part.twice | (rows.keys() & part.rows.keys())
        rows |= part.rows
    return Table(blob.where, rows, frozenset(twice))


def read_tables(blob: Blob, expected: str) -> Iterator[Table]:
    """A JSON object by id, a part of it at a time, so that a file of any size takes little memory.

    Args:
        blob: the file.
        expected: for the error: what the file should hold.

    Raises:
        ShardsError: the file is not JSON or not an object.
    """
    try:
        for rows, twice in members(read_parts(blob)):
            yield Table(blob.where, rows, twice)
    except NoMembersError as error:
        if reason := str(error) or oversize(blob.size):
            told = f"{blob.where} does not hold {expected}: {reason}"
            raise ShardsError(told, "Check that it is the published file, and whole") from None
        # As a whole it tells where its fault is.
        decode_file(blob, dict[str, msgspec.Raw], expected)
        raise ShardsError(f"{blob.where} changed while it was read", "Run the same command again") from None


def read_points(table: Table, id: str) -> NDArray[np.float32] | None:
    """The 68 landmarks of an id, float32 [68, 2]; None where the table lacks it.

    Raises:
        ValueError: they are not 68 pairs of finite numbers; the text is the reason.
    """
    pairs = table.get(id, _POINTS)
    if pairs is None:
        return None
    # numpy reads null (None) as NaN and too large a number as infinity; the check below refuses both.
    with np.errstate(over="ignore"):
        try:
            points = np.fromiter(chain.from_iterable(pairs), np.float32).reshape(-1, 2)
        except TypeError:
            # Slower, and takes null.
            points = np.array(pairs, np.float32)
    reason = landmarks.fault(points)
    if reason:
        raise ValueError(reason)
    return points


# Python's json writes NaN and Infinity, though JSON has no such numbers; inside strings they are just words.
# A string without an end goes to the end of the bytes, so that each byte is looked at once.
_STRING_OR_NAN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))|-?(?:NaN|Infinity)', re.DOTALL)
# An escape in a string: a pair of surrogates, a lone one (captured), or any other.
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# Where members may end: a comma, then the next one's name.
_BOUNDARY = re.compile(rb',[ \t\r\n]*"')
# What stands around such a comma, but for names and values, is alike from record to record.
_AROUND = re.compile(rb'[\]} \t\r\n]*,[ \t\r\n]*"\Z')
_TRIES, _TRIED_BYTES = 64, 1 << 26
"""Most tries of a cut, and about the most bytes that are decoded for them."""
MAX_MEMBER = 1 << 23
"""Most bytes in which no member ends; records have a few thousand."""
# What may be beyond JSON, see `as_json`.
_BEYOND = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")

Members = tuple[dict[str, msgspec.Raw], frozenset[str]]
"""Raw JSON by name, as NFC, and the names that stand there twice."""


class _Name(str):
    """A name that msgspec hands to us, so that one given twice is noticed."""

    __slots__ = ()


class NoMembersError(ValueError):
    """Bytes that are no JSON object, or a part of one."""


def members(parts: Iterable[bytes]) -> Iterator[Members]:
    """The members of an object, as many at a time as a part holds.

    A cut is exact: what stands before a comma, a brace added, is an object only where the comma ends one of its own
    members, since JSON tells at every byte how deep one is.

    Args:
        parts: of the file's bytes.

    Raises:
        NoMembersError: they are no object, or one with a member of too many bytes.
    """
    waiting, size, due, hint = [b""], 0, len(BYTE_ORDER_MARK), b""
    mark = BYTE_ORDER_MARK
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size < due:
            continue
        # Only the file's first bytes may be the mark.
        data, mark = b"".join(waiting).removeprefix(mark), b""
        is_object = data.lstrip().startswith(b"{")
        cut = _cut(data, hint) if is_object else None
        if cut is None:
            if len(data) >= MAX_MEMBER:
                raise NoMembersError(f"no record ends in {len(data):,} bytes" if is_object else "")
            # A part held no whole member; the next try is at twice the size, so that trying takes no square of time.
            waiting, size, due = [data], len(data), 2 * len(data)
            continue
        found, end, hint = cut
        waiting, size, due = [b"{", data[end:]], len(data) - end + 1, 1
        del data
        yield found
    rest = b"".join(waiting).removeprefix(mark)
    last = _attempt(rest) or _attempt(as_json(rest))
    if last is None:
        raise NoMembersError
    yield last


def as_json(data: bytes) -> bytes:
    """What Python's json writes beyond JSON, put into JSON: NaN and infinities as null, lone surrogates as U+FFFD."""
    return _mended(data)[0] if _BEYOND.search(data) else data


def _mended(data: bytes) -> tuple[bytes, list[int], list[int]]:
    """`as_json`, the ends of what became null, and by how much what stands behind each, the first behind none, moved.

    Strings keep their length.
    """
    ends: list[int] = []
    moved = [0]

    def mend(match: re.Match[bytes]) -> bytes:
        if not match[1]:
            ends.append(match.end())
            moved.append(moved[-1] + len(b"null") - len(match[0]))
            return b"null"
        return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], match[1])

    return _STRING_OR_NAN.sub(mend, data), ends, moved


def _cut(data: bytes, hint: bytes) -> tuple[Members, int, bytes] | None:
    """The members that are whole, where the next one's name starts, and what the cut looked like."""
    cuts = list(_cuts(data, hint))
    found = _first(data, [comma for comma, _ in cuts])
    if found is None and _BEYOND.search(data):
        # Mended once for all tries: a damaged file of hundreds of MB would take minutes otherwise.
        mended, ends, moved = _mended(data)
        found = _first(mended, [comma + moved[bisect_right(ends, comma)] for comma, _ in cuts])
    if found is None:
        return None
    whole, at = found
    comma, name = cuts[at]
    around = _AROUND.search(data, max(0, comma - 64), name + 1)
    return whole, name, around[0] if around else b""


def _first(data: bytes, commas: list[int]) -> tuple[Members, int] | None:
    """The members before the first comma that ends one of the object's own, and which comma it is."""
    for at, comma in enumerate(commas):
        found = _attempt(data[:comma] + b"}")
        # A comma that no member stands before is a fault, which the rest would not show.
        if found is not None and found[0]:
            return found, at
    return None


def _cuts(data: bytes, hint: bytes) -> Iterator[tuple[int, int]]:
    """Where to try, the likeliest first: each a comma, and the quotation mark of the name behind it."""
    at = data.rfind(hint) if hint else -1
    if at >= 0:
        yield at + hint.index(b","), at + len(hint) - 1
    boundaries = [(match.start(), match.end() - 1) for match in _BOUNDARY.finditer(data, max(0, len(data) - (1 << 16)))]
    yield from islice(reversed(boundaries), min(_TRIES, 1 + _TRIED_BYTES // len(data)))


def _attempt(data: bytes) -> Members | None:
    seen: set[str] = set()
    twice: set[str] = set()

    def note(_: type, given: Any) -> _Name:
        name = nfc(given)
        if name in seen:
            twice.add(name)
        seen.add(name)
        return _Name(name)

    try:
        found = msgspec.json.decode(data, type=dict[_Name, msgspec.Raw], dec_hook=note)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return {str(name): raw for name, raw in found.items()}, frozenset(twice)
