"""The JSON tables of the sources: objects by id, decoded record by record so that faults are told with their id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import camera, landmarks
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.tree import read_whole

T = TypeVar("T")
DecHook = Callable[[type, Any], Any]

# Python's json writes NaN and Infinity, though JSON has no such numbers; inside strings they are just words.
_STRING_OR_NAN = re.compile(rb'("(?:[^"\\]|\\.)*")|-?(?:NaN|Infinity)')
# An escape in a string: a pair of surrogates, a lone one (captured), or any other.
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Decoders are made once: making one costs more than reading a record with it.
_NUMBERS = msgspec.json.Decoder(list[float | None])
_POINTS = msgspec.json.Decoder(list[tuple[float | None, float | None]])


class _Key(str):
    """A JSON key that msgspec hands to us, so that one given twice is noticed."""

    __slots__ = ()


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
            raise ValueError("the id stands in the file twice")
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"its record cannot be read: {error}") from None


def decode_file(blob: Blob, type: type[T], expected: str, make_hook: Callable[[], DecHook] | None = None) -> T:
    """A whole JSON file as a type.

    Args:
        blob: the file.
        expected: for the error: what the file should hold.
        make_hook: makes msgspec's hook for types it does not know, a new one for each reading.

    Raises:
        ShardsError: it is not JSON, is cut short, or holds something else.
    """
    data = read_whole(blob).removeprefix(_BYTE_ORDER_MARK)
    try:
        try:
            return msgspec.json.decode(data, type=type, dec_hook=make_hook and make_hook())
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = _as_json(data)
            if mended == data:
                raise
            return msgspec.json.decode(mended, type=type, dec_hook=make_hook and make_hook())
    except msgspec.ValidationError as error:
        raise ShardsError(
            f"{blob.where} does not hold {expected}: {error}", "Check that it is the published file"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShardsError(f"{blob.where} is not whole JSON: {error}", "Download it again") from None


def _as_json(data: bytes) -> bytes:
    """What Python's json writes beyond JSON, put into JSON: NaN and infinities as null, lone surrogates as U+FFFD."""

    def mend(match: re.Match[bytes]) -> bytes:
        if not match[1]:
            return b"null"
        return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], match[1])

    return _STRING_OR_NAN.sub(mend, data)


def read_table(blob: Blob, expected: str) -> Table:
    """A JSON object by id.

    Raises:
        ShardsError: the file is not JSON or not an object.
    """
    twice: set[str] = set()

    def make_note() -> DecHook:
        seen: set[str] = set()
        twice.clear()

        def note(_: type, key: Any) -> _Key:
            if key in seen:
                twice.add(key)
            seen.add(key)
            return _Key(key)

        return note

    rows = decode_file(blob, dict[_Key, msgspec.Raw], expected, make_note)
    return Table(blob.where, {str(key): raw for key, raw in rows.items()}, frozenset(twice))


@dataclass(frozen=True)
class Cameras:
    """Cameras by id.

    Attributes:
        where: the file they are from.
        rows: id to row of `numbers`.
        numbers: float64 [n, 25].
        faults: id to the rule that its camera breaks.
    """

    where: str
    rows: dict[str, int]
    numbers: NDArray[np.float64]
    faults: dict[str, str]


NO_CAMERAS = Cameras("", {}, np.zeros((0, camera.CAMERA_NUMBERS)), {})


def parse_cameras(where: str, items: Sequence[tuple[str, msgspec.Raw]], twice: Iterable[str] = ()) -> Cameras:
    """Decodes and checks cameras, each a list of 25 numbers."""
    numbers = np.zeros((len(items), camera.CAMERA_NUMBERS))
    rows: dict[str, int] = {}
    faults = dict.fromkeys(twice, "the id stands in the file twice")
    for row, (id, raw) in enumerate(items):
        if id in rows:
            faults[id] = "the id stands in the file twice"
        rows[id] = row
        reason = _read_numbers(raw, numbers[row])
        if reason:
            faults.setdefault(id, reason)
    ids = [id for id, _ in items]
    for row, reason in camera.faults(numbers).items():
        faults.setdefault(ids[row], reason)
    return Cameras(where, rows, numbers, faults)


def _read_numbers(raw: msgspec.Raw, out: NDArray[np.float64]) -> str | None:
    try:
        numbers = _NUMBERS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"camera is not a list of numbers: {error}"
    if len(numbers) != camera.CAMERA_NUMBERS:
        return f"camera has {len(numbers)} numbers, not {camera.CAMERA_NUMBERS}"
    # numpy reads null (None) as NaN, which `camera.faults` refuses.
    out[:] = numbers
    return None


def read_points(table: Table, id: str) -> NDArray[np.float32] | None:
    """The 68 landmarks of an id, float32 [68, 2]; None where the table lacks it.

    Raises:
        ValueError: they are not 68 pairs of finite numbers; the text is the reason.
    """
    pairs = table.get(id, _POINTS)
    if pairs is None:
        return None
    with np.errstate(over="ignore"):
        # numpy reads null (None) as NaN and too large a number as infinity; the check below refuses both.
        points = np.array(pairs, np.float32)
    reason = landmarks.fault(points)
    if reason:
        raise ValueError(reason)
    return points
