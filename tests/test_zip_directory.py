"""A zip's directory is read as zipfile reads it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpff_shards.sources.io.zip_tree import Directory, ZipError, read_directory

NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
NAMES = st.lists(NAME, unique=True, max_size=6)


def _read(data: bytes) -> Directory | None:
    return read_directory(lambda at, size: data[at : at + size], len(data))


def _as_zipfile_does(data: bytes) -> None:
    found = _read(data)
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    assert list(found.names) == [info.filename for info in members]
    assert found.flags.tolist() == [info.flag_bits for info in members]
    assert found.method.tolist() == [info.compress_type for info in members]
    for column, name in ((found.crc, "CRC"), (found.size, "file_size"), (found.packed, "compress_size")):
        assert column.tolist() == [getattr(info, name) for info in members]
    assert found.header.tolist() == [info.header_offset for info in members]


def _zip(names: list[str], comment: bytes = b"", before: bytes = b"", method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in names:
            archive.writestr(name, name.encode() * 3)
        archive.comment = comment
    return before + out.getvalue()


# zipfile too finds no end in a zip whose comment holds the mark of one.
COMMENT = st.binary(max_size=30).filter(lambda comment: b"PK\5\6" not in comment)


@given(NAMES, COMMENT, st.binary(max_size=30), st.sampled_from([0, 8, 12]))
def test_any_zip(names: list[str], comment: bytes, before: bytes, method: int) -> None:
    _as_zipfile_does(_zip(names, comment, before, method))


def test_names_without_the_flag_are_of_code_page_437() -> None:
    data = _zip(["ue.png", "b.png"])
    _as_zipfile_does(data.replace(b"ue.png", b"\x81e.png"))
    _as_zipfile_does(data.replace(b"ue.png", b"u\0.png"))
    assert list(_read(data.replace(b"ue.png", b"\x81e.png")).names) == ["üe.png", "b.png"]  # type: ignore[union-attr]


def test_names_without_the_flag_that_are_utf_8_are_that() -> None:
    names = ["señora.png", "sen\u0303ora.png", "b.png"]
    data = bytearray(_zip(names))
    for mark, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        for at in (match.start() for match in re.finditer(re.escape(mark), bytes(data))):
            data[at + flags] &= ~8
    found = _read(bytes(data))
    assert found is not None
    assert not found.flags.any()
    assert list(found.names) == names


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1, (1 << 62) + 1])
def test_zip64_numbers_beyond_archives_are_refused(number: int) -> None:
    data = _zip(["a.png"])
    at = data.index(b"PK\1\2")
    extra = struct.pack("<2HQ", 1, 8, number)
    entry = bytearray(data[at:-22] + extra)
    entry[24:28], entry[30:32] = b"\xff" * 4, struct.pack("<H", len(extra))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), at, 0)
    with pytest.raises(ZipError, match="size or offset is out of range"):
        _read(data[:at] + bytes(entry) + end)


@pytest.mark.parametrize(
    ("size", "at", "words"),
    [
        (0, 1 << 63, "Truncated central directory"),
        (1 << 63, 0, "Bad offset"),
        (47, (1 << 64) - 1, "size or offset is out of range"),
        ((1 << 64) - 1, 0, "Bad offset"),
    ],
)
def test_a_zip64_directory_at_no_place_is_refused(size: int, at: int, words: str) -> None:
    data = _zip(["a"])
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    far = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, at)
    with pytest.raises(ZipError, match=words):
        _read(data[:-22] + far + locator + data[-22:])


def test_the_byte_beside_the_version_needed_is_no_part_of_it() -> None:
    data = bytearray(_zip(["a.png", "b.png"]))
    data[data.index(b"PK\1\2") + 7] = 3  # some packers write their system there too
    _as_zipfile_does(bytes(data))


def test_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    # Seen by zipfile as if no archive held more: then it writes the fields of large ones.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", bytes(40 + 20 * number))
    data = path.read_bytes()
    assert b"PK\6\6" in data and b"\xff\xff\xff\xff" in data
    _as_zipfile_does(data)
    _as_zipfile_does(b"before" + data)
    full = struct.pack("<2H", 1, 24)
    at = data.rindex(full)
    # zipfile takes a lacking field for a size of 4 GiB, which is more than is read of a member.
    found = _read(data[:at] + struct.pack("<2H", 9, 24) + data[at + 4 :])
    assert found is not None and max(found.size) == 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"no zip at all, though longer than its end record"])
def test_what_is_no_zip(data: bytes) -> None:
    assert _read(data) is None and not zipfile.is_zipfile(io.BytesIO(data))


def _spoilt(at: int, value: bytes) -> bytes:
    data = bytearray(_zip(["a.png", "b.png"]))
    start = data.index(b"PK\1\2")
    data[start + at : start + at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_spoilt(0, b"XX"), "Bad magic number"),
        (_spoilt(6, b"\x40"), "zip file version 6.4"),
        (_spoilt(32, b"\x05"), "Bad magic number"),
        (_spoilt(8, b"\x00\x08").replace(b"a.png", b"\xff.png"), "utf-8"),
        (_zip(["a"])[60:], "Bad offset"),
    ],
)
def test_damaged_directories_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ZipError, match=words):
        _read(data)
    with pytest.raises((zipfile.BadZipFile, NotImplementedError, ValueError)), zipfile.ZipFile(io.BytesIO(data)):
        pass


def test_an_entry_that_ends_behind_the_directory_is_refused() -> None:
    with pytest.raises(ZipError, match="Truncated"):
        _read(_spoilt(28, b"\xff\xff"))


def test_an_archive_on_several_disks_is_refused() -> None:
    out = _zip(["a"])
    end = out[-22:]
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(out) - 22, 2)
    far = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 47, 0)
    with pytest.raises(ZipError, match="multiple disks"):
        _read(out[:-22] + far + locator + end)
