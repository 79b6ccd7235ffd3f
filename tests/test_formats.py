"""One contract for every format and layout: what is encoded is decoded, its bytes never change, damage is noticed."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from running import examples
from samples import LAYOUTS, TFRECORD_LAYOUTS, WDS_LAYOUTS, sample, written

from lpff_shards.formats.base import SampleError
from lpff_shards.formats.registry import get_format
from lpff_shards.schemas.sample import Sample

GOLDEN = Path(__file__).parent / "golden"
CASES = [*(("wds", name) for name in WDS_LAYOUTS), *(("tfrecord", name) for name in TFRECORD_LAYOUTS)]
every_case = pytest.mark.parametrize(("format", "layout"), CASES)


def _shard(format: str, layout: str, count: int = 3) -> bytes:
    return written(format, LAYOUTS[layout], (sample(LAYOUTS[layout], n) for n in range(count)))[0]


def _samples(shard: bytes, format: str, layout: str) -> list[Sample]:
    return list(get_format(format).samples(memoryview(shard), LAYOUTS[layout]))


def _same(a: Sample, b: Sample) -> bool:
    arrays = ((a.camera, b.camera), (a.landmarks, b.landmarks))
    return (
        (a.key, a.picture.data, a.picture.kind, dict(a.scalars))
        == (b.key, b.picture.data, b.picture.kind, dict(b.scalars))
    ) and all((x is None) == (y is None) and (x is None or np.array_equal(x, y)) for x, y in arrays)


@every_case
def test_what_is_encoded_is_decoded(format: str, layout: str) -> None:
    decoded = _samples(_shard(format, layout), format, layout)
    assert len(decoded) == 3
    assert all(_same(got, sample(LAYOUTS[layout], n)) for n, got in enumerate(decoded))


@every_case
def test_a_shard_is_described_as_its_writer_told(format: str, layout: str) -> None:
    shard, told = written(format, LAYOUTS[layout], (sample(LAYOUTS[layout], n) for n in range(3)))
    found = get_format(format).describe("x", memoryview(shard), LAYOUTS[layout])
    assert structs.replace(found, crcs=told.crcs) == told
    assert (told.bytes, len(told.keys), told.offsets[0]) == (len(shard), 3, 0)
    spans = zip(told.offsets, told.offsets[1:], strict=False)
    assert [zlib.crc32(shard[start:end]) for start, end in spans] == list(told.crcs)


@every_case
def test_an_empty_shard_holds_nothing(format: str, layout: str) -> None:
    assert _samples(_shard(format, layout, 0), format, layout) == []


@every_case
def test_bytes_never_change(format: str, layout: str) -> None:
    path = GOLDEN / f"{layout}.{'tar' if format == 'wds' else 'tfrecord'}"
    shard = _shard(format, layout)
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        path.write_bytes(shard)
    assert path.read_bytes() == shard


@every_case
@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_shard_cut_short_is_noticed(format: str, layout: str, cut: float) -> None:
    shard = _shard(format, layout)
    ends = {0} if format == "tfrecord" else set()
    if format == "tfrecord":
        ends = {len(_shard(format, layout, n)) for n in range(4)}
    at = int(cut * len(shard))
    if at in ends:
        # A TFRecord file has no end mark, so a cut between records shows only in the manifest's counts and checksum.
        return
    with pytest.raises(SampleError):
        _samples(shard[:at], format, layout)


@pytest.mark.parametrize("layout", TFRECORD_LAYOUTS)
@settings(max_examples=examples(100), deadline=None)
@given(where=st.floats(0, 1, exclude_max=True))
def test_every_flipped_bit_of_a_tfrecord_is_noticed(layout: str, where: float) -> None:
    shard = bytearray(_shard("tfrecord", layout))
    bit = int(where * len(shard) * 8)
    shard[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SampleError):
        _samples(bytes(shard), "tfrecord", layout)


@every_case
@settings(max_examples=examples(150), deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_spoilt_byte_raises_nothing_else(format: str, layout: str, where: float, bits: int) -> None:
    shard = bytearray(_shard(format, layout))
    shard[int(where * len(shard))] ^= bits
    with contextlib.suppress(SampleError):
        _samples(bytes(shard), format, layout)


@every_case
def test_the_layout_must_fit(format: str, layout: str) -> None:
    shard = _shard(format, layout)
    others = WDS_LAYOUTS if format == "wds" else TFRECORD_LAYOUTS
    for other in others:
        if other != layout:
            with pytest.raises(SampleError):
                _samples(shard, format, other)


def test_a_wrong_sample_is_named() -> None:
    shard = bytearray(_shard("wds", "plain"))
    third = shard.index(b"0000000" + b"2_01_m.camera.npy")
    shard[third + 512 + 80] ^= 0xFF
    with pytest.raises(SampleError) as caught:
        _samples(bytes(shard), "wds", "plain")
    assert caught.value.number == 2
    assert caught.value.key == sample(LAYOUTS["plain"], 2).key
