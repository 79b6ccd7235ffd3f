"""Bytes of pictures: read where they lie, and never others than were planned."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_factories import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.errors import ExportFailed
from lpff_shards.sources.io.blobs import BlobError, FileBlob, ZipBlob
from lpff_shards.sources.io.tree import open_tree

DATA = picture("blob", 16)


def zipped(path: Path, method: int = zipfile.ZIP_DEFLATED) -> ZipBlob:
    """The last of three members of a zip."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (("a.png", b"first"), ("b.png", picture("second")), ("c.png", DATA)):
            archive.writestr(name, data)
    blob = open_tree("--lpff", str(path)).files()["c.png"]
    assert isinstance(blob, ZipBlob)
    return blob


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def reason(blob: FileBlob | ZipBlob) -> str:
    before = open_files()
    with pytest.raises(BlobError) as caught:
        blob.read()
    assert open_files() == before
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89" * size)
    blob = FileBlob(str(path), size)
    assert blob.read() == b"\x89" * size and blob.where == str(path)


def shrunk(path: Path) -> None:
    path.write_bytes(DATA[:-1])


def grown(path: Path) -> None:
    path.write_bytes(DATA + b"\0")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Path.unlink, "cannot be read: No such file or directory"),
        (a_folder, "cannot be read: Is a directory"),
        (shrunk, f"has {len(DATA) - 1} bytes, not the {len(DATA)} it had when the export was planned"),
        (grown, f"has {len(DATA) + 1} bytes, not the {len(DATA)} it had when the export was planned"),
    ],
)
def test_a_file_that_changed(tmp_path: Path, change: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(DATA)
    change(path)
    assert reason(FileBlob(str(path), len(DATA))) == words


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_read_where_it_lies(tmp_path: Path, method: int) -> None:
    blob = zipped(tmp_path / "a.zip", method)
    assert blob.read() == DATA and blob.size == len(DATA)
    assert blob.where == f"{tmp_path}/a.zip:c.png"
    assert blob.method == ("stored" if method == zipfile.ZIP_STORED else "deflated")


@pytest.mark.parametrize("data", [b"", b"x"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_tiny_members(tmp_path: Path, method: int, data: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.png", data)
    assert open_tree("--lpff", str(path)).files()["x.png"].read() == data


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.booleans())
def test_any_member_of_any_zip(tmp_path_factory: pytest.TempPathFactory, data: bytes, method: int, long: bool) -> None:
    """`long` gives the local header an extra field that the directory lacks; bytes may stand before the zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, archive.open("ü@_01.png", "w", force_zip64=long) as member:
        member.write(data)
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(b"#!/bin/sh\n" * long + out.getvalue())
    assert open_tree("--lpff", str(path)).files()["ü@_01.png"].read() == data


def gone(path: Path, blob: ZipBlob) -> None:
    path.unlink()


def packed_anew(path: Path, blob: ZipBlob) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.png", b"0" * 7 + picture("other"))
        archive.writestr("c.png", DATA)


def emptied(path: Path, blob: ZipBlob) -> None:
    path.write_bytes(b"")


def cut_in_the_header(path: Path, blob: ZipBlob) -> None:
    path.write_bytes(path.read_bytes()[: blob.header + 20])


def cut_in_the_member(path: Path, blob: ZipBlob) -> None:
    path.write_bytes(path.read_bytes()[: blob.header + 30 + len("c.png") + 100])


CHANGES = [
    (gone, "cannot be read: No such file or directory"),
    (packed_anew, "has no local header at its offset in the zip: the zip has changed or is damaged"),
    (emptied, "has no local header at its offset in the zip: the zip has changed or is damaged"),
    (cut_in_the_header, "has no local header at its offset in the zip: the zip has changed or is damaged"),
    (cut_in_the_member, "is cut short in the zip: 100 of {packed} bytes"),
]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_zip_that_changed(tmp_path: Path, method: int, change: Callable[[Path, ZipBlob], None], words: str) -> None:
    path = tmp_path / "a.zip"
    blob = zipped(path, method)
    change(path, blob)
    assert reason(blob) == words.format(packed=blob.packed)


def test_another_member_at_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    blob = zipped(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("a.png", b"first"), ("b.png", picture("second")), ("d.png", picture("other", 16))):
            archive.writestr(name, data)
    assert open_tree("--lpff", str(path)).files()["d.png"] != blob
    assert reason(blob)  # or another picture would be written under this one's name


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_deflated_member(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.zip"
    blob = zipped(path)
    data = bytearray(path.read_bytes())
    start = blob.header + 30 + len("c.png")
    data[start + place :] = bytes(b ^ 0xFF for b in data[start + place :])
    path.write_bytes(data)
    assert "does not inflate" in reason(blob)


@pytest.mark.parametrize("wrong", [-1, 1, 10**7])
def test_a_member_of_another_size_than_the_directory_says(tmp_path: Path, wrong: int) -> None:
    blob = zipped(tmp_path / "a.zip")
    size = blob.size + wrong
    assert f"does not inflate to the {size} bytes" in reason(
        ZipBlob(blob.archive, blob.member, size, blob.header, blob.packed, blob.crc, blob.method)
    )


def test_a_bomb_is_not_inflated_further_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(10**7))
    blob = open_tree("--lpff", str(path)).files()["x.png"]
    assert isinstance(blob, ZipBlob) and blob.packed < 20_000
    shrunk = ZipBlob(blob.archive, blob.member, 100, blob.header, blob.packed, blob.crc, "deflated")
    assert "100 bytes" in reason(shrunk)
    assert blob.head(1000) == bytes(1000)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    assert "at most 268,435,456 are read" in reason(FileBlob(str(tmp_path / "none"), 3 * 10**9))
    for size, packed in ((1 << 40, 9), (9, 1 << 40)):
        assert "at most 268,435,456 are read" in reason(ZipBlob("none", "x.png", size, 0, packed, 0, "deflated"))


def test_a_large_member_that_shrank_too_much_is_not_inflated() -> None:
    assert "packed in 600,000, like a zip bomb" in reason(ZipBlob("none", "x", 70 << 20, 0, 600_000, 0, "deflated"))
    assert "No such file" in reason(ZipBlob("none", "x", 70 << 20, 0, 800_000, 0, "deflated"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path: Path, method: int) -> None:
    """The zip's CRC-32 covers what PNG's and JPEG's headers do not."""
    path = tmp_path / "a.zip"
    blob = zipped(path, method)
    data = bytearray(path.read_bytes())
    data[blob.header + 30 + len("c.png") + blob.packed // 2] ^= 1
    path.write_bytes(data)
    assert reason(blob)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_short_reads_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int) -> None:
    """Each call of the system returns five bytes at most: of the zip's directory, members and files."""
    pread, read = os.pread, os.read
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 5), at))
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 5)))
    path = tmp_path / "a.zip"
    blob = zipped(path, method)
    assert blob.read() == DATA
    assert blob.head(100)[:100] == DATA[:100]
    (tmp_path / "x.png").write_bytes(DATA)
    file = FileBlob(str(tmp_path / "x.png"), len(DATA))
    assert file.read() == DATA
    assert file.head(100) == DATA[:100]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_limit_of_the_machine_is_no_fault_of_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With --on-error skip a good picture would be left out."""
    path = tmp_path / "x.png"
    path.write_bytes(DATA)
    blobs = (zipped(tmp_path / "x.zip"), FileBlob(str(path), len(DATA)))

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", full)
    for blob in blobs:
        for read in (blob.read, lambda blob=blob: blob.head(4)):
            with pytest.raises(ExportFailed, match=os.strerror(number)):
                read()
