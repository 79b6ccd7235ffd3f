"""From a source's picture file to the stored picture: passed through, or decoded, flipped, resized and encoded.

`formats.pictures.png` encodes PNG, Pillow encodes JPEG and WebP; raw pixels are not encoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decode, inspect
from lpff_shards.formats.pictures.header import PictureHeader, unstorable
from lpff_shards.formats.pictures.png import stripped
from lpff_shards.options.export import DEFAULT_JPEG_QUALITY, PictureOptions
from lpff_shards.schemas.sample import Picture

FILTER = "lanczos"
_COPIED = 1 << 26
"""Most bytes of pixels that mirroring copies."""


class ProcessedImage(Struct, frozen=True):
    """A picture ready to be written.

    Attributes:
        original: size of the source's picture (width, height).
        changes: changes made to it, as text.
        orientation: EXIF orientation of the stored file; 1 if it has none.
    """

    picture: Picture
    original: tuple[int, int]
    resized: bool
    changes: tuple[str, ...]
    orientation: int = 1


def process_image(
    data: bytes,
    flips: Sequence[bool],
    options: PictureOptions,
    *,
    must_decode: bool = False,
    encode_again: bool = False,
    crop: Callable[[Pixels], tuple[Pixels, str]] | None = None,
) -> list[ProcessedImage]:
    """Make stored pictures of one PNG, JPEG or WebP file; decode it at most once.

    Args:
        flips: for each picture, whether to mirror it left to right.
        must_decode: decode it even if the file is stored unchanged, and refuse a picture that cannot be mirrored.
        encode_again: also encode an RGB PNG again as PNG, since it is a large one.
        crop: returns the crop of its pixels, in the size that is stored, and how it was made, as text.

    Raises:
        PictureError: the file is truncated, does not decode, is too large, or cannot be resized as requested.
    """
    try:
        header = inspect(data)
    except FormatError as error:
        raise PictureError(str(error)) from None
    resized = crop is not None or _resizes(header, options)
    # Encoding an RGB PNG of others again would gain nothing.
    is_png = options.kind == header.kind == "png" and header.mode == "RGB" and not encode_again
    passes = not resized and (options.kind == "keep" or is_png)
    decodes = must_decode or any(flips) or not passes
    kind = header.kind if options.kind == "keep" else options.kind
    # A requested side fits every encoder.
    if reason := unstorable(header, decodes, "" if resized else kind):
        raise PictureError(reason)
    pixels, changes = decode(data, header) if decodes else None, [*header.extras]
    if header.mode != "RGB":
        changes.append(f"converted from {header.mode} to RGB")
    if pixels is not None and crop is not None:
        pixels, cropped = crop(pixels)
        changes.append(cropped)
    elif pixels is not None and resized and (side := options.resolution):
        from PIL import Image

        changes.append(f"resized from {header.width}x{header.height} to {side}x{side} (Lanczos)")
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
    stored = []
    for flip in flips:
        if passes and not flip:
            stored.append(_keep_file(data, header, options))
        elif pixels is not None:
            encoded, how = encode(_mirrored(pixels) if flip else pixels, kind, options.quality)
            done = [*changes, *(["mirrored"] if flip else [])]
            done += [how] if kind != header.kind or how != "re-encoded as PNG" else []
            height, width, _ = pixels.shape
            picture = Picture("png" if kind.endswith("png") else kind, encoded, width, height, "RGB")
            stored.append(ProcessedImage(picture, (header.width, header.height), resized, tuple(done)))
    return stored


def _keep_file(data: bytes, header: PictureHeader, options: PictureOptions) -> ProcessedImage:
    """Store the file unchanged, or for RGB PNGs only the chunks that its pixels need."""
    kept = options.kind == "keep" or header.plain
    file = data if kept else stripped(data, header.mode)
    picture = Picture(header.kind, file, header.width, header.height, header.mode)
    changes, orientation = ((), header.orientation) if kept else (header.extras, 1)
    return ProcessedImage(picture, (header.width, header.height), False, changes, orientation)


def _mirrored(pixels: Pixels) -> Pixels:
    """Return the pixels from right to left; large ones as a view, so memory holds them once."""
    if pixels.nbytes > _COPIED:
        return pixels[:, ::-1]
    out = np.empty_like(pixels)
    # Channel by channel: four times faster than copying pixels of three bytes in numpy.
    for channel in range(pixels.shape[2]):
        out[:, :, channel] = pixels[:, ::-1, channel]
    return out


def _resizes(header: PictureHeader, options: PictureOptions) -> bool:
    side = options.resolution
    if side is None or (header.width, header.height) == (side, side):
        return False
    if header.width != header.height:
        raise PictureError(f"the picture is {header.width}x{header.height}; --resolution needs square ones")
    return True


def encode(pixels: Pixels, kind: str, quality: int | None) -> tuple[bytes, str]:
    """Return the stored bytes and how they were made, as text.

    Args:
        kind: png, fast-png, stored-png, jpeg, webp or raw.
        quality: of JPEG (None: 95) or WebP (None: lossless).

    Raises:
        PictureError: the encoder rejects the pixels.
    """
    if kind == "raw":
        return pixels.tobytes(), "decoded to raw pixels"
    if kind == "png":
        return png.encode(pixels), "re-encoded as PNG"
    if kind == "fast-png":
        return png.encode_fast(pixels), "re-encoded as PNG for fast decoding"
    if kind == "stored-png":
        return png.encode_stored(pixels), "re-encoded as PNG without compression"
    if kind == "jpeg":
        quality = quality or DEFAULT_JPEG_QUALITY
        how = f"re-encoded as JPEG, quality {quality}, 4:4:4"
        return _by_pillow(pixels, "JPEG", quality=quality, subsampling=0), how
    if quality is None:
        # For lossless WebP "quality" is effort: 0 is six times as fast as the default and packs alike.
        return _by_pillow(pixels, "WEBP", lossless=True, quality=0, method=0), "re-encoded as lossless WebP"
    return _by_pillow(pixels, "WEBP", quality=quality), f"re-encoded as WebP, quality {quality}"


def _by_pillow(pixels: Pixels, format: str, **options: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    try:
        Image.fromarray(pixels).save(out, format, **options)
    except (OSError, ValueError) as error:
        # Not a disk error: these bytes stay in memory.
        raise PictureError(f"the picture cannot be encoded as {format}: {error}") from None
    return out.getvalue()
