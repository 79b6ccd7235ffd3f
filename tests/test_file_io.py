"""Reads that the system answers with fewer bytes than requested."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lpff_shards.storage.file_io import pread_fully, preadv_fully

DATA = bytes(range(256)) * 40
pread, preadv = os.pread, os.preadv


@pytest.fixture
def fd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An open file of `DATA` of which each call returns 1000 bytes at most."""

    def short(fd: int, size: int, at: int) -> bytes:
        return pread(fd, min(size, 1000), at)

    def short_parts(fd: int, parts: Sequence[memoryview], at: int) -> int:
        return preadv(fd, [next(part for part in parts if len(part))[:1000]], at)

    monkeypatch.setattr(os, "pread", short)
    monkeypatch.setattr(os, "preadv", short_parts)
    path = tmp_path / "data"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(("size", "at"), [(0, 0), (999, 0), (1000, 5), (1001, 5), (7000, 3000), (len(DATA), 0)])
def test_short_reads_are_continued(fd: int, size: int, at: int) -> None:
    assert pread_fully(fd, size, at) == DATA[at : at + size]


@pytest.mark.parametrize(("size", "at"), [(1, len(DATA)), (10, len(DATA) + 5), (2000, len(DATA) - 1500), (1 << 40, 5)])
def test_a_read_ends_with_the_file(fd: int, size: int, at: int) -> None:
    assert pread_fully(fd, size, at) == DATA[at:]


def test_short_reads_into_buffers_are_continued(fd: int) -> None:
    parts = [bytearray(size) for size in (0, 1, 2500, 0, 1000, 3)]
    assert preadv_fully(fd, parts, 7) == 3504
    assert b"".join(parts) == DATA[7:3511]


def test_buffers_beyond_the_end_stay_empty(fd: int) -> None:
    parts = [bytearray(1500), memoryview(bytearray(600))]
    assert preadv_fully(fd, parts, len(DATA) - 1600) == 1600
    assert bytes(parts[0]) + bytes(parts[1]) == DATA[-1600:] + bytes(500)


def test_more_buffers_than_one_call_takes(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    parts = [bytearray(1) for _ in range(3000)]
    with (tmp_path / "data").open("rb") as file:
        assert preadv_fully(file.fileno(), parts, 2) == 3000
    assert b"".join(parts) == DATA[2:3002]
