"""From RGB pixels to the stored picture: PNG by `formats.pictures.png`, JPEG and WebP by Pillow, raw as they are."""

from __future__ import annotations

import io

from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import PictureError, Pixels
from lpff_shards.options.export import DEFAULT_JPEG_QUALITY


def encode(pixels: Pixels, kind: str, quality: int | None) -> tuple[bytes, str]:
    """The stored bytes and how they were made, in words.

    Args:
        kind: png, stored-png, jpeg, webp or raw.
        quality: of JPEG, 95 without one, and WebP, which is lossless without one.

    Raises:
        PictureError: the encoder does not take it.
    """
    if kind == "raw":
        return pixels.tobytes(), "decoded to raw pixels"
    if kind == "png":
        return png.encode(pixels), "re-encoded as PNG"
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
        # Not a fault of the disk, which these bytes do not reach.
        raise PictureError(f"the picture cannot be encoded as {format}: {error}") from None
    return out.getvalue()
