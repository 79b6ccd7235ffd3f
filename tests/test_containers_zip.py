"""Our zips are read by zipfile, by unzip and by ourselves, beyond 4 GiB and 65,535 members too; damage is noticed."""

from __future__ import annotations

import io
import mmap
import os
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards.formats.containers import zip as archives
from lpff_shards.formats.errors import FormatError

GIB = 1 << 30


def zipped(contents: Sequence[tuple[str, bytes]]) -> bytes:
    """A zip of these members."""
    body, directory = b"", b""
    for name, data in contents:
        crc = zlib.crc32(data)
        directory += archives.entry(name, crc, len(data), len(body))
        body += archives.local_header(name, crc, len(data)) + data
    return body + directory + archives.end(len(contents), len(directory), len(body))


def _read(archive: bytes) -> list[tuple[str, bytes]]:
    view = memoryview(archive)
    return [(member.name, bytes(member.read(view))) for member in archives.members(view)]


_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_/.", min_size=1, max_size=30).filter(lambda n: n[0] != "/")
_contents = st.lists(st.tuples(_names, st.binary(max_size=200)), max_size=6, unique_by=lambda one: one[0])


@settings(max_examples=60, deadline=None)
@given(_contents)
def test_what_is_written_is_read(contents: list[tuple[str, bytes]]) -> None:
    archive = zipped(contents)
    assert _read(archive) == contents
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert [(info.filename, read.read(info)) for info in read.infolist()] == contents


@settings(max_examples=examples(150), deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(where: float, bit: int) -> None:
    archive = bytearray(zipped([("00000/img00000000.png", b"picture"), ("dataset.json", b"{}")]))
    archive[int(where * len(archive))] ^= 1 << bit
    with pytest.raises(FormatError):
        _read(bytes(archive))


@given(st.floats(0, 1, exclude_max=True))
def test_a_cut_archive_is_noticed(where: float) -> None:
    archive = zipped([("00000/img00000000.png", b"picture"), ("dataset.json", b"{}")])
    with pytest.raises(FormatError):
        _read(archive[: int(where * len(archive))])


def test_more_members_than_a_plain_zip_has_room_for() -> None:
    names = [f"{n // 1000:05d}/img{n:08d}.png" for n in range(70_000)]
    crc = zlib.crc32(b"x")
    size = len(archives.local_header(names[0], crc, 1)) + 1
    body = b"".join(archives.local_header(name, crc, 1) + b"x" for name in names)
    directory = b"".join(archives.entry(name, crc, 1, n * size) for n, name in enumerate(names))
    archive = body + directory + archives.end(len(names), len(directory), len(body))
    assert [member.name for member in archives.members(memoryview(archive))] == names
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.namelist() == names
        assert read.read(names[-1]) == b"x"


def _huge(path: Path, size: int) -> int:
    """A zip with a member of that many zeros, which take no room on the disk, and a small one behind it."""
    crc = 0x12345678
    with path.open("wb") as file:
        file.write(archives.local_header("zeros", crc, size))
        file.seek(size, os.SEEK_CUR)
        at = file.tell()
        file.write(archives.local_header("last.txt", zlib.crc32(b"last"), 4) + b"last")
        start = file.tell()
        directory = archives.entry("zeros", crc, size, 0) + archives.entry("last.txt", zlib.crc32(b"last"), 4, at)
        file.write(directory + archives.end(2, len(directory), start))
    return at


@pytest.mark.parametrize("size", [archives.FULL - 60, archives.FULL - 1, archives.FULL, 5 * GIB])
def test_members_and_places_beyond_four_gibibytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "huge.zip"
    at = _huge(path, size)
    with zipfile.ZipFile(path) as read:
        assert [(info.filename, info.file_size, info.header_offset) for info in read.infolist()] == [
            ("zeros", size, 0),
            ("last.txt", 4, at),
        ]
        assert read.read("last.txt") == b"last"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        big, last = archives.members(view)
        assert (big.size, last.header, bytes(last.read(view))) == (size, at, b"last")
        view.release()
    # Info-ZIP reads a Zip64 field of that very number as one that points to another.
    if shutil.which("zipinfo") and size != archives.FULL:
        listed = subprocess.run(["zipinfo", "-1", path], capture_output=True, text=True, check=True)
        assert listed.stdout.split() == ["zeros", "last.txt"]
