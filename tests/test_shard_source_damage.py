"""Damaged exports: ShardSource tells of it by a ShardsError, or gives what is there; nothing else comes of it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import dataset_factories
import msgpack
import numpy as np
import pytest
from loading import NAMES, assert_batch, lpff, lpff_ids, truths, write
from running import ENDURANCE
from sealing import edit_sealed

from lpff_shards import ShardsError, read_manifest
from lpff_shards.formats import examples as example
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.containers import tar
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import get_format, index_names
from lpff_shards.formats.tfrecord import TfRecord
from lpff_shards.loaders import ShardSource
from lpff_shards.schemas.fields import FIELDS, Layout

FORMATS = ("wds", "tfrecord")
KINDS = [
    *(("wds", "json", image) for image in ("keep", "jpeg", "webp", "raw")),
    *(("wds", "msgpack", image) for image in ("keep", "raw")),
    *(("tfrecord", "json", image) for image in ("keep", "raw")),
]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@contextmanager
def _changed(path: Path, at: int, data: bytes) -> Iterator[None]:
    """A file some of whose bytes are others for a while, as on a bad disk: its time stays; open files see them."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with path.open("r+b", buffering=0) as file:
        before = os.pread(file.fileno(), len(data), at)
        os.pwrite(file.fileno(), data, at)
        os.utime(path, ns=times)
        try:
            yield
        finally:
            os.pwrite(file.fileno(), before, at)
            os.utime(path, ns=times)


def _copy(whole: Path, out: Path) -> list[Path]:
    """A copy of an export, and its shards in order."""
    shutil.copytree(whole, out)
    return [out / shard.file for shard in read_manifest(out).shards]


def _index(shard: Path) -> Path:
    return shard.parent / index_names(shard.name)[-1]


