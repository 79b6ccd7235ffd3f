"""USTAR archives: read back by tarfile and GNU tar, and every damage outside the payloads is found."""

import io
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.formats.containers.tar import BLOCK, END, MAX_NAME, MAX_SIZE, TarMember, header, members, padding
from lpff_shards.formats.errors import FormatError

names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=MAX_NAME)
payloads = st.one_of(st.binary(max_size=40), st.sampled_from([511, 512, 513, 1024, 1500]).map(bytes))
archives = st.lists(st.tuples(names, payloads), max_size=5)

FILES = [("a.png", b"\x89PNG" * 75), ("a.json", b"{}"), ("b.png", b"x" * BLOCK), ("b.json", b"")]


def write(files):
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in files) + END


def read(archive):
    """Names and contents, by `members`."""
    return [(m.name, archive[m.offset : m.offset + m.size]) for m in members(memoryview(archive))]


def flipped(data, bit):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@given(archives)
@settings(max_examples=50, deadline=None)
def test_tarfile_reads_what_was_written(files):
    with tarfile.open(fileobj=io.BytesIO(write(files)), mode="r:") as archive:
        found = archive.getmembers()
        assert [(m.name, m.size) for m in found] == [(name, len(data)) for name, data in files]
        assert [archive.extractfile(m).read() for m in found] == [data for _, data in files]
        for m in found:
            assert (m.mode, m.mtime, m.uid, m.gid, m.uname, m.gname) == (0o644, 0, 0, 0, "", "")
            assert m.isfile() and m.type == tarfile.REGTYPE and m.pax_headers == {}


@given(archives)
@settings(max_examples=50, deadline=None)
def test_members_read_what_was_written(files):
    assert read(write(files)) == files


@given(names, st.integers(0, MAX_SIZE))
@settings(max_examples=50, deadline=None)
def test_header_is_the_one_that_tarfile_writes(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    assert header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_members_say_where_things_are():
    assert list(members(memoryview(write([("one", b"1" * 600), ("two", b"2")])))) == [
        TarMember("one", 0, 512, 600),
        TarMember("two", 1536, 2048, 1),
    ]
    assert [m.end for m in members(memoryview(write(FILES)))] == [1024, 2048, 3072, 3584]


def test_an_archive_without_members_is_its_end_mark():
    assert write([]) == bytes(1024)
    assert read(bytes(1024)) == []


def test_names_may_be_a_hundred_bytes_long():
    files = [("n" * 96 + ".png", b"1"), ("n" * 100, b"2")]
    assert read(write(files)) == files
    with tarfile.open(fileobj=io.BytesIO(write(files))) as archive:
        assert archive.getnames() == [name for name, _ in files]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("", 1, "name of 0 bytes"),
        ("n" * 101, 1, "name of 101 bytes: nnn"),
        ("ä.png", 1, "ascii"),
        ("a.png", -1, "of -1 bytes"),
        ("a.png", 8**11, "of 8589934592 bytes"),
    ],
)
def test_what_ustar_cannot_hold_is_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        header(name, size)


def test_the_largest_member_has_a_header():
    assert tarfile.TarInfo.frombuf(header("big", 8**11 - 1), "ascii", "strict").size == 8**11 - 1


@given(st.integers(0, 10**10))
@settings(max_examples=50, deadline=None)
def test_padding_fills_a_block(size):
    fill = padding(size)
    assert len(fill) < BLOCK and (size + len(fill)) % BLOCK == 0 and not any(fill)


def test_every_cut_is_found():
    whole = write(FILES)
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            read(whole[:length])


@pytest.mark.parametrize(
    ("length", "message", "offset"),
    [
        (0, "cut short: no end mark", 0),
        (100, "cut short: no end mark", 0),
        (512, "cut short inside a.png", 0),
        (600, "cut short inside a.png", 0),
        (1000, "cut short inside a.png", 0),
        (1024, "cut short: no end mark", 1024),
        (3584, "cut short: no end mark", 3584),
        (4096, "end mark is not two zero blocks", 3584),
        (4607, "end mark is not two zero blocks", 3584),
    ],
)
def test_a_cut_archive_says_where(length, message, offset):
    with pytest.raises(FormatError, match=message) as caught:
        read(write(FILES)[:length])
    assert caught.value.offset == offset
    assert str(caught.value).endswith(f"(at byte {offset})")


def test_members_before_a_fault_are_handed_out():
    found = []
    with pytest.raises(FormatError):
        found.extend(m.name for m in members(memoryview(write(FILES)[:-1])))
    assert found == ["a.png", "a.json", "b.png", "b.json"]


@pytest.mark.parametrize("more", [b"\0", bytes(512), bytes(9216), b"x", write(FILES)])
def test_bytes_behind_the_end_mark_are_found(more):
    with pytest.raises(FormatError, match="end mark"):
        read(write(FILES) + more)


def test_every_flipped_bit_outside_a_payload_is_found():
    payload = 300
    whole = write([("a.png", bytes(payload))])
    outside = [*range(BLOCK), *range(BLOCK + payload, len(whole))]
    assert len(outside) == 512 + 212 + 1024
    missed = []
    for bit in (8 * place + n for place in outside for n in range(8)):
        try:
            read(flipped(whole, bit))
            missed.append(bit)
        except FormatError:
            pass
    assert missed == []


@given(archives.filter(bool), st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_of_any_archive_is_found_or_is_in_a_payload(files, data):
    whole = write(files)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    if any(m.offset <= bit // 8 < m.offset + m.size for m in members(memoryview(whole))):
        assert [name for name, _ in read(flipped(whole, bit))] == [name for name, _ in files]
    else:
        with pytest.raises(FormatError):
            read(flipped(whole, bit))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, b"\xc3", "member's header is damaged: 'ascii'"),
        (0, b"B", "header of B.png is damaged"),
        (100, b"0000755", "header of a.png is damaged"),
        (124, b"not a size!", "member's header is damaged: invalid literal"),
        (124, b" 0000000454", "header of a.png is damaged"),
        (136, b"12345670123", "header of a.png is damaged"),
        (148, b"000000", "header of a.png is damaged"),
        (156, b"5", "header of a.png is damaged"),
        (257, b"ustar  \0", "header of a.png is damaged"),
        (345, b"folder", "header of a.png is damaged"),
        (512 + 300, b"x", "padding after a.png is not zero"),
        (-1024, b"x", "member's header is damaged"),
        (-1, b"x", "end mark is not two zero blocks"),
    ],
)
def test_damage_is_named(place, value, message):
    damaged = bytearray(write(FILES))
    start = place % len(damaged)
    damaged[start : start + len(value)] = value
    with pytest.raises(FormatError, match=message):
        read(bytes(damaged))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_an_archive_by_other_hands_is_not_ours(form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        info = tarfile.TarInfo("a.png")
        info.size, info.mtime = 3, 1234567890
        archive.addfile(info, io.BytesIO(b"123"))
    with pytest.raises(FormatError, match=r"header of a\.png is damaged"):
        read(out.getvalue())


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar on PATH")
def test_tar_lists_and_unpacks_it(tmp_path):
    path = tmp_path / "shard.tar"
    path.write_bytes(write(FILES))
    listed = subprocess.run(["tar", "-tf", str(path)], capture_output=True, text=True, check=True)
    assert (listed.stdout.split(), listed.stderr) == ([name for name, _ in FILES], "")
    subprocess.run(["tar", "-xf", str(path), "-C", str(tmp_path)], check=True)
    for name, data in FILES:
        assert (tmp_path / name).read_bytes() == data
        assert (tmp_path / name).stat().st_mtime == 0
