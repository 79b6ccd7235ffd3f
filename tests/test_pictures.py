"""Pictures as stored: passed through untouched, or re-encoded with the right pixels, whatever they were."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from picture_files import chunk, stored_size
from PIL import Image

from lpff_shards.exporters import pictures
from lpff_shards.exporters.pictures import ProcessedImage, encode, process_image
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.options.export import PictureOptions


def _store(data: bytes, flip: bool, options: PictureOptions) -> ProcessedImage:
    """One stored picture."""
    (stored,) = process_image(data, [flip], options)
    return stored


MODES = ("RGB", "RGBA", "L", "LA", "P", "1")
KINDS = ("png", "jpeg", "webp", "raw")


def _image(mode: str, width: int = 12, height: int = 12) -> Image.Image:
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _file(mode: str, kind: str = "PNG", **size: int) -> bytes:
    out = io.BytesIO()
    _image(mode, **size).save(out, kind)
    return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _pixels(stored: ProcessedImage) -> np.ndarray:
    picture = stored.picture
    if picture.kind == "raw":
        return np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
    assert _opened(picture.data).mode == "RGB"
    return np.asarray(_opened(picture.data))


@pytest.mark.parametrize("mode", MODES)
def test_keep_passes_every_mode_through(mode: str) -> None:
    data = _file(mode)
    stored = _store(data, False, PictureOptions())
    assert stored.picture.data is data
    assert stored.picture.mode == _opened(data).mode
    assert (stored.changes, stored.resized) == ((), False)


@pytest.mark.parametrize("kind", ["png", "webp", "raw"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flip", [False, True])
def test_lossless_kinds_have_pillow_s_rgb_pixels(mode: str, kind: str, flip: bool) -> None:
    data = _file(mode)
    stored = _store(data, flip, PictureOptions(image=kind))
    expected = np.asarray(_opened(data).convert("RGBA").convert("RGB"))
    assert np.array_equal(_pixels(stored), expected[:, ::-1] if flip else expected)
    assert stored.picture.mode == "RGB"
    assert (f"converted from {mode} to RGB" in stored.changes) == (mode != "RGB")
    assert ("mirrored" in stored.changes) == flip


def test_an_rgb_png_that_is_asked_for_is_not_made_again() -> None:
    data = _file("RGB")
    assert _store(data, False, PictureOptions(image="png")).picture.data is data
    assert _store(_file("RGB", "WEBP"), False, PictureOptions(image="png")).picture.kind == "png"


CARRIED = {
    "EXIF": (b"eXIf", b"MM\0*\0\0\0\x08\0\1\x88\x25\0\4\0\0\0\1\0\0\0\x1a\0\0\0\0", "metadata dropped"),
    "a turned EXIF": (
        b"eXIf",
        b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0",
        "EXIF orientation dropped, not applied",
    ),
    "a profile": (b"iCCP", b"sRGB\0\0" + zlib.compress(b"profile"), "colour profile dropped"),
    "transparency": (b"tRNS", bytes(6), "transparency dropped"),
    "text": (b"tEXt", b"Author\0somebody", "metadata dropped"),
    "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>", "metadata dropped"),
    "a time": (b"tIME", bytes(7), "metadata dropped"),
    "a chunk of somebody's": (b"quIz", b"anything", "metadata dropped"),
}


@pytest.mark.parametrize("name", list(CARRIED))
def test_an_rgb_png_that_is_asked_for_keeps_its_pixels_and_nothing_else(name: str) -> None:
    clean = _file("RGB")
    kind, body, says = CARRIED[name]
    data = clean[:33] + chunk(kind, body) + clean[33:]
    stored = _store(data, False, PictureOptions(image="png"))
    assert stored.picture.data == clean
    assert stored.changes == (says,)
    assert _store(data, False, PictureOptions()).picture.data is data


def test_what_stands_behind_an_rgb_png_is_dropped() -> None:
    clean = _file("RGB")
    late = clean[:-12] + chunk(b"tEXt", b"Author\0somebody") + clean[-12:] + b"a second file"
    stored = _store(late, False, PictureOptions(image="png"))
    assert (stored.picture.data, stored.changes) == (clean, ("metadata dropped",))


@pytest.mark.parametrize("image", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_re_encoded_pictures_carry_no_metadata(kind: str, image: str) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    how = {} if kind == "PNG" else {"xmp": b"<x:xmpmeta>secret</x:xmpmeta>"}
    data = _saved(_image("RGB"), kind, exif=exif, icc_profile=b"a profile", **how)
    for stored in process_image(data, [False, True], PictureOptions(image=image)):
        assert stored.changes[:2] == ("colour profile dropped", "metadata dropped")
        assert not {"exif", "icc_profile", "xmp"} & _opened(stored.picture.data).info.keys()


@pytest.mark.parametrize("quality", [None, 30, 100])
def test_jpeg_has_full_color_resolution_and_the_quality_asked_for(quality: int | None) -> None:
    data = _file("RGB", width=64, height=64)
    stored = _store(data, False, PictureOptions(image="jpeg", quality=quality))
    out = io.BytesIO()
    _opened(data).save(out, "JPEG", quality=quality or 95, subsampling=0)
    assert stored.picture.data == out.getvalue()
    assert stored.changes == (f"re-encoded as JPEG, quality {quality or 95}, 4:4:4",)


def test_webp_is_lossy_only_with_a_quality() -> None:
    data = _file("RGB", width=64, height=64)
    lossy = _store(data, False, PictureOptions(image="webp", quality=50))
    lossless = _store(data, False, PictureOptions(image="webp"))
    assert len(lossy.picture.data) < len(lossless.picture.data)
    assert np.array_equal(_pixels(lossless), np.asarray(_opened(data)))
    assert (lossy.changes, lossless.changes) == (("re-encoded as WebP, quality 50",), ("re-encoded as lossless WebP",))


@pytest.mark.parametrize(("kind", "format"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_keep_mirrors_and_resizes_within_the_kind(kind: str, format: str) -> None:
    data = _file("RGB", format, width=32, height=32)
    stored = _store(data, True, PictureOptions(resolution=16))
    assert (stored.picture.kind, stored.picture.width, stored.picture.height) == (kind, 16, 16)
    assert stored.resized
    assert stored.changes[:2] == ("resized from 32x32 to 16x16 (Lanczos)", "mirrored")
    if kind != "jpeg":
        expected = _opened(data).resize((16, 16), Image.Resampling.LANCZOS)
        assert np.array_equal(_pixels(stored), np.asarray(expected)[:, ::-1])


def test_a_picture_of_the_size_asked_for_is_left_alone() -> None:
    data = _file("RGBA", width=16, height=16)
    assert _store(data, False, PictureOptions(resolution=16)).picture.data is data


def test_mirrored_pngs_are_no_larger_than_pillow_s_own() -> None:
    smooth = np.cumsum(np.random.default_rng(1).integers(-3, 4, (128, 128, 3)), axis=1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(smooth).save(out, "PNG")
    assert len(_store(out.getvalue(), True, PictureOptions()).picture.data) < 1.05 * len(out.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_gives_the_same_bytes(kind: str) -> None:
    data = _file("RGB", width=40, height=40)
    first, second = (_store(data, True, PictureOptions(image=kind)).picture.data for _ in range(2))
    assert first == second


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["png", "stored-png", "raw"])
def test_of_sixteen_bits_of_gray_the_high_byte_is_taken(kind: str, flip: bool) -> None:
    gray = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    data = _saved(Image.fromarray(gray), "PNG")
    assert _store(data, False, PictureOptions()).picture.mode == "I;16"
    expected = np.repeat(gray[..., None] >> 8, 3, 2)
    stored = _store(data, flip, PictureOptions(image=kind))
    assert np.array_equal(_pixels(stored), expected[:, ::-1] if flip else expected)
    assert "converted from I;16 to RGB" in stored.changes


@pytest.mark.parametrize("copied", [0, 1 << 26])
@pytest.mark.parametrize("kind", ["png", "raw", "webp"])
def test_large_pictures_are_mirrored_as_small_ones(kind: str, copied: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_COPIED", copied)
    data = _file("RGB", width=9)
    stored = _store(data, True, PictureOptions(image=kind))
    assert np.array_equal(_pixels(stored), np.asarray(_opened(data))[:, ::-1])


def test_of_a_webp_that_is_decoded_fewer_pixels_are_taken() -> None:
    data = _saved(Image.new("RGB", (8000, 6000)), "WEBP", lossless=True, quality=0, method=0)
    assert _store(data, False, PictureOptions()).picture.data is data
    with pytest.raises(PictureError, match="8000x6000 pixels; the limit for WebP is 33,554,432"):
        _store(data, True, PictureOptions())


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_an_encoder_s_error_is_the_picture_s(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("encoder error -2 when writing image file")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(PictureError, match=r"cannot be encoded as .*: encoder error -2"):
        encode(np.zeros((2, 2, 3), np.uint8), kind, None)


def test_the_first_frame_of_many_is_taken() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    assert _pixels(_store(out.getvalue(), False, PictureOptions(image="raw")))[0, 0].tolist() == [255, 0, 0]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_what_does_not_come_with_the_pixels_is_said() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _saved(_image("RGB"), "JPEG", icc_profile=b"a profile", exif=exif)
    assert _store(data, False, PictureOptions()).picture.data is data
    for kind in KINDS:
        stored = _store(data, False, PictureOptions(image=kind))
        assert stored.changes[:2] == ("colour profile dropped", "EXIF orientation dropped, not applied")
        if kind != "raw":
            assert "icc_profile" not in _opened(stored.picture.data).info
            assert 0x0112 not in _opened(stored.picture.data).getexif()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_frames_that_are_lost_are_said(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = _saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert "first of 2 frames taken" in _store(data, True, PictureOptions()).changes


def test_damage_that_keep_does_not_decode_is_noticed_by_its_crc() -> None:
    data = bytearray(_file("RGB"))
    data[data.index(b"IDAT") + 9] ^= 4
    with pytest.raises(PictureError, match="IDAT does not match its CRC"):
        _store(bytes(data), False, PictureOptions())


def test_files_without_pixels_are_noticed() -> None:
    data = _file("RGB")
    start = data.index(b"IDAT") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(PictureError, match="the PNG has no pixels"):
        _store(data[:start] + data[end:], False, PictureOptions())
    jpeg = _file("RGB", "JPEG")
    with pytest.raises(PictureError, match="no frame header or no pixels"):
        _store(jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9", False, PictureOptions())


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG")])
def test_stored_pngs_are_made_anew_and_say_so(mode: str, kind: str) -> None:
    data = _file(mode, kind)
    stored = _store(data, False, PictureOptions(image="stored-png"))
    assert stored.picture.kind == "png"
    assert np.array_equal(_pixels(stored), np.asarray(_opened(data).convert("RGB")))
    assert len(stored.picture.data) == stored_size(12, 12)
    assert stored.changes[-1] == "re-encoded as PNG without compression"
