"""EXIF's orientation as the stored file has it: what Pillow finds, and 1 for whatever cannot be read."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import chunk, photo, saved, with_chunk, with_segment
from PIL import ExifTags, Image

from lpff_shards.exporters.pictures import process_image
from lpff_shards.formats.pictures import header
from lpff_shards.formats.pictures.decoding import inspect
from lpff_shards.options.export import PictureOptions

KINDS = ("PNG", "JPEG", "WEBP")
EXIF = b"Exif\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def tiff(number: int, order: str = "<", kind: int = 3, tag: int = 0x0112, before: int = 0) -> bytes:
    """EXIF of one number, after others that do not matter."""
    code = {1: "Bxxx", 3: "Hxx", 4: "I"}.get(kind, "I")
    entries = b"".join(struct.pack(f"{order}HHII", n, 4, 1, 7) for n in range(before))
    entries += struct.pack(f"{order}HHI{code}", tag, kind, 1, number)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", before + 1) + entries + bytes(4)


def by_pillow(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_every_orientation_is_found(kind: str, number: int, order: str) -> None:
    data = saved(photo(), kind, exif=EXIF + tiff(number, order, before=2))
    assert inspect(data).orientation == by_pillow(data) == number


@pytest.mark.parametrize("number", [0, 9, 65535])
@pytest.mark.parametrize("kind", KINDS)
def test_an_orientation_that_there_is_not_is_1(kind: str, number: int) -> None:
    assert inspect(saved(photo(), kind, exif=EXIF + tiff(number))).orientation == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_exif_has_orientation_1(kind: str) -> None:
    assert inspect(saved(photo(), kind)).orientation == 1
    assert inspect(saved(photo(), kind, exif=EXIF + tiff(5, tag=0x0100))).orientation == 1


def test_exif_behind_the_pixels_of_a_png_is_read() -> None:
    data = saved(photo(), "PNG")
    behind = data[:-12] + chunk(b"eXIf", tiff(3)) + data[-12:]
    assert inspect(behind).orientation == by_pillow(behind) == 3


def test_numbers_of_other_widths_are_read() -> None:
    assert [header.from_exif(tiff(6, order, kind)) for kind in (1, 3, 4) for order in "<>"] == [6] * 6
    assert header.from_exif(tiff(6, kind=2)) == 0


def test_xmp_tells_where_exif_does_not() -> None:
    jpeg, png = saved(photo(), "JPEG"), saved(photo(), "PNG")
    told = [
        with_segment(jpeg, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        with_chunk(png, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        saved(photo(), "WEBP", xmp=XMP),
    ]
    assert [inspect(data).orientation for data in told] == [by_pillow(data) for data in told] == [6, 6, 6]
    assert inspect(with_segment(told[0], 0xE1, b"Exif\0\0" + tiff(3))).orientation == 3


@given(
    st.binary(max_size=60), st.integers(0, 30), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0", tiff(6)])
)
def test_whatever_stands_in_exif_nothing_is_raised(tail: bytes, cut: int, head: bytes) -> None:
    assert 0 <= header.from_exif(head[: len(head) - cut] + tail) <= 8
    assert header.pictures_in(head + tail) >= 1


def test_a_directory_that_never_ends_is_left_soon() -> None:
    assert header.from_exif(b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65535)) == 0
    assert header.from_exif(b"II*\0\xff\xff\xff\xff") == 0


@pytest.mark.parametrize("image", ["keep", "png", "fast-png", "stored-png", "jpeg", "webp", "raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_stored_files_tell_their_own_orientation(kind: str, image: str) -> None:
    data = saved(photo(), kind, exif=EXIF + tiff(6))
    original, mirror = process_image(data, [False, True], PictureOptions(image=image))
    assert (original.orientation, mirror.orientation) == (6 if image == "keep" else 1, 1)
    assert ("EXIF orientation dropped, not applied" in original.changes) == (image != "keep")
    for stored in (original, mirror):
        if stored.picture.kind != "raw":
            assert by_pillow(stored.picture.data) == stored.orientation


def test_a_resized_picture_has_orientation_1() -> None:
    data = saved(photo().resize((16, 16)), "JPEG", exif=EXIF + tiff(6))
    (stored,) = process_image(data, [False], PictureOptions(resolution=8))
    assert stored.orientation == by_pillow(stored.picture.data) == 1
