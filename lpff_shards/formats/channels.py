"""The files of channels: one row of `_KINDS` for each kind, which makes the stored file, and decodes it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from lpff_shards.formats.containers import npy
from lpff_shards.formats.containers import zip as zips
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import png
from lpff_shards.schemas.channels import ArraySpec, Channel

Size = tuple[int, int]
Arrays = Mapping[str, NDArray[Any]]
_PLAIN = "biuf"
_LAST_AXIS = "flip-last-axis"
_EMPTY_MODE = "L"
_BOM = b"\xef\xbb\xbf"
_DEPTH = 24
"""Offset of a PNG's bits per color; its type of colors, 0 for gray, is after it."""
_MOST_BYTES = 1 << 28
"""Most bytes of the arrays of an NPZ."""


def stored(channel: Channel, data: bytes, flip: bool, size: Size) -> bytes:
    """Return the file to store for a sample.

    Args:
        data: of the user's file.
        flip: the sample is the mirror of the picture that the file belongs to.
        size: width and height of the sample's picture in pixels.

    Raises:
        FormatError: the file is not of the channel's kind, or differs in shape from others.
    """
    return _KINDS[channel.kind].store(channel, data, flip, size)


def empty(channel: Channel, size: Size) -> bytes:
    """Return the file of a picture without one: black, an empty text, zeros or an object without keys."""
    return _KINDS[channel.kind].empty(channel, size)


def decode(channel: Channel, data: bytes) -> Any:
    """Return the contents of a stored file; raise FormatError for one that `stored` did not return.

    It is an array [height, width] or [height, width, channels] of a PNG (of its indices if it has a palette), a str, an
    array, a dict of arrays by name, or the object of a JSON file.
    """
    return _KINDS[channel.kind].decode(channel, data)


def check(channel: Channel, data: bytes) -> None:
    """Raise FormatError for a file that `stored` did not return; the pixels of a PNG are not decoded."""
    if channel.kind != "png":
        decode(channel, data)
    elif not data.startswith(png.SIGNATURE):
        raise FormatError(f"its {channel.suffix} is no PNG")
    else:
        png.inspect(data)


def arrays_of(kind: str, data: bytes) -> tuple[ArraySpec, ...]:
    """Return the arrays that a user's NPY or NPZ file has; raise FormatError for another file."""
    return tuple(ArraySpec(name, _descr(array), array.shape) for name, array in _read_arrays(kind, data).items())


def mode_of(data: bytes) -> str:
    """Return the mode of a user's PNG, with Pillow's name; raise FormatError for another file."""
    with _opened(data) as image:
        return str(image.mode)


def npy_header(channel: Channel) -> bytes:
    """Return the header of a channel's NPY files, which are all alike; empty for other kinds."""
    return npy.header(channel.arrays[0].dtype, channel.arrays[0].shape) if channel.kind == "npy" else b""


def _descr(array: NDArray[Any]) -> str:
    if not array.size:
        raise FormatError(f"it holds an array without numbers, of shape {list(array.shape)}")
    if array.dtype.kind not in _PLAIN or array.dtype.itemsize > 8:
        raise FormatError(f"its numbers are {array.dtype}; booleans, integers and floats of up to 64 bits are stored")
    return array.dtype.newbyteorder("<").str


