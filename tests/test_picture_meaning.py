"""What a picture file means is one thing: in export, verify, verify --deep, ShardSource and TensorFlow."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dataset_factories import FOLDERS, write, write_lpff
from picture_files import (
    BROKEN,
    HEIGHT,
    REFUSED,
    SIGNATURE,
    SOUND,
    WIDTH,
    chunk,
    png_of,
    shown,
    suffix,
    with_pixels,
)
from PIL import Image

from lpff_shards import ExportOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, export, verify_export
from lpff_shards.errors import ShardsError
from lpff_shards.exporters.pictures import process_image
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, decoded, inspect
from lpff_shards.loaders import ShardSource
from lpff_shards.manifest import Manifest

HOSTILE = """
import sys
from pathlib import Path
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, decoded
for file in sorted(Path(sys.argv[1]).iterdir()):
    print(file.name, flush=True)
    try:
        decoded(file.read_bytes())
    except (FormatError, PictureError):
        print("refused", flush=True)
"""

SOUND_NAMES, REFUSED_NAMES, BROKEN_NAMES = list(SOUND), list(REFUSED), list(BROKEN)


def _id(number: int) -> str:
    return f"1000{number:03}@N06_21795165{number:03}_01"


def _exported(folder: Path, files: Iterable[tuple[str, bytes]], **run: Any) -> Manifest:
    """An export of TFRecords that keeps the files as they are."""
    named = [(_id(number), suffix(name), data) for number, (name, data) in enumerate(files)]
    root = write_lpff(folder / "lpff", [id for id, _, _ in named], alignments=())
    # These crops are not square, as published ones are, so that theirs have no landmarks.
    (root / "realign2400_lm.json").unlink()
    for id, ending, data in named:
        write(root / FOLDERS["stylegan"] / f"{id}.{ending}", data)
    return export(
        ExportOptions(
            format="tfrecord",
            out=str(folder / "out"),
            sources=SourceOptions(lpff=str(root), alignment="stylegan"),
            shards=ShardOptions(shuffle=False),
            run=RunOptions(workers=1, **run),
        )
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    _exported(folder, [(name, meant.data) for name, meant in SOUND.items()])
    return folder / "out"


@pytest.fixture(scope="module")
def by_source(sound: Path) -> dict[str, np.ndarray]:
    return {sample["metadata"]["source_id"]: sample["image"] for sample in ShardSource(sound)}


@pytest.fixture(scope="module")
def by_tensorflow(sound: Path, tf: ModuleType) -> dict[str, np.ndarray]:
    from lpff_shards.loaders.tensorflow import dataset

    batches = dataset(sound, 1, shuffle=0, fields=("source_id",))
    return {batch["source_id"].numpy()[0].decode(): batch["image"].numpy()[0] for batch in batches}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    _exported(folder, BROKEN.items())
    return folder / "out"


def test_verify_and_verify_deep_take_sound_pictures(sound: Path) -> None:
    assert verify_export(sound).ok
    assert verify_export(sound, deep=True).faults == ()


@pytest.mark.parametrize("name", SOUND_NAMES)
def test_a_sound_picture_has_its_pixels_in_our_source(name: str, by_source: dict[str, np.ndarray]) -> None:
    meant, id = SOUND[name], _id(SOUND_NAMES.index(name))
    assert meant.pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(by_source[id], meant.pixels)


@pytest.mark.parametrize("name", SOUND_NAMES)
def test_a_sound_picture_has_its_pixels_in_tensorflow(name: str, by_tensorflow: dict[str, np.ndarray]) -> None:
    assert np.array_equal(by_tensorflow[_id(SOUND_NAMES.index(name))], SOUND[name].pixels)


@pytest.mark.parametrize("kind", ["png", "raw"])
@pytest.mark.parametrize("name", SOUND_NAMES)
def test_a_sound_picture_is_stored_and_mirrored_with_its_pixels(name: str, kind: str) -> None:
    meant = SOUND[name]
    original, mirror = (
        stored.picture for stored in process_image(meant.data, [False, True], PictureOptions(image=kind))
    )
    for picture, pixels in ((original, meant.pixels), (mirror, meant.pixels[:, ::-1])):
        found = np.frombuffer(picture.data, np.uint8).reshape(HEIGHT, WIDTH, 3) if kind == "raw" else None
        assert np.array_equal(shown(picture.data) if found is None else found, pixels)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why an export left pictures out, by id."""
    good = ("png good", SOUND["png 2 of 8 bits"].data)
    files = [(name, data) for name, (data, _) in REFUSED.items()]
    manifest = _exported(tmp_path_factory.mktemp("refused"), [*files, good], on_error="skip")
    assert manifest.samples == 1
    return {left.id: left.reason for left in manifest.skipped}


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_what_cannot_load_is_refused_at_export(name: str, refusals: dict[str, str]) -> None:
    assert REFUSED[name][1] in refusals[_id(REFUSED_NAMES.index(name))]


