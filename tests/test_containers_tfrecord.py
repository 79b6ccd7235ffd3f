"""TFRecord frames: known checksums, every damage is found, TensorFlow reads and writes the same bytes."""

import struct

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.tfrecord import FRAMING, frame, masked, records

SMALL = [b"", b"ab", b"hello world"]


def write(contents):
    parts = ((head, data, tail) for data in contents for head, tail in [frame([data])])
    return b"".join(piece for part in parts for piece in part)


def read(data):
    return [bytes(record) for _, record in records(memoryview(data))]


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # the check value of CRC-32C, then RFC 3720, B.4
        (b"123456789", 0xE3069283),
        (b"", 0),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c(data, crc):
    assert google_crc32c.value(data) == crc
    assert frame([data])[1] == masked(crc)


@pytest.mark.parametrize(
    ("crc", "expected"),
    [(0, 0xA282EAD8), (0xE3069283, 0xC78AB0E5), (0xFFFFFFFF, 0xA282EAD7), (0x8000, 0xA282EAD9), (1, 0xA284EAD8)],
)
def test_masked(crc, expected):
    assert masked(crc) == struct.pack("<I", expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_masking_can_be_undone(crc):
    rotated = (int.from_bytes(masked(crc), "little") - 0xA282EAD8) % 2**32
    assert (rotated >> 17 | rotated << 15) % 2**32 == crc


@given(st.lists(st.binary(max_size=50), max_size=5))
@settings(max_examples=50, deadline=None)
def test_records_come_back(contents):
    whole = write(contents)
    assert read(whole) == contents
    starts = [sum(FRAMING + len(data) for data in contents[:n]) for n in range(len(contents))]
    assert [at for at, _ in records(memoryview(whole))] == starts
    assert len(whole) == sum(FRAMING + len(data) for data in contents)


@given(st.lists(st.binary(max_size=20), max_size=5))
@settings(max_examples=30, deadline=None)
def test_pieces_are_framed_as_the_whole_is(pieces):
    assert frame(pieces) == frame([b"".join(pieces)])


def test_every_flipped_bit_is_found():
    whole = write(SMALL)
    assert len(whole) == 61
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            read(bytes(damaged))


def test_every_cut_inside_a_record_is_found():
    whole = write(SMALL)
    boundaries = {0: 0, 16: 1, 34: 2, 61: 3}
    for length in range(len(whole) + 1):
        if length in boundaries:
            assert read(whole[:length]) == SMALL[: boundaries[length]]
        else:
            with pytest.raises(FormatError):
                read(whole[:length])


@pytest.mark.parametrize(
    ("damaged", "message", "offset"),
    [
        (write(SMALL)[:40], "cut short inside a record's length", 34),
        (write(SMALL)[:50], "cut short inside a record", 34),
        (write(SMALL)[:60], "cut short inside a record", 34),
        (write(SMALL) + b"\0", "cut short inside a record's length", 61),
        (bytes(16), "length does not match its CRC", 0),
        (write(SMALL).replace(b"ab", b"ac"), "data does not match its CRC", 16),
    ],
)
def test_damage_is_named(damaged, message, offset):
    with pytest.raises(FormatError, match=message) as caught:
        read(damaged)
    assert caught.value.offset == offset


def test_tensorflow_reads_our_files_and_writes_them_alike(tf, tmp_path):
    contents = [*SMALL, bytes(100_000), b"\xff" * 70]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(write(contents))
    assert list(tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == contents
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for data in contents:
            writer.write(data)
    assert theirs.read_bytes() == ours.read_bytes()


@given(st.binary(max_size=60))
@settings(max_examples=40, deadline=None)
def test_noise_behind_the_records_is_found(noise):
    with pytest.raises(FormatError):
        read(write(SMALL) + b"x" + noise)
