"""EG3D's replica file: image index in its FFHQ to the number of replicas."""

from __future__ import annotations

import re

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.mix import MAX_REPLICAS
from lpff_shards.options.rules import shortened
from lpff_shards.sources.ffhq_files import file_blob
from lpff_shards.sources.io.json_files import read_table

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_COUNT = msgspec.json.Decoder(int)


def read_num_replicas(given: str) -> NDArray[np.int64]:
    """Replicas by image index, int64 [n].

    Raises:
        ShardsError: the file is not of that shape, lacks an index, or holds a number of replicas below one.
    """
    table = read_table(file_blob("--num-replicas", given), "numbers of replicas by image index")
    if not table.rows:
        raise _fault(given, "it is empty")
    counts = np.zeros(len(table.rows), np.int64)
    for index in table.rows:
        if not _INDEX.fullmatch(index):
            raise _fault(given, f"{shortened(index)!r} is not an image index")
        if int(index) >= len(counts):
            lacks = next(i for i in range(len(counts)) if str(i) not in table.rows)
            raise _fault(given, f"it lacks index {lacks}, though it goes on to {index}")
        try:
            count = table.get(index, _COUNT)
        except ValueError as error:
            raise _fault(given, f"index {index}: {error}") from None
        if count is None or not 1 <= count <= MAX_REPLICAS:
            raise _fault(given, f"index {index} has {count} replicas, not 1 to {MAX_REPLICAS}")
        counts[int(index)] = count
    return counts


def _fault(given: str, reason: str) -> ShardsError:
    return ShardsError(f"--num-replicas {given}: {reason}", "Give EG3D's published file, image index to replicas")
