"""JPEG files: their headers, and their pixels by libjpeg-turbo, which reports a file that is cut short.

Pillow uses the same library but drops its warnings, and fills the missing part with gray. Warnings are about pixels or
about metadata; only the former are faults. Sources: ITU T.81 (markers), libjpeg's jerror.h (warnings).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import header
from lpff_shards.formats.pictures.header import MAX_SIDES, PictureHeader, check_size, extras

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
"""Supported frames: baseline, extended, progressive. Few decoders support lossless, hierarchical, arithmetic ones."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff(?=[^\xff\x00\x01\xd0-\xd8])", re.DOTALL)
"""The start of a segment, or the end mark; not a fill byte, nor a marker without a body."""
_MAX_SEGMENTS, _MAX_SCANS, _MAX_PASSES = 1 << 16, 64, 1 << 30
"""Limits of segments, of scans, and of the pixels of all scans: decoders pass over all pixels for each scan."""
_SCAN, _NEXT_SCAN, _END = 0xDA, b"\xff\xda", b"\xff\xd9"
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_SCAN_HEADER = re.compile(rb"(\xff\xda\0(?:\x08\x01.{2}|\x0a\x02.{4}|\x0c\x03.{6}|\x0e\x04.{8})).{3}", re.DOTALL)
"""The header of a scan of one to four components; its last three bytes select coefficients."""
_TABLES = _HUFFMAN | {0xC4, 0xDB, 0xDD, _SCAN}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_EXIF, _XMP, _ICC, _MANY = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"MPF\0"
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_COLORS = {_APP0: _JFIF, _APP14: _ADOBE}
"""Segments that define how colors are coded."""
_PLAIN_JFIF = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
"""The warning for harmless bytes between the last pixels and the end mark, and for lost pixels before them."""
_HARMLESS = ("Inconsistent progression sequence", "Invalid SOS parameters")


def inspect(data: bytes) -> PictureHeader:
    """Return the properties of a JPEG."""
    frame: tuple[int, int, str] | None = None
    scan = exif = xmp = 0
    frames, profile, metadata = 1, False, False
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES:
            frame = _frame(data, marker, start)
        elif marker == _SCAN:
            scan = end
        elif marker == _APP1 and body.startswith(_EXIF):
            exif = exif or header.from_exif(body)
            metadata = metadata or not exif > 1
        elif marker == _APP2 and body.startswith(_ICC):
            profile = True
        elif marker == _APP2 and body.startswith(_MANY):
            frames = header.pictures_in(body[len(_MANY) :])
        elif marker >= _APP0 and not body.startswith(_COLORS.get(marker, ())):
            metadata = True
            xmp = xmp or (header.from_xmp(body) if body.startswith(_XMP) else 0)
    if not scan:
        raise FormatError(f"the JPEG is cut short: no frame header or no pixels in its {len(data)} bytes")
    if frame is None:
        raise FormatError("the JPEG has no frame header", scan)
    # Bytes after the picture are harmless, and a thumbnail before it has its own end mark.
    if data.rfind(_END) <= scan:
        raise FormatError(f"the JPEG is cut short: no pixels or no end mark in its {len(data)} bytes")
    width, height, mode = frame
    scans = 1 + data.count(_NEXT_SCAN, scan, data.find(_END, scan))
    if scans > _MAX_SCANS or scans * width * height > _MAX_PASSES:
        raise FormatError(f"the JPEG has {scans} scans of {width}x{height} pixels, far more than pictures need")
    turned = exif or xmp or 1
    lost = extras(frames=frames, profile=profile, orientation=turned, metadata=metadata)
    return PictureHeader("jpeg", width, height, mode, False, turned, lost)


def glance(data: bytes) -> PictureHeader | None:
    """Return the properties of a JPEG from its first bytes, or None if they do not reach its frame header."""
    turned = 0
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _APP1 and body.startswith(_EXIF):
            turned = turned or header.from_exif(body)
        if marker in _FRAMES:
            width, height, mode = _frame(data, marker, start)
            return PictureHeader("jpeg", width, height, mode, False, turned or 1)
    return None


