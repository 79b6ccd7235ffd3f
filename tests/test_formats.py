"""One contract for every format and layout: what is encoded is decoded, its bytes never change, damage is noticed."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from running import examples
from samples import FORMAT_LAYOUTS, LAYOUTS, TFRECORD_LAYOUTS, sample, written

from lpff_shards import ExportOptions, ShardsError, SourceOptions, export
from lpff_shards.formats import parquet, registry
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.registry import format_of, get_format, is_shard_name
from lpff_shards.schemas.sample import Sample

GOLDEN = Path(__file__).parent / "golden"
CASES = [(format, name) for format, names in FORMAT_LAYOUTS.items() for name in names]
every_case = pytest.mark.parametrize(("format", "layout"), CASES)
own_bytes = pytest.mark.parametrize(("format", "layout"), [case for case in CASES if case[0] in ("wds", "tfrecord")])
"""Formats whose every byte is written here, not by a library of another version tomorrow."""


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
def test_the_index_files_are_those_it_names_and_the_last_tells_the_offsets(format: str, layout: str) -> None:
    own = get_format(format)
    _, told = written(format, LAYOUTS[layout], (sample(LAYOUTS[layout], n) for n in range(3)))
    told = structs.replace(told, file=own.filename("demo-train", 0, 1))
    found = registry.index_files(told)
    names = registry.index_names(told.file)
    assert tuple(found) == names and all(found.values())
    spans = own.spans()
    assert (spans is None) == (not names)
    if spans is not None:
        assert spans.offsets(found[names[-1]]).tolist() == list(told.offsets)


@every_case
def test_an_empty_shard_holds_nothing(format: str, layout: str) -> None:
    assert _samples(_shard(format, layout, 0), format, layout) == []


@every_case
def test_pictures_are_found_in_the_bytes_of_their_samples(format: str, layout: str) -> None:
    shard, told = written(format, LAYOUTS[layout], (sample(LAYOUTS[layout], n) for n in range(5)))
    for n, (start, end, member) in enumerate(zip(told.offsets, told.offsets[1:], told.members, strict=False)):
        found = get_format(format).picture_bytes(shard[start:end], start, member[1], LAYOUTS[layout].raw)
        assert found == sample(LAYOUTS[layout], n).picture.data


@every_case
def test_equal_samples_give_equal_bytes(format: str, layout: str) -> None:
    assert _shard(format, layout) == _shard(format, layout)


@every_case
def test_names_of_files_are_known_again(format: str, layout: str) -> None:
    name = get_format(format).filename("ffhq_lpff-train", 3, 10)
    assert format_of(name) is get_format(format) and is_shard_name(name, format)


@own_bytes
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
    at = int(cut * len(shard))
    # A TFRecord file has no end mark, and an ArrayRecord file that is cut looks like one without records: then only the
    # manifest's counts and checksum tell.
    ends = {len(_shard(format, layout, n)) for n in range(4)} if format == "tfrecord" else set()
    if format == "arrayrecord":
        with contextlib.suppress(SampleError):
            assert len(_samples(shard[:at], format, layout)) < 3
    elif at not in ends:
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


@pytest.mark.parametrize("field", ["width", "height", "mode"])
def test_a_spoilt_name_of_a_field_is_noticed(field: str) -> None:
    shard = _shard("wds", "bare").replace(f'"{field}":'.encode(), f'"{field.upper()}":'.encode())
    with pytest.raises(SampleError, match=field):
        _samples(shard, "wds", "bare")


@every_case
def test_the_layout_must_fit(format: str, layout: str) -> None:
    shard = _shard(format, layout)
    for other in FORMAT_LAYOUTS[format]:
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


def test_parquet_row_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, samples = LAYOUTS["plain"], [sample(LAYOUTS["plain"], n) for n in range(7)]
    monkeypatch.setattr(parquet, "GROUP", 3 * len(samples[0].picture.data))
    shard, told = written("parquet", layout, samples)
    metadata = pq.ParquetFile(pa.py_buffer(shard)).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 3, 1]
    found = get_format("parquet").describe("x", memoryview(shard), layout)
    assert structs.replace(found, crcs=told.crcs) == told
    assert [one.key for one in _samples(shard, "parquet", "plain")] == [one.key for one in samples]


def test_every_record_of_an_arrayrecord_file_is_where_its_writer_told() -> None:
    # Pictures that end before, in and behind headers of blocks of 64 KiB.
    layout = LAYOUTS["raw"]
    samples = [_raw(n, side) for n, side in enumerate((150, 1, 146, 2, 145, 147, 300, 3, 148, 149))]
    shard, told = written("arrayrecord", layout, samples)
    for one, start, end in zip(samples, told.offsets, told.offsets[1:], strict=False):
        found = get_format("arrayrecord").picture_bytes(shard[start:end], start, len(one.picture.data), raw=True)
        assert found == one.picture.data


def _raw(number: int, side: int) -> Sample:
    plain = sample(LAYOUTS["raw"], number)
    data = np.random.default_rng(number).bytes(side * side * 3)
    picture = structs.replace(plain.picture, data=data, width=side, height=side)
    scalars = {**plain.scalars, "width": side, "height": side}
    return structs.replace(plain, picture=picture, scalars=scalars)


@pytest.mark.parametrize(("format", "extra"), [("parquet", "parquet"), ("arrayrecord", "jax")])
def test_a_missing_library_names_its_extra(format: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(ShardsError, match=rf"--format {format} needs \w+.*lpff-shards\[{extra}\]"):
        export(ExportOptions(format=format, out="x", sources=SourceOptions(demo=1)))
    assert get_format(format).name == format