def test_verify_deep_names_every_broken_picture(broken: Path) -> None:
    assert verify_export(broken).ok
    faults = verify_export(broken, deep=True).faults
    assert {fault.sample for fault in faults} == {f"lpff_{_id(n)}".replace("@", "-") for n in range(len(BROKEN))}
    assert all("does not decode" in fault.reason for fault in faults)


@pytest.mark.parametrize("name", BROKEN_NAMES)
def test_a_broken_picture_is_an_error_in_the_source_and_when_it_is_decoded(name: str, broken: Path) -> None:
    source = ShardSource(broken)
    (row,) = np.flatnonzero(source.column("source_id") == _id(BROKEN_NAMES.index(name)))
    with pytest.raises(ShardsError, match=rf"sample {row} is damaged: the picture does not decode"):
        source[int(row)]
    with pytest.raises(PictureError, match="does not decode"):
        process_image(BROKEN[name], [False], PictureOptions(image="raw"))


def test_tensorflow_names_the_sample_of_a_cut_jpeg(tmp_path: Path, tf: ModuleType) -> None:
    from lpff_shards.loaders.tensorflow import dataset

    cut = BROKEN["jpeg cut in its pixels"]
    _exported(tmp_path, [("jpeg", SOUND["jpeg"].data), ("jpeg", cut)])
    with pytest.raises(tf.errors.UnknownError, match="sample 1 is damaged: the picture does not decode"):
        list(dataset(tmp_path / "out", 1, shuffle=0))


@pytest.mark.parametrize("ending", ["no end", "another end"])
def test_a_png_of_another_checksum_is_broken(tmp_path: Path, ending: str) -> None:
    data = _of_another_checksum(ending)
    _exported(tmp_path, [("png", data)])
    (fault,) = verify_export(tmp_path / "out", deep=True).faults
    assert "does not decode: its zlib stream" in fault.reason
    with pytest.raises(PictureError, match="does not decode: its zlib stream"):
        decoded(data)


@pytest.mark.parametrize("ending", ["no end", "another end"])
def test_a_png_of_another_checksum_is_broken_in_tensorflow(tf: ModuleType, ending: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.io.decode_png(_of_another_checksum(ending))


def _of_another_checksum(ending: str) -> bytes:
    plain = png_of(2, 8, False, False)
    stream = plain.data[plain.data.index(b"IDAT") + 4 : -16]
    return with_pixels(plain.data, stream[:-4] + (b"" if ending == "no end" else b"abcd"))


def test_no_picture_ends_the_process(tmp_path: Path) -> None:
    header = SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", 65_000, 65_000, 8, 2, 0, 0, 0))
    jpeg = SOUND["jpeg"].data
    frame = jpeg.index(b"\xff\xc0")
    files = [data for data, _ in REFUSED.values()] + list(BROKEN.values())
    files += [header + chunk(b"IDAT", b"") + chunk(b"IEND", b""), SIGNATURE, b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 "]
    files += [jpeg[: frame + 5] + b"\xff\xdc\xff\xdc" + jpeg[frame + 9 :], b"", b"GIF89a", b"BM" + bytes(60), b"x" * 99]
    for number, data in enumerate(files):
        write(tmp_path / f"{number:02}", data)
    done = subprocess.run([sys.executable, "-c", HOSTILE, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("refused") >= len(files) - len(REFUSED)


def _jpeg_cut_in_its_pixels(change: Callable[[bytearray, int], None]) -> bytes:
    """A JPEG of noise of which a quarter of the pixels is there, and whose scan header is changed."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", quality=90, subsampling=0)
    data = bytearray(out.getvalue())
    start = data.find(b"\xff\xda")
    body = start + 2 + int.from_bytes(data[start + 2 : start + 4])
    change(data, body)
    return bytes(data[: body + (len(data) - body) // 4]) + b"\xff\xd9"


@pytest.mark.parametrize("at", [-3, -2, -1])
def test_an_odd_scan_header_hides_no_cut(at: int) -> None:
    """libjpeg tells its first warning alone, and that of such a header is harmless."""

    def odd(data: bytearray, body: int) -> None:
        data[body + at] = 5

    with pytest.raises(PictureError):
        decoded(_jpeg_cut_in_its_pixels(odd))
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "JPEG")
    whole = bytearray(out.getvalue())
    expected = decoded(bytes(whole))
    start = whole.find(b"\xff\xda")
    whole[start + 2 + int.from_bytes(whole[start + 2 : start + 4]) + at] = 5
    assert (decoded(bytes(whole)) == expected).all()


def test_an_end_mark_in_a_scan_header_is_none() -> None:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "JPEG")
    data = bytearray(out.getvalue())
    start = data.find(b"\xff\xda")
    body = start + 2 + int.from_bytes(data[start + 2 : start + 4])
    data[body - 2 : body] = b"\xff\xd9"
    with pytest.raises(FormatError, match="cut short"):
        inspect(bytes(data[:body]))