def decode(data: bytes, mode: str) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG that `inspect` accepts, uint8 [height, width, 3]; ValueError if it is damaged."""
    try:
        return _decode(data, mode, strict=True)
    except ValueError:
        # libjpeg returns only its first warning, which may be about metadata: remove the metadata and retry.
        plain = _stripped(data, mode)
    try:
        return _decode(plain, mode, strict=True)
    except ValueError as error:
        warning = str(error)
        if padding := _PADDING.search(warning):
            # Without these bytes libjpeg returns its next warning.
            *_, (_, _, scan) = _segments(plain)
            end = plain.find(_END, scan)
            return _decode(plain[: end - int(padding[1])] + plain[end:], mode, strict=True)
        if "subsampling" in warning:
            # TurboJPEG supports only the samplings that it has names for; libjpeg supports all.
            return header.decode_by_pillow(data, "jpeg")
        if warning.startswith(_HARMLESS):
            return _decode(plain, mode, strict=False)
        raise


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment up to the first scan's header; skip other bytes between them."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        at, marker = found.start(), data[found.start() + 1]
        if marker == _END[1]:
            raise FormatError("the JPEG has no frame header or no pixels")
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at, end
        if marker == _SCAN:
            return
        at = end
    raise FormatError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments before its pixels")


def _frame(data: bytes, marker: int, at: int) -> tuple[int, int, str]:
    """Return the width, height and color mode from a frame's header."""
    bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
    if components not in _MODES:
        raise FormatError(f"the JPEG has {components} components; 1, 3 or 4 are supported")
    if bits != 8:
        raise FormatError(f"the JPEG has {bits} bits per color; only 8 are supported")
    if marker not in _HUFFMAN:
        raise FormatError("the JPEG is lossless, hierarchical or arithmetic-coded, which few decoders support")
    check_size(width, height)
    if max(width, height) > MAX_SIDES["jpeg"]:
        raise FormatError(f"the JPEG is {width}x{height} pixels; the limit is {MAX_SIDES['jpeg']:,} per side")
    return width, height, _MODES[components]


def _stripped(data: bytes, mode: str) -> bytes:
    """Return the JPEG with only the segments that its pixels need before the first scan, without causes of warnings."""
    # The last of Adobe's 12 bytes: libjpeg uses the same transform in place of an unknown one, after a warning.
    transform = b"\2" if mode == "CMYK" else b"\1"
    kept, at, sequential = [data[:2]], 0, False
    for marker, start, at in _segments(data):
        body = data[start + 4 : at]
        if marker == _APP0 and body.startswith(_JFIF):
            kept.append(_PLAIN_JFIF)
        elif marker == _APP14 and body.startswith(_ADOBE) and len(body) >= 12:
            kept.append(b"\xff\xee\0\x0e" + body[:11] + (transform if body[11] else b"\0"))
        elif marker in _TABLES:
            kept.append(data[start:at])
        sequential = sequential or marker in _SEQUENTIAL
    whole = b"".join((*kept, data[at:]))
    # These decoders read all coefficients of a block at once and ignore the scan's header.
    return _SCAN_HEADER.sub(lambda found: found[1] + b"\0\x3f\0", whole) if sequential else whole


def _decode(data: bytes, mode: str, *, strict: bool) -> NDArray[np.uint8]:
    import simplejpeg

    if mode != "CMYK":
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, strict=strict)
        return pixels
    from PIL import Image

    inks = simplejpeg.decode_jpeg(data, "CMYK", strict=strict)
    # Adobe stores inks inverted; Pillow and browsers invert them without Adobe's marker, too.
    return np.asarray(Image.fromarray(~inks, "CMYK").convert("RGB"))
