"""The JSON tables of the sources: objects by id, decoded record by record so that faults are told with their id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import oversize
from lpff_shards.sources.io.json_stream import BYTE_ORDER_MARK, NoMembersError, as_json, members
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