@pytest.fixture(scope="module", params=FORMATS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine raw pictures in three shards of one length."""
    root = tmp_path_factory.mktemp("whole")
    return write(root / "out", request.param, lpff(root, 9), 3, image="raw")


def test_index_files_are_not_needed(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    for shard in shards[1:]:
        _index(shard).unlink()
    assert _index(shards[0]).exists()
    numbers = list(range(9))
    assert_batch(ShardSource(tmp_path / "out").batch(numbers, NAMES), truths(whole), numbers)


def test_an_index_file_that_tells_of_other_lengths_is_refused(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    index = _index(shards[1])
    data = index.read_bytes()
    lines = data.splitlines(keepends=True)
    others = [
        b"",
        data[:-1] if index.name.endswith(".tar.idx") else b"".join(lines[:-1]),
        data + data[-8:],
        b"\xff" * 32,
    ]
    others += [b"99999999999999999999 1\n" * 3, b"one two\n", b"1 2 3\n", struct.pack("<4Q", 0, 2**63, 7, 8)]
    for other in others:
        index.write_bytes(other)
        with pytest.raises(ShardsError, match=re.escape(f"{shards[1]} does not match its manifest or its index")):
            ShardSource(tmp_path / "out")


def test_an_index_file_of_unsorted_places_is_refused(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    index = _index(shards[0])
    if shards[0].suffix == ".tar":
        a, b, c, d = struct.unpack("<4Q", index.read_bytes())
        rows = [(a, c, b, d), (a, b, b, d), (b, b + 512, c, d), (a, b, c, d - 512), (a, b, d), (a, d)]
        others = [struct.pack(f"<{len(row)}Q", *row) for row in rows]
    else:
        a, b, c = index.read_bytes().splitlines(keepends=True)
        others = [a + a + c, b + a + c, b + b + c, a + b + c.replace(b" ", b" 1"), a + c, c]
    for other in others:
        index.write_bytes(other)
        with pytest.raises(ShardsError, match="does not match its"):
            ShardSource(tmp_path / "out")


@pytest.mark.parametrize("indexed", [True, False])
def test_a_shard_of_another_length_is_refused(whole: Path, tmp_path: Path, indexed: bool) -> None:
    shards = _copy(whole, tmp_path / "out")
    data = shards[2].read_bytes()
    if not indexed:
        _index(shards[2]).unlink()
    for other in (b"", data[:1], data[:-1], data[:-512], data[:-1024], data[:700], data + b"\0", data + bytes(512)):
        shards[2].write_bytes(other)
        with pytest.raises(ShardsError, match=re.escape(f"{shards[2]} does not match its")):
            ShardSource(tmp_path / "out")


def test_a_shard_that_is_gone_is_told_of(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    shards[1].unlink()
    with pytest.raises(ShardsError, match=re.escape(f"{shards[1]} cannot be read: No such file or directory")):
        ShardSource(tmp_path / "out")
    shards[1].mkdir()
    with pytest.raises(ShardsError, match=re.escape(str(shards[1]))):
        ShardSource(tmp_path / "out")


def test_a_shard_that_goes_later_is_told_of(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    source = ShardSource(tmp_path / "out")
    source[0]
    for shard in shards:
        shard.unlink()
    assert_batch(source.batch([0, 2], NAMES), truths(whole), [0, 2])  # still open
    with pytest.raises(ShardsError, match=re.escape(f"{shards[1]} cannot be read: No such file")):
        source.batch([0, 3])


@pytest.mark.parametrize("kept", [0, 10, 600, 900])
def test_a_shard_cut_short_later_is_told_of(whole: Path, tmp_path: Path, kept: int) -> None:
    shards = _copy(whole, tmp_path / "out")
    source = ShardSource(tmp_path / "out")
    shards[0].write_bytes(shards[0].read_bytes()[:kept])
    for read in (source.__getitem__, lambda n: source.batch([n], NAMES), lambda n: source.batch([n])):
        with pytest.raises(ShardsError, match=re.escape(str(shards[0]))):
            read(0)
    (tmp_path / "out/samples.sqlite").unlink()
    with pytest.raises(ShardsError, match=re.escape(str(shards[0]))):
        source.column("key")


def test_a_shard_cut_short_in_its_pixels_is_told_of(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    source = ShardSource(tmp_path / "out")
    data = shards[0].read_bytes()
    end = data.index(truths(whole)[0].pixels.tobytes()) + 192
    shards[0].write_bytes(data[: end - 7])
    with pytest.raises(ShardsError, match=re.escape(f"{shards[0]} has changed since it was opened")):
        source.batch([0])


def test_the_damaged_sample_is_named(whole: Path, tmp_path: Path) -> None:
    shards = _copy(whole, tmp_path / "out")
    source = ShardSource(tmp_path / "out")
    places = [found.start() for found in re.finditer(b"landmarks", shards[1].read_bytes())]
    bad = places[len(places) // 3]
    with _changed(shards[1], bad, b"Landmarks"):
        assert source[3]["metadata"]["face"] == source[5]["metadata"]["face"] == 1
        with pytest.raises(ShardsError, match=f"{shards[1].name}: sample 1 is damaged: its .*landmarks.* is missing"):
            source[4]


def test_another_shard_in_its_place_is_refused(tmp_path: Path) -> None:
    for format in FORMATS:
        sources = lpff(tmp_path, 8)
        info = Path(str(sources.lpff)) / "info.json"
        dataset_factories.edit(
            info, lambda found: {lpff_ids(1)[0]: {"image_info": {"username": "x" * 999}}, **dict([*found.items()][1:])}
        )
        out = write(tmp_path / format, format, sources, 2, shuffle=False)
        first, second = (out / shard.file for shard in read_manifest(out).shards)
        assert first.stat().st_size != second.stat().st_size
        shutil.copy(second, first)
        with pytest.raises(ShardsError, match=re.escape(f"{first} does not match its")):
            ShardSource(out)
        shutil.copy(_index(second), _index(first))
        with pytest.raises(ShardsError, match=re.escape(f"{first} does not match its")):
            ShardSource(out)
        _index(first).unlink()
        with pytest.raises(ShardsError, match=re.escape(f"{first} does not match its")):
            ShardSource(out)


def test_headers_are_not_trusted(tmp_path: Path) -> None:
    out = write(tmp_path / "wds", "wds", lpff(tmp_path, 3), 1)
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    source = ShardSource(out)
    _index(shard).unlink()
    for size in (b"-0000001000", b"-0000000001", b"        -01", b"00000000x00", b"77777777777", b"0_000000001"):
        with _changed(shard, 124, size):
            with pytest.raises(ShardsError):
                ShardSource(out)
            with pytest.raises(ShardsError, match="sample 0 is damaged"):
                source[0]
        second = int(shard.read_bytes()[124:135], 8) + 1024 & ~511
        with _changed(shard, second + 124, size), pytest.raises(ShardsError, match="sample 0 is damaged"):
            source[0]
    out = write(tmp_path / "tfrecord", "tfrecord", lpff(tmp_path, 3), 1)
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    _index(shard).unlink()
    for length in (0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 16):
        with _changed(shard, 0, struct.pack("<Q", length)), pytest.raises(ShardsError):
            ShardSource(out)


@pytest.mark.parametrize("shape", [b"(9, 8, 3)", b"(0, 8, 3)", b"(8, 8, 4)", b"(999999,)"])
def test_a_raw_picture_of_another_shape_is_refused(tmp_path: Path, shape: bytes) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 2), 1, image="raw")
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    (out / "samples.sqlite").unlink()
    source = ShardSource(out)
    at = shard.read_bytes().index(b"(8, 8, 3)")
    with _changed(shard, at, shape):
        for read in (lambda: source[0], lambda: source.batch([1, 0]), lambda: source.column("key")):
            with pytest.raises(ShardsError, match=r"sample 0 is damaged: (its raw picture is|not an NPY)"):
                read()


CHANGES = [
    ("wds", "json", b"ustar", b"USTAR", "a member's header is missing"),
    ("wds", "json", b"'|u1'", b"'<f4'", "its raw picture is float32"),
    ("wds", "json", b"(25,)", b"(24,)", "an array is not float32 of"),
    ("wds", "json", b"(68, 2)", b"(2, 68)", "an array is not float32 of"),
    ("wds", "json", b".camera.npy", b".Camera.npy", "its member camera.npy is missing"),
    ("wds", "json", b'"face"', b'"Face"', "its fields differ from the schema"),
    ("wds", "json", b'"width":8', b'"width":"', "its metadata is damaged"),
    ("wds", "json", b'"replica":0', b'"replica":""'[:11], "its metadata is damaged"),
    ("wds", "json", b'"width":8,', b'"width":[],'[:10], "its metadata is damaged"),
    ("wds", "msgpack", b"\xa6camera", b"\xa6CAMERA", "its member camera is missing"),
    ("tfrecord", "json", b"\x0a\x06height", b"\x0a\x06HEIGHT", "its raw picture is 192 bytes of height 0"),
    (
        "tfrecord",
        "json",
        b"\x05\x1a\x03\x0a\x01\x08",
        b"\x05\x1a\x03\x0a\x01\x07",
        "its raw picture is 192 bytes of height 7",
    ),
    ("tfrecord", "json", b"height\x12\x05\x1a", b"height\x12\x05\x0a", "its height is not one number"),
    ("tfrecord", "json", b"camera\x12", b"Camera\x12", "its feature camera is missing"),
]


@pytest.mark.parametrize(("format", "metadata", "old", "new", "words"), CHANGES)
def test_what_is_wrong_is_told(tmp_path: Path, format: str, metadata: str, old: bytes, new: bytes, words: str) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 2), 1, image="raw", metadata=metadata)
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    source = ShardSource(out)
    assert len(old) == len(new)
    with _changed(shard, shard.read_bytes().index(old), new):
        with pytest.raises(ShardsError, match=f"sample 0 is damaged: {words}"):
            source.batch([0], NAMES)
        assert source[1]["metadata"]["replica"] == 0


def test_metadata_that_are_no_map_are_told_of(tmp_path: Path) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 1), 1, metadata="msgpack")
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    data = shard.read_bytes()
    header = data.index(b".mp\0") // 512 * 512
    size = int(data[header + 124 : header + 135], 8)
    for other in (b"\xc6" + struct.pack(">I", size - 5), b"\xdd" + struct.pack(">I", size - 5), b"\xc1", b"\x00"):
        with _changed(shard, header + 512, other), pytest.raises(ShardsError, match="its metadata is damaged"):
            ShardSource(out)[0]


@pytest.mark.parametrize("value", [(), np.array([np.inf, 1], np.float32), np.array([np.nan], np.float32), b"one"])
def test_a_feature_of_another_kind_is_told_of(value: Any) -> None:
    features = sorted({f.name: {"str": b"", "int": 1, "bool": 0, "float": 1.0}[f.kind] for f in FIELDS}.items())
    layout = Layout(raw=False, camera=False, landmarks=False)

    def beside(given: Any) -> Any:
        data = b"".join(example.encode(given))
        return TfRecord().annotations(bytes(12) + data, b"", layout, scalars=True).scalars

    assert beside(features)["width"] == 1
    with pytest.raises(FormatError, match="its feature width is not one int"):
        beside([(name, value if name == "width" else other) for name, other in features])


@pytest.mark.parametrize("format", FORMATS)
def test_a_manifest_of_another_layout_is_told_of(tmp_path: Path, format: str) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 2, mirror=True), 1)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["layout"] == {"raw": False, "camera": True, "landmarks": False, "packed": False}
    for name in ("landmarks", "raw", "packed") if format == "wds" else ("landmarks",):
        layout = {**manifest["layout"], name: True}
        edit_sealed(out / "manifest.json", lambda edited, layout=layout: edited.update(layout=layout))
        source = ShardSource(out)
        for read in (lambda source=source: source[0], lambda source=source: source.batch([0])):
            with pytest.raises(ShardsError, match=r"sample 0 is damaged: its (picture|member|feature) "):
                read()


@pytest.mark.parametrize(("format", "metadata", "image"), KINDS)
def test_flipped_bits_are_told_of_or_change_what_is_read(
    tmp_path: Path, format: str, metadata: str, image: str
) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 3), 1, image=image, metadata=metadata)
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    size = shard.stat().st_size // 3
    data = shard.read_bytes()
    draw = random.Random(f"{format} {metadata} {image}")
    source = ShardSource(out)
    ways = (lambda: source[0], lambda: source.column("weight"), lambda: source.batch([0, 1], NAMES))
    expected = source.batch([0, 1], NAMES)
    refused = same = other = 0
    for at in range(0, size, 1 if ENDURANCE else 2):
        # Padding is many zeros in a row, of which a few are enough.
        if not any(data[at - 8 : at + 9]) and at % 32:
            continue
        with _changed(shard, at, _flip(draw, data[at])):
            found = _read(draw.choice(ways))
        refused += found is None
        if isinstance(found, dict) and "key" in found:
            differ = any(not np.array_equal(found[name], expected[name]) for name in expected)
            same, other = same + (not differ), other + differ
    # Zeros between members and what stands for nothing; what is checked; letters and numbers.
    assert (same > 0, refused > 100, other > 20) == (True, True, True)
    assert shard.read_bytes() == data
    assert_batch(source.batch([0, 1, 2], NAMES), truths(out), [0, 1, 2])


def _flip(draw: random.Random, byte: int) -> bytes:
    """Others in place of a byte: one of its bits, all of it, or what follows too."""
    flips = bytes([byte ^ 1 << draw.randrange(8)]), bytes([byte ^ draw.randrange(1, 256)]), draw.randbytes(9)
    return draw.choice(flips)


def _read(way: Callable[[], object]) -> object:
    """What one way of reading finds, None where it refuses."""
    with warnings.catch_warnings():
        # Bits of a camera may become numbers that float32 does not hold.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return way()
        except ShardsError as error:
            assert re.search(r"sample [01] (is damaged: .|has a picture of)|others of its batch|early", str(error))
            return None


@pytest.mark.parametrize("image", ["keep", "raw"])
@pytest.mark.parametrize(("format", "metadata"), [("wds", "json"), ("wds", "msgpack"), ("tfrecord", "json")])
def test_an_index_file_that_cuts_samples_elsewhere_is_refused(
    tmp_path: Path, format: str, metadata: str, image: str
) -> None:
    out = write(tmp_path / "out", format, lpff(tmp_path, 4), 1, image=image, metadata=metadata)
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    data, index, expected = shard.read_bytes(), _index(shard), truths(out)
    first, second, third, fourth, end = (0, *ShardSource(out)._ends.tolist())
    # Of the second sample its picture alone, and the rest of it goes to the third; or two samples, and half of one.
    cut = second + 512 + tar.padded(int(data[second + 124 : second + 135], 8)) if format == "wds" else second + 600
    for offsets in ((first, second, cut, fourth, end), (first, third, fourth, fourth + 512, end)):
        spans = [(start, stop - start) for start, stop in pairwise(offsets)]
        lines = "".join(f"{start} {size}\n" for start, size in spans).encode()
        index.write_bytes(struct.pack("<5Q", *offsets) if format == "wds" else lines)
        source = ShardSource(out)
        refused = 0
        for number in range(4):
            try:
                # What is handed out is one sample's picture, camera and fields.
                found = source.batch([number], NAMES)
                truth = next(truth for truth in expected if truth.fields["key"] == found["key"][0])
                assert_batch({**found, "index": np.array([0])}, [truth], [0])
            except ShardsError as error:
                assert f"{shard.name}: sample {number} is damaged: " in str(error)
                refused += 1
        assert refused >= 2


def _packed(change: Callable[[dict[Any, Any]], object]) -> Callable[[bytes], bytes]:
    return lambda data: msgpack.packb(change(msgpack.unpackb(data)), use_single_float=True)


ODD_METADATA: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a number for a key": (".mp", _packed(lambda found: {**found, 5: 1})),
    "bytes for a key": (".mp", _packed(lambda found: {**found, b"x": 1})),
    "pairs": (".mp", _packed(lambda found: [[1, 2], [3, 4]])),
    "a key of another sample": (".mp", _packed(lambda found: {**found, "key": "lpff_1"})),
    "deep msgpack": (".mp", lambda data: b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0"),
    "deep JSON": (".json", lambda data: b'{"key":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
}


@pytest.mark.parametrize("name", ODD_METADATA)
def test_odd_metadata_are_told_by_loaders_and_readers(tmp_path: Path, name: str) -> None:
    suffix, change = ODD_METADATA[name]
    metadata = "msgpack" if suffix == ".mp" else "json"
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 1), 1, metadata=metadata)
    _rewritten(out, lambda name, data: (name, change(data) if name.endswith(suffix) else data))


@pytest.mark.parametrize("suffix", ["pnx", "PNG", "image.npy", "", "png.png"])
def test_an_edited_suffix_is_told_by_loaders_and_readers(tmp_path: Path, suffix: str) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 1), 1)
    _rewritten(out, lambda name, data: (name.replace(".png", f".{suffix}"), data))


def _rewritten(out: Path, change: Callable[[str, bytes], tuple[str, bytes]]) -> None:
    """Rewrites an export's shard by its members, and expects loaders and readers to name its sample."""
    (shard,) = (out / s.file for s in read_manifest(out).shards)
    data = shard.read_bytes()
    members = [change(m.name, data[m.offset : m.offset + m.size]) for m in tar.members(memoryview(data))]
    shard.write_bytes(b"".join(tar.header(n, len(d)) + d + tar.padding(len(d)) for n, d in members) + tar.END)
    size = shard.stat().st_size
    edit_sealed(out / "manifest.json", lambda manifest: manifest["shards"][0].update(bytes=size))
    _index(shard).unlink()
    source = ShardSource(out)
    for way in (lambda: source[0], lambda: source.batch([0], ("yaw",))):
        with pytest.raises(ShardsError, match=f"{shard.name}: sample 0 is damaged: its "):
            way()
    with pytest.raises(SampleError):
        list(get_format("wds").samples(memoryview(shard.read_bytes()), read_manifest(out).layout))
