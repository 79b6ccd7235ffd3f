"""NPY files: the bytes that numpy writes, read back by numpy and by ourselves."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards.formats.containers import npy
from lpff_shards.formats.errors import FormatError

shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)


def save(array, version=(1, 0)):
    """The bytes that numpy writes."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version, allow_pickle=False)
    return out.getvalue()


def numbers(shape, dtype=np.float32):
    return (np.arange(math.prod(shape)) * 0.37 - 2).reshape(shape).astype(dtype)


def with_header(text, payload=b""):
    """An NPY file with a header of one's own."""
    body = text.encode("latin-1")
    body += b" " * (-(len(body) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + payload


def test_save_is_what_np_save_writes():
    out = io.BytesIO()
    np.save(out, numbers((25,)))
    assert out.getvalue() == save(numbers((25,)))


@pytest.mark.parametrize("shape", [(25,), (68, 2), (), (0,), (1,), (3, 0, 2), (3, 4, 5), (1,) * 10, (1000, 7)])
def test_dump_writes_the_bytes_that_numpy_writes(shape):
    assert npy.dump(numbers(shape)) == save(numbers(shape))


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_dump_writes_the_bytes_that_numpy_writes_for_any_shape(shape):
    assert npy.dump(numbers(shape)) == save(numbers(shape))


@pytest.mark.parametrize("dimensions", range(11, 33))
def test_long_headers_may_be_shorter_than_numpys_but_it_reads_them(dimensions):
    # numpy leaves 20 characters for the first dimension to grow: some of its long headers are a block longer.
    array = numbers((1,) * dimensions)
    found = np.load(io.BytesIO(npy.dump(array)), allow_pickle=False)
    assert found.shape == array.shape and found.dtype == np.float32


@given(st.sampled_from(["<f4", "|u1"]), st.lists(st.integers(0, 10**9), max_size=12).map(tuple))
@settings(max_examples=50, deadline=None)
def test_headers_are_whole_blocks(descr, shape):
    head = npy.header(descr, shape)
    assert len(head) % 64 == 0 and head.endswith(b"\n")
    assert len(head) == 10 + int.from_bytes(head[8:10], "little")
    file = io.BytesIO(head)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == (shape, False, np.dtype(descr))
    assert file.tell() == len(head)


@pytest.mark.parametrize(
    "array",
    [
        numbers((4, 6))[:, ::2],
        numbers((4, 3)).T,
        np.asfortranarray(numbers((3, 4))),
        numbers((3, 4), np.float64),
        numbers((3, 4), ">f4"),
    ],
    ids=["strided", "transposed", "fortran", "float64", "big-endian"],
)
def test_dump_takes_arrays_however_they_lie_in_memory(array):
    assert npy.dump(array) == save(np.ascontiguousarray(array, dtype="<f4"))


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_what_numpy_wrote_is_read(shape):
    data = save(numbers(shape))
    found = npy.exactly(data, shape)
    assert found.dtype == np.float32 and found.shape == shape
    np.testing.assert_array_equal(found, numbers(shape))
    assert npy.exactly(npy.dump(numbers(shape)), shape).tobytes() == found.tobytes()


def test_nothing_is_copied():
    data = save(numbers((68, 2)))
    assert np.shares_memory(npy.exactly(data, (68, 2)), np.frombuffer(data, np.uint8))


def test_numbers_that_are_no_numbers_survive():
    array = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    assert npy.exactly(npy.dump(array), (4,)).tobytes() == array.tobytes()


def test_a_raw_picture_is_header_and_pixels():
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    data = npy.header("|u1", (5, 7, 3)) + pixels.tobytes()
    assert data == save(pixels)
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)
    assert npy.picture_header(data) == ((5, 7, 3), len(data) - pixels.size)


@pytest.mark.parametrize("array", [np.zeros((5, 7), np.uint8), np.zeros((5, 7, 4), np.uint8), numbers((5, 7, 3))])
def test_what_is_no_raw_picture_is_refused(array):
    with pytest.raises(FormatError, match="its raw picture is"):
        npy.picture_header(save(array))


def test_every_cut_is_found():
    whole = npy.dump(numbers((4, 3)))
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            npy.exactly(whole[:length], (4, 3))


@pytest.mark.parametrize("more", [b"\0", b"\0" * 4, npy.dump(numbers((4, 3)))])
def test_bytes_behind_the_array_are_found(more):
    with pytest.raises(FormatError, match=r"not float32 of \(4, 3\)"):
        npy.exactly(npy.dump(numbers((4, 3))) + more, (4, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"PK\x03\x04" + bytes(200),
        save(numbers((3, 2)), (2, 0)),
        save(numbers((3, 2)), (3, 0)),
        save(np.asfortranarray(numbers((3, 2)))),
        save(numbers((3,), ">f4")),
        save(np.zeros(3, [("x", "<f4")])),
        save(np.array(["a", "b"])),
        npy.dump(numbers((3,))).replace(b"NUMPY", b"NUMPX"),
        npy.dump(numbers((3,))).replace(b"(3,)", b"(-3)"),
        npy.dump(numbers((3,))).replace(b"(3,)", b"[3,]"),
        npy.dump(numbers((3,))).replace(b" \n", b" x"),
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
        with_header("__import__('os').abort()"),
    ],
)
def test_other_files_are_refused(data):
    with pytest.raises(FormatError, match=r"not an NPY file of format 1\.0"):
        npy.picture_header(data)


BAD_HEADERS = [
    ("<g4", "(1,)"),
    ("<f5", "(1,)"),
    ("<f4", "(1 2)"),
    ("<f4", "(99999999999999999999,)"),
    ("<f4", "(4294967296, 4294967296)"),
]


@pytest.mark.parametrize(("descr", "shape"), BAD_HEADERS)
def test_odd_headers_are_refused(descr, shape):
    with pytest.raises(FormatError):
        npy.picture_header(with_header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"))


def test_every_flipped_bit_of_the_header_is_found():
    whole = npy.dump(numbers((68, 2)))
    for bit in range(8 * 128):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            npy.exactly(bytes(damaged), (68, 2))
