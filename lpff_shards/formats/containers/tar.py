"""USTAR archives with fixed headers: regular files of mode 0644, owner 0, time 0 (POSIX.1-1988, `ustar`).

Functions that read raise FormatError where the bytes break the format.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from lpff_shards.formats.errors import FormatError

BLOCK = 512
MAX_NAME = 100
MAX_SIZE = 8**11 - 1
END = bytes(2 * BLOCK)

# Name, mode, owner and group, size, time, checksum, type and the rest.
_HEADER = b"%b0000644\0" + b"0000000\0" * 2 + b"%b00000000000\0%b0" + bytes(100) + b"ustar\x0000" + bytes(BLOCK - 265)
_FIXED_SUM = sum(_HEADER % (b"", b"", b" " * 8))
_PADDING = tuple(bytes(size) for size in range(BLOCK))


def header(name: str, size: int) -> bytes:
    """Return the 512-byte header of a member: a name of 1 to 100 ASCII bytes, no NUL; a size below 8 GiB."""
    raw = name.encode("ascii")
    if not 0 < len(raw) <= MAX_NAME or 0 in raw:
        raise ValueError(f"tar member name of {len(raw)} bytes: {name}")
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"tar member of {size} bytes")
    digits = b"%011o\0" % size
    checksum = _FIXED_SUM + sum(raw) + sum(digits)
    return _HEADER % (raw.ljust(MAX_NAME, b"\0"), digits, b"%06o\0 " % checksum)


def padding(size: int) -> bytes:
    """Return the zero bytes that pad a payload of `size` bytes to a whole block."""
    return _PADDING[-size % BLOCK]


def padded(size: int) -> int:
    """Return the bytes of a payload of `size` bytes with its padding."""
    return size + -size % BLOCK


class TarMember(Struct, frozen=True):
    """A member of an archive: its name, the offsets of its header and payload, and the payload's size in bytes."""

    name: str
    header: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the next header."""
        return self.offset + padded(self.size)


def members(archive: memoryview) -> Iterator[TarMember]:
    """Yield the members of an archive up to its end mark; each header must be one that `header` writes."""
    at = 0
    while True:
        block = bytes(archive[at : at + BLOCK])
        if len(block) < BLOCK:
            raise FormatError("the archive is cut short: no end mark", at)
        if not any(block):
            break
        member = read_header(block, at)
        if member.end > len(archive):
            raise FormatError(f"the archive is cut short inside {member.name}", at)
        if any(archive[member.offset + member.size : member.end]):
            raise FormatError(f"the padding after {member.name} is not zero", member.offset + member.size)
        yield member
        at = member.end
    if bytes(archive[at:]) != END:
        raise FormatError("the end mark is not two zero blocks", at)


def read_header(block: bytes, at: int) -> TarMember:
    """Return the member of a header that `header` wrote, at an offset of its archive."""
    try:
        name = block[:MAX_NAME].rstrip(b"\0").decode("ascii")
        size = int(block[124:135], 8)
        expected = header(name, size)
    except ValueError as error:
        raise FormatError(f"a member's header is damaged: {error}", at) from None
    if block != expected:
        raise FormatError(f"the header of {name} is damaged", at)
    return TarMember(name, at, at + BLOCK, size)


def glance(data: bytes, at: int) -> tuple[str, int]:
    """Return the name and payload size of the member at an offset; the rest of its header is not checked."""
    size = data[at + 124 : at + 135]
    if data[at + 257 : at + 262] != b"ustar" or not size.isdigit():
        raise FormatError("a member's header is missing", at)
    try:
        return data[at : at + MAX_NAME].rstrip(b"\0").decode("ascii"), int(size, 8)
    except ValueError as error:
        raise FormatError(f"a member's header is damaged: {error}", at) from None


def after_first(key: bytes, tail: bytes) -> dict[str, bytes]:
    """Return the members after the first of a sample, by suffix; of headers only name and size are read.

    Args:
        key: key of the sample, with the dot after it.
        tail: bytes of the sample after the first member's payload.
    """
    # The padding comes first, then whole blocks.
    at = len(tail) % BLOCK
    parts: dict[str, bytes] = {}
    while at < len(tail):
        name, size = glance(tail, at)
        suffix = name.partition(".")[2]
        if suffix in parts or not tail.startswith(key, at):
            # The offsets of the index file are wrong.
            raise FormatError(f"its members belong to several samples, one of them {key[:-1].decode()}", at)
        at += BLOCK
        parts[suffix] = tail[at : at + size]
        at += padded(size)
    return parts
