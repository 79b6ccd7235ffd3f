"""Bad input: one line that names the file and the id, exit status 2, nothing half-written; or the skip report."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import (
    LPFF_IDS,
    UP_IDS,
    edit,
    picture,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    write_lpff,
    write_unsplash_pexels,
    zip_folder,
)
from PIL import Image
from running import call

ID = LPFF_IDS[1]
CAMERAS = "camera_parameters.json"


@dataclass(frozen=True)
class Case:
    """A fault and what must be said of it.

    `spoil` gets the folder of a sound LPFF and damages it; it may return the options to use in place of `--lpff`.
    """

    name: str
    spoil: Callable[[Path], list[object] | None]
    says: tuple[str, ...]
    skippable: bool = False
    more: tuple[object, ...] = ()


def _crop(root: Path) -> Path:
    return root / f"crop/eg3d/{ID}.png"


def _rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda root: _crop(root).write_bytes(change(_crop(root).read_bytes())) and None


def _camera(change: Callable[[list[Any]], Any]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        edit(root / CAMERAS, lambda table: table | {ID: change(table[ID])})

    return spoil


def _set(place: int, value: Any) -> Callable[[list[Any]], Any]:
    return lambda numbers: [*numbers[:place], value, *numbers[place + 1 :]]


def _scaled(numbers: list[float]) -> list[float]:
    return [n * 1.01 if i % 4 < 3 and i < 12 else n for i, n in enumerate(numbers)]


def _reflected(numbers: list[float]) -> list[float]:
    return [-n if i in (0, 4, 8) else n for i, n in enumerate(numbers)]


def _png_head(side: int) -> Callable[[bytes], bytes]:
    """A PNG that ends where its pixels begin."""

    def change(_: bytes) -> bytes:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        parts = b"IHDR" + header, b"IDAT", b"IEND"
        chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    return change


def _twice_in_json(root: Path) -> None:
    path = root / CAMERAS
    table = json.loads(path.read_text())
    path.write_text(path.read_text().rstrip()[:-1] + f', "{ID}": {json.dumps(table[ID])}}}')


def _two_files(root: Path) -> None:
    write(root / f"crop/eg3d/{ID}_eg3d.png", picture("other"))


def _lost_camera(root: Path) -> None:
    edit(root / CAMERAS, lambda table: {id: camera for id, camera in table.items() if id != ID})


def _cut(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:-40]) and None


def _gif(_: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "GIF")
    return out.getvalue()


def _oblong(_: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "PNG")
    return out.getvalue()


def _sparse(size: int) -> Callable[[Path], None]:
    """A file of zeros that takes no room on the disk."""
    return lambda root: os.truncate(_crop(root), size)


def _deep_json(root: Path) -> None:
    write(root / CAMERAS, b'{"a": ' + b"[" * 100_000)


def _endless_json(root: Path) -> None:
    write(root / "info.json", b'{"a": "' + b"x" * (20 << 20))


def _sized(width: int, height: int) -> Callable[[bytes], bytes]:
    """A PNG of one color."""

    def change(_: bytes) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (width, height)).save(out, "PNG")
        return out.getvalue()

    return change


def _half_its_rows(data: bytes) -> bytes:
    at, end = data.index(b"IDAT"), data.index(b"IEND") - 8
    packed = zlib.compress(zlib.decompress(data[at + 4 : end])[:100])
    chunk = b"IDAT" + packed
    return (
        data[: at - 4] + struct.pack(">I", len(packed)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end + 4 :]
    )


def _damaged_pixels(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 8
    return data[:at] + bytes(20) + data[at + 20 :]


def _bad_deflate(data: bytes) -> bytes:
    """Damaged before it was packed: every CRC is right."""
    spoilt = _damaged_pixels(data)
    at = spoilt.index(b"IDAT")
    end = at + 4 + int.from_bytes(spoilt[at - 4 : at], "big")
    return spoilt[:end] + struct.pack(">I", zlib.crc32(spoilt[at:end])) + spoilt[end + 4 :]


def _zip_slip(root: Path) -> list[object]:
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.writestr("../evil.png", picture("evil"))
    return ["--lpff", root / "x.zip"]


def _cut_zip(root: Path) -> list[object]:
    path = zip_folder(root / "crop/eg3d", root / "x.zip")
    path.write_bytes(path.read_bytes()[:-30])
    return ["--lpff", path]


def _spoilt_zip(root: Path) -> list[object]:
    path = zip_folder(root, root.parent / "x.zip")
    data = path.read_bytes()
    at = data.index(f"crop/eg3d/{ID}.png".encode()) - 30
    path.write_bytes(data[:at] + b"XXXX" + data[at + 4 :])
    return ["--lpff", path]


def _rar(root: Path) -> list[object]:
    return ["--lpff", write(root / "eg3d.rar", b"Rar!\x1a\x07\x00")]


def _landmarks(root: Path) -> None:
    edit(root / "realign2400_lm.json", lambda table: table | {ID: table[ID][:67]})


def _label(change: Callable[[list[Any]], Any], labels: str = "dataset.json") -> Callable[[Path], list[object]]:
    def spoil(root: Path) -> list[object]:
        ffhq = write_ffhq_eg3d(root.parent / "ffhq")
        edit(ffhq / labels, lambda table: {"labels": change(table["labels"])})
        return ["--ffhq", ffhq]

    return spoil


def _v2_cut(root: Path) -> list[object]:
    ffhq = write_ffhq_stylegan(root.parent / "ffhq")
    v2 = write_ffhq_v2(root.parent / "v2.json", range(3))
    _cut("v2.json")(root.parent)
    return ["--ffhq", ffhq, "--ffhq-metadata", v2, "--alignment", "stylegan"]


def _v2_points(root: Path) -> list[object]:
    ffhq = write_ffhq_stylegan(root.parent / "ffhq")
    v2 = write_ffhq_v2(root.parent / "v2.json", range(3))
    edit(v2, lambda table: table | {"1": table["1"] | {"image": {"face_landmarks": "none"}}})
    return ["--ffhq", ffhq, "--ffhq-metadata", v2, "--alignment", "stylegan"]


def _same_key(root: Path) -> list[object]:
    ids = ["1-N2_3_04", "1@N2_3_04"]
    return ["--lpff", write_lpff(root.parent / "twins", ids, ["eg3d"])]


CASES = [
    Case("a picture cut short", _rewrite(lambda d: d[:-20]), (ID, ".png", "cut short"), True),
    Case("an empty picture", _rewrite(lambda _: b""), (ID, ".png", "empty"), True),
    Case("a text named .png", _rewrite(lambda _: b"hello world"), (ID, ".png", "not a PNG, JPEG or WebP"), True),
    Case("a GIF named .png", _rewrite(_gif), (ID, "not a PNG, JPEG or WebP"), True),
    Case("a picture of a billion pixels", _rewrite(_png_head(40_000)), (ID, ".png", "40000x40000 pixels"), True),
    Case("a picture of 169 million pixels", _rewrite(_png_head(13_000)), (ID, "13000x13000 pixels; the limit"), True),
    Case("pixels that are damaged", _rewrite(_damaged_pixels), (ID, "IDAT does not match its CRC"), True),
    Case("pixels that do not inflate", _rewrite(_bad_deflate), (ID, "does not decode"), True, ("--image", "raw")),
    Case("pixels of a picture that passes through", _rewrite(_bad_deflate), (ID, "does not decode"), True),
    Case(
        "a PNG that lacks rows", _rewrite(_half_its_rows), (ID, "does not decode: its zlib stream is cut short"), True
    ),
    Case(
        "a picture too wide for WebP",
        _rewrite(_sized(17_000, 2)),
        (ID, "17000x2, and WEBP allows at most 16,383"),
        True,
        ("--image", "webp"),
    ),
    Case(
        "a picture too high for JPEG",
        _rewrite(_sized(2, 65_510)),
        (ID, "2x65510, and JPEG allows at most 65,500"),
        True,
        ("--image", "jpeg"),
    ),
    Case("a picture of 3 GB", _sparse(3 * 10**9), (ID, "has 3,000,000,000 bytes; at most 268,435,456"), True),
    Case("a sparse terabyte", _sparse(1 << 40), (ID, "has 1,099,511,627,776 bytes; at most"), True),
    Case("an oblong picture", _rewrite(_oblong), (ID, "8x6; --resolution needs square"), True, ("--resolution", 4)),
    Case("a camera of 24 numbers", _camera(lambda c: c[:24]), (ID, CAMERAS, "24 numbers, not 25"), True),
    Case("a camera of no numbers", _camera(lambda _: {}), (ID, CAMERAS, "not a list of numbers"), True),
    Case("a NaN", _camera(_set(5, float("nan"))), (ID, CAMERAS, "number 6 of 25 is not finite"), True),
    Case("an infinity", _camera(_set(24, float("-inf"))), (ID, CAMERAS, "number 25 of 25 is not finite"), True),
    Case("a string", _camera(_set(0, "1.0")), (ID, CAMERAS, "not a list of numbers"), True),
    Case("a rotation that is scaled", _camera(_scaled), (ID, CAMERAS, "not orthonormal: off by 0.02"), True),
    Case("a rotation that reflects", _camera(_reflected), (ID, CAMERAS, "determinant -1, not +1"), True),
    Case("a last row", _camera(_set(15, 2.0)), (ID, CAMERAS, "last row is 0 0 0 2"), True),
    Case("a focal length", _camera(_set(16, -4.2)), (ID, CAMERAS, "focal length is -4.2"), True),
    Case("a principal point", _camera(_set(18, 1.5)), (ID, CAMERAS, "principal point is 1.5 0.5"), True),
    Case("a picture without camera", _lost_camera, (ID, CAMERAS, "no camera"), True),
    Case("an id twice in the JSON", _twice_in_json, (ID, CAMERAS, "twice"), True),
    Case("two files with one id", _two_files, (ID, ".png", "2 pictures have this id"), True),
    Case("67 landmarks", _landmarks, (ID, "realign2400_lm.json", "67x2"), True, ("--alignment", "realign2400")),
    Case("a record of another shape", lambda r: edit(r / "info.json", lambda t: t | {ID: 5}), (ID, "info.json"), True),
    Case("two ids with one key", _same_key, ("1-N2_3_04", "1@N2_3_04", "lpff_1-N2_3_04")),
    Case("cameras cut short", _cut(CAMERAS), (CAMERAS, "not valid JSON")),
    Case("info cut short", _cut("info.json"), ("info.json", "not valid JSON")),
    Case("cameras that are a list", lambda r: edit(r / CAMERAS, list), (CAMERAS, "does not contain")),
    Case("cameras that are nested", _deep_json, (CAMERAS, "is not valid JSON: ")),
    Case("a record without an end", _endless_json, ("info.json is not valid JSON: ",)),
    Case("no cameras", lambda r: (r / CAMERAS).unlink(), (CAMERAS, "was not found")),
    Case("no such path", lambda r: ["--lpff", r / "gone"], ("gone does not exist",)),
    Case("a text for a source", lambda r: ["--lpff", write(r / "x.txt", b"x")], ("x.txt is neither",)),
    Case("an empty folder", lambda r: (r / "empty").mkdir() or ["--lpff", r / "empty"], ("empty contains neither",)),
    Case("a rar", _rar, ("eg3d.rar is a RAR archive that is cut short", "Download it again")),
    Case("a zip cut short", _cut_zip, ("x.zip", "cut short or damaged")),
    Case("a zip member outside", _zip_slip, ("../evil.png points outside",)),
    Case("a zip changed since", _spoilt_zip, (ID, "x.zip:crop/eg3d", "no local header"), True),
    Case("a label without picture's name", _label(lambda t: [[1, t[0][1]]]), ("dataset.json", "does not contain")),
    Case("a label twice", _label(lambda t: [*t, t[2]]), ("dataset.json", "00001", "twice"), True),
    Case(
        "a label of 26 numbers", _label(lambda t: [[t[0][0], [*t[0][1], 1.0]], *t[1:]]), ("00000", "26 numbers"), True
    ),
    Case("a picture without label", _label(lambda t: t[1:]), ("dataset.json", "00000", "no camera"), True),
    Case("labels null", _label(lambda _: None), ("dataset.json has no labels",)),
    Case("FFHQ's records cut short", _v2_cut, ("v2.json", "not valid JSON")),
    Case("FFHQ landmarks of another shape", _v2_points, ("v2.json", "00001", "cannot be read"), True),
]

OPTIONS = [
    (["--allow-missing"], "--allow-missing has no effect without --update"),
    (["--out", "nul\0"], "is no path"),
    (["--shards", "2", "--shard-size", "1MB"], "cannot be used together"),
    (["--shard-size", "much"], "is not a size"),
    (["--shard-size", "0"], "out of range"),
    (["--shard-size", "256"], "Did you mean 256MB?"),
    (["--shard-size", "1K"], "is less than a sample, which takes about"),
    (["--shards", "0"], "out of range"),
    (["--shards", "99"], "more than the 6 samples"),
    (["--workers", "0"], "out of range"),
    (["--quality", "90"], "no effect without --image"),
    (["--image", "jpeg", "--quality", "101"], "out of range"),
    (["--resolution", "0"], "out of range"),
    (["--seed", "1", "--no-shuffle"], "no effect"),
    (["--name", "Bad Name"], "cannot be used in file names"),
    (["--alignment", "round"], "round"),
    (["--ffhq-cameras", "x.json"], "without --ffhq"),
    (["--demo", "2", "--alignment", "raw"], "--demo has no raw pictures"),
    (["--out", "hdfs://name/x"], "is not supported"),
    (["--out", "S3://name/x"], "--out S3://name/x is not supported"),
    (["--out", "s3:/name/x"], "--out s3:/name/x is not supported"),
    (["--nonsense"], "--nonsense"),
]


def _whole(path: Path) -> bool:
    with tarfile.open(path) as archive:
        return all(archive.extractfile(m).read() is not None for m in archive)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_clear_error(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_lpff(tmp_path / "lpff")
    source = case.spoil(root) or ["--lpff", root]
    out = tmp_path / "out"
    args = ("export", "--format", "wds", *source, "--out", out, "--samples-per-shard", 1, *case.more)
    done = call(capsys, monkeypatch, *args, "--workers", 1)
    errors = [line for line in done.err.splitlines() if line.startswith("lpff-shards:")]
    assert done.status == 2
    assert len(errors) == 1
    assert errors[0] == done.err.splitlines()[-1]
    assert all(part in errors[0] for part in case.says), errors[0]
    assert "Traceback" not in done.err
    assert not (out / "manifest.json").exists()
    assert all(map(_whole, out.glob("*.tar")))
    skipping = call(capsys, monkeypatch, *args, "--workers", 1, "--on-error", "skip")
    assert skipping.status == (0 if case.skippable else 2)
    if case.skippable:
        _check_report(out, skipping.out, case)
        assert call(capsys, monkeypatch, "verify", out, "--deep").status == 0


def _check_report(out: Path, printed: str, case: Case) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    counts = manifest["counts"]
    assert counts["planned"] == counts["written"] + counts["skipped"]
    assert counts["skipped"] + counts["left_out"] == len(manifest["skipped"]) > 0
    assert manifest["samples"] == counts["written"] > 0
    reported = [f"{skip['file']}: {skip['id']}: {skip['reason']}" for skip in manifest["skipped"]]
    assert any(all(part in line for part in case.says) for line in reported), reported
    assert f"left out: {len(manifest['skipped'])}" in printed
    assert str(out.parent) not in json.dumps(manifest)


@pytest.mark.parametrize(("options", "says"), OPTIONS, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_bad_options(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_unsplash_pexels(tmp_path / "up", UP_IDS, ["eg3d"])
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in options else ["--out", tmp_path / "out"]
    done = call(capsys, monkeypatch, "export", "--format", "wds", "--unsplash-pexels", root, *out, *options)
    assert done.status == 2
    assert says in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_no_source_and_no_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no source was given" in call(capsys, monkeypatch, "export", "--format", "wds", "--out", tmp_path).err
    assert "--format" in call(capsys, monkeypatch, "export", "--demo", "--out", tmp_path).err
    packed = ("--format", "tfrecord", "--metadata", "msgpack", "--demo", "--out", tmp_path)
    assert "no effect with --format tfrecord" in call(capsys, monkeypatch, "export", *packed).err


def test_out_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_text("mine")
    done = call(capsys, monkeypatch, "export", "--format", "wds", "--demo", 2, "--out", tmp_path / "out")
    assert done.status == 2
    assert "is not a folder" in done.err


def test_everything_is_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    edit(root / CAMERAS, lambda table: {id: [1.0] for id in table})
    args = ("export", "--format", "wds", "--lpff", root, "--out", tmp_path / "out", "--on-error", "skip")
    done = call(capsys, monkeypatch, *args)
    assert done.status == 2
    assert "nothing to write: all pictures were left out (3 cannot be used, such as 1" in done.err


def test_a_source_that_changes_while_it_is_read(tmp_path: Path) -> None:
    from lpff_shards import ExportOptions, SourceOptions, plan_export
    from lpff_shards.errors import BadInput
    from lpff_shards.exporters.sample import ImageCache, make_sample

    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    plan = plan_export(ExportOptions(format="wds", out="x", sources=SourceOptions(lpff=str(root))))
    _crop(root).write_bytes(_crop(root).read_bytes() + b"more")
    (entry,) = (e for task in plan.tasks() for e in task.entries if e.key.endswith("_02"))
    with pytest.raises(BadInput, match="bytes, not the"):
        make_sample(entry, plan.settings, ImageCache((entry,), plan.settings.picture))
    _crop(root).unlink()
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        make_sample(entry, plan.settings, ImageCache((entry,), plan.settings.picture))
