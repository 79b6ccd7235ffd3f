"""JSON tables of the sources: objects by id, decoded record by record so that errors name the id."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.keys import nfc
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import MAX_JSON_BYTES
from lpff_shards.sources.io.tree import read_whole

T = TypeVar("T")

TWICE = "the id is in the file twice"
# Created once: creating a decoder costs more than reading a record with it.
_POINTS = msgspec.json.Decoder(list[tuple[float | None, float | None]])


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
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"its record cannot be read: {error}") from None


def decode_file(blob: Blob, type: type[T], expected: str) -> T:
    """Decode a JSON file as a type.

    Args:
        blob: the file.
        expected: the expected contents, for errors.

    Raises:
        ShardsError: it is not JSON, is truncated, or contains something else.
    """
    return _decode(blob, msgspec.json.Decoder(type).decode, expected)


def read_table(blob: Blob, expected: str) -> JsonTable:
    """Read a JSON object by id, its ids as NFC; raises the errors of `decode_file`."""
    return JsonTable(blob.where, *_decode(blob, _members, expected))


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


def _decode(blob: Blob, decode: Callable[[bytes], T], expected: str) -> T:
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


def read_points(table: JsonTable, id: str) -> NDArray[np.float32] | None:
    """Return the 68 landmarks of an id, float32 [68, 2], or None if the table lacks it.

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
            # Slower, but accepts null.
            points = np.array(pairs, np.float32)
    reason = landmarks.fault(points)
    if reason:
        raise ValueError(reason)
    return points


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
        repaired = _ESCAPE.sub(_escape, found) if match[1] else b"null"
        if repaired != found:
            parts += (data[done : match.start()], repaired)
            done = match.end()
    return b"".join((*parts, data[done:])) if parts else data


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match[1] else match[0]