def _read_arrays(kind: str, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        if kind == "npy":
            return {"": _read_array(data)}
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if (size := sum(member.file_size for member in members.infolist())) > _MOST_BYTES:
                raise FormatError(f"its arrays have {size:,} bytes; at most {_MOST_BYTES:,} are read")
            names = sorted(members.namelist())
            if not names or not all(name.isascii() and name.endswith(".npy") for name in names):
                raise FormatError("it is not an NPZ file of arrays with names of ASCII letters")
            return {name.removesuffix(".npy"): _read_array(members.read(name)) for name in names}
    except (MemoryError, FormatError):
        raise
    except Exception as error:  # numpy and zipfile raise many types on damaged files
        raise FormatError(f"it is not an {kind.upper()} file of numbers: {error}") from None


def _read_array(data: bytes) -> NDArray[Any]:
    """Return the array of a whole NPY file, without running pickles or believing its size."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise FormatError(f"it is an NPY file of version {version[0]}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(stream)
    start = stream.tell()
    if dtype.hasobject or len(data) - start != dtype.itemsize * prod(shape):
        raise FormatError(f"it is cut short, or holds no numbers: {dtype} of shape {list(shape)} in {len(data)} bytes")
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if is_fortran else "C")


def _store_arrays(channel: Channel, data: bytes, flip: bool, size: Size) -> bytes:  # noqa: ARG001  # arrays keep theirs
    arrays = _read_arrays(channel.kind, data)
    found = tuple(ArraySpec(name, _descr(array), array.shape) for name, array in arrays.items())
    if found != channel.arrays:
        raise FormatError(f"it holds {_shown(found)}, others {_shown(channel.arrays)}")
    if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in arrays.values()):
        raise FormatError("it holds a number that is not finite")
    if flip and channel.mirror == _LAST_AXIS:
        # A number has no axis.
        arrays = {name: array[..., ::-1] if array.ndim else array for name, array in arrays.items()}
    return _dump(channel, arrays)


def _shown(arrays: tuple[ArraySpec, ...]) -> str:
    return ", ".join(f"{a.name + ' ' if a.name else ''}{np.dtype(a.dtype)} {list(a.shape)}" for a in arrays)


def _dump(channel: Channel, arrays: Arrays) -> bytes:
    files = {
        spec.name: npy.header(spec.dtype, spec.shape) + arrays[spec.name].astype(spec.dtype).tobytes()
        for spec in channel.arrays
    }
    if channel.kind == "npy":
        return files[""]
    out, directory = bytearray(), bytearray()
    for name, data in files.items():
        member, crc = f"{name}.npy", crc32(data)
        directory += zips.entry(member, crc, len(data), len(out))
        out += zips.local_header(member, crc, len(data)) + data
    return bytes(out + directory + zips.end(len(files), len(directory), len(out)))


def _decode_arrays(channel: Channel, data: bytes) -> Any:
    if channel.kind == "npy":
        return array_in(channel.arrays[0], data)
    found = {member.name: bytes(member.read(memoryview(data))) for member in zips.members(memoryview(data))}
    if [*found] != [f"{spec.name}.npy" for spec in channel.arrays]:
        raise FormatError(f"its {channel.suffix} holds {', '.join(found)}")
    return {spec.name: array_in(spec, found[f"{spec.name}.npy"]) for spec in channel.arrays}


def array_in(spec: ArraySpec, data: bytes) -> NDArray[Any]:
    """Return the array in the bytes of an NPY file; raise FormatError for another array."""
    head = npy.header(spec.dtype, spec.shape)
    if data[: len(head)] != head or len(data) != len(head) + np.dtype(spec.dtype).itemsize * prod(spec.shape):
        raise FormatError(f"an array is not {np.dtype(spec.dtype)} of {list(spec.shape)}")
    return np.frombuffer(data, spec.dtype, offset=len(head)).reshape(spec.shape)


def _opened(data: bytes) -> Any:
    from PIL import Image

    if not data.startswith(png.SIGNATURE):
        raise FormatError("it is not a PNG file")
    png.inspect(data)
    if data[_DEPTH] == 16 and data[_DEPTH + 1]:
        raise FormatError("it has 16 bits per color, of which Pillow keeps 8: store it as NPY, or as gray")
    return Image.open(io.BytesIO(data), formats=("png",))


def _store_png(channel: Channel, data: bytes, flip: bool, size: Size) -> bytes:  # any PNG
    from PIL import Image

    try:
        with _opened(data) as image:
            image.load()
            width, height = image.size
            if width * size[1] != height * size[0]:
                raise FormatError(f"it is {width}x{height}, and its picture {size[0]}x{size[1]}")
            if image.mode != channel.mode:
                raise FormatError(f"its color mode is {image.mode}, others have {channel.mode}")
            if image.size == size and not flip:
                # EXIF could turn it, and not its mirror.
                return png.stripped(data, image.mode, frozenset({b"tRNS"}))
            # Resized before it is flipped, as pictures are: so a mirror is the exact flip of its original.
            fitted = image if image.size == size else image.resize(size, Image.Resampling.NEAREST)
            fitted = fitted.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else fitted
            out = io.BytesIO()
            fitted.save(out, "PNG")
            return out.getvalue()
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"it does not decode: {error}") from None


def _decode_png(channel: Channel, data: bytes) -> Any:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("png",)) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"its {channel.suffix} does not decode: {error}") from None


def _empty_png(channel: Channel, size: Size) -> bytes:
    from PIL import Image

    image, out = Image.new(channel.mode or _EMPTY_MODE, size), io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _store_text(channel: Channel, data: bytes, flip: bool, size: Size) -> bytes:  # noqa: ARG001  # the same for a mirror
    try:
        return data.removeprefix(_BOM).decode().encode()
    except UnicodeDecodeError:
        raise FormatError("it is not UTF-8 text") from None


def _decode_text(channel: Channel, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError(f"its {channel.suffix} is not UTF-8 text") from None


def _store_row(channel: Channel, data: bytes, flip: bool, size: Size) -> bytes:  # noqa: ARG001  # the same for a mirror
    try:
        return msgspec.json.encode(msgspec.json.decode(data.removeprefix(_BOM)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"it is not JSON: {error}") from None


def _decode_row(channel: Channel, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"its {channel.suffix} is not JSON: {error}") from None


@dataclass(frozen=True)
class _Kind:
    store: Callable[[Channel, bytes, bool, Size], bytes]
    decode: Callable[[Channel, bytes], Any]
    empty: Callable[[Channel, Size], bytes]


def _zeros(channel: Channel, size: Size) -> bytes:  # noqa: ARG001  # arrays keep theirs
    return _dump(channel, {spec.name: np.zeros(spec.shape) for spec in channel.arrays})


_KINDS: Mapping[str, _Kind] = {
    "png": _Kind(_store_png, _decode_png, _empty_png),
    "txt": _Kind(_store_text, _decode_text, lambda *_: b""),
    "json": _Kind(_store_row, _decode_row, lambda *_: b"{}"),
    "npy": _Kind(_store_arrays, _decode_arrays, _zeros),
    "npz": _Kind(_store_arrays, _decode_arrays, _zeros),
}
