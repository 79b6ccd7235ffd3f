"""PictureHeader: what a picture file says of itself, the same for PNG, JPEG and WebP."""

from __future__ import annotations

from msgspec import Struct

from lpff_shards.wire.errors import WireError

MAX_PIXELS = 178_956_970
"""Above this Pillow refuses a picture as a decompression bomb."""


class PictureHeader(Struct, frozen=True):
    """What a picture file says of itself.

    Attributes:
        kind: png, jpeg or webp.
        width, height: pixels.
        mode: color mode, as Pillow names it.
        plain: a PNG that holds only the chunks that its pixels need.
        orientation: 1 to 8, by which readers that apply EXIF turn the picture; 1 if the file has none.
        extras: what else the file holds, worded as what is lost if only the pixels are kept.
    """

    kind: str
    width: int
    height: int
    mode: str
    plain: bool = False
    orientation: int = 1
    extras: tuple[str, ...] = ()


def check_size(width: int, height: int) -> None:
    """Raise WireError if a picture has no pixels or too many."""
    if not (width and height):
        raise WireError(f"the picture is {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise WireError(f"the picture is {width}x{height} pixels; at most {MAX_PIXELS} are taken")


def extras(
    *, frames: int = 1, profile: bool = False, orientation: int = 1, transparency: bool = False, metadata: bool = False
) -> tuple[str, ...]:
    """What a file holds beside its pixels, in words.

    Args:
        frames: of an animation, or pictures of a multi-picture file.
        profile: it has an ICC profile.
        orientation: 1 to 8.
        transparency: of its pixels, where the color mode does not tell.
        metadata: it has EXIF, XMP, text or other data.
    """
    found = [f"first of {frames} frames taken"] if frames > 1 else []
    found += ["colour profile dropped"] if profile else []
    found += ["EXIF orientation dropped, not applied"] if orientation != 1 else []
    found += ["transparency dropped"] if transparency else []
    found += ["metadata dropped"] if metadata else []
    return tuple(found)
