"""Receipts in less than a quarter of the memory of objects, unpacked as they were."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from lpff_shards.exporters.packed import Packed
from lpff_shards.schemas.left_out import LeftOut
from lpff_shards.schemas.receipt import ShardReceipt


def _receipt(number: int, samples: int) -> ShardReceipt:
    keys = tuple(f"lpff_{number}{key:08d}-N01_{key * 7919:011d}_01" for key in range(samples))
    sizes = [70_000 + key * 37 % 9973 for key in range(samples)]
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return ShardReceipt(
        file=f"a-{number:06d}.tar",
        plan="p",
        sources="s",
        samples=samples,
        bytes=offsets[-1],
        algorithm="blake3",
        checksum="c",
        keys=keys,
        offsets=tuple(offsets),
        crcs=tuple(size * 65_537 for size in sizes),
        suffixes=(("png", "camera.npy", "json"),),
        members=tuple((0, size, 228, 700) for size in sizes),
        fields="f",
        skipped=(LeftOut("é", "id", "why", "key"),),
    )


def test_what_was_packed_is_unpacked() -> None:
    receipts = {number: _receipt(number, 3) for number in (4, 0, 2)}
    packed = Packed(receipts.items())
    assert dict(packed) == receipts and list(packed) == [4, 0, 2] and 4 in packed and 1 not in packed
    assert list(packed.ordered([2, 0])) == [receipts[2], receipts[0]]
    assert list(packed.ordered([4, 2, 0])[1:]) == [receipts[2], receipts[0]]
    packed[1] = receipts[0]
    del packed[4]
    assert list(packed.values()) == [receipts[0], receipts[2], receipts[0]] and len(packed) == 3
    with pytest.raises(KeyError):
        packed[4]


def test_packed_they_take_less_than_a_quarter() -> None:
    tracemalloc.start()
    try:
        before = _traced()
        objects = [_receipt(number, 200) for number in range(20)]
        as_objects = _traced() - before
        packed = Packed(enumerate(objects))
        del objects
        assert _traced() - before < as_objects / 4
        assert len(packed) == 20
    finally:
        tracemalloc.stop()


def _traced() -> int:
    # A whole collection also empties Python's lists of free tuples, which else count for one side or the other.
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
