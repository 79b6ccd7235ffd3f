"""RAR archives written by hand, of stored files: the formats of RAR 5 and of RAR 2.9 to 4; and small ones by RAR."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rarfile import Blake2SP

TEXT = "".join(f"{number:03d}\n" for number in range(512)).encode()
"""What every file of the archives by RAR holds."""
_PACKED = base64.b64decode("xKo0RDQk+jLrR/rETX295gWAggqMwQMqlcoim1Aak91A/ABAAgDUYAQ27RX5t1SDKmROzXwf4A==")
"""TEXT as RAR 5 packs it, by its usual method."""

# By RAR itself, from the tests of rarfile (ISC license, Marko Kreen): files in one solid block.
SOLID = {
    5: base64.b64decode(
        "UmFyIRoHAQAJ78hvCwEFBwQGAQGAgIAA3vVwchwCAroABIAQtoMCoua3xYAbAQpzdGVzdDEudHh0waw3REQj+iP2l/1iU1G+TJGB"
        "QQKMwQN5XL9Ho6otoDaT3aBYAEACANRQBHb2xH8y6p8ypcTM14PfABDoLYkcAgKNAASAELaDAqLmt8XAGwEKc3Rlc3QyLnR4dEUV"
        "CmABAAgD37f79vwdd1ZRAwUEAA=="
    ),
    4: base64.b64decode(
        "UmFyIRoHADvQcwgADQAAAAAAAAArNHSAkCwAXAAAAAAIAAADoua3xbBmzD4dMwoApIEAAHN0ZXN0MS50eHQAwBEMzP6MnrD+MYGr"
        "rLG7QHeoCmTWSzeDwQe8AeCFku77th0ACCAACIjpeAzSDAdhOkF4S7Nun1IK2sonQLrnC2SKYnH7uACRnlAv2FX/+sZY6+vE14h+"
        "VJaHH03s2RZ0kJAsAA4AAAAACAAAA6Lmt8WwZsw+HTMKAKSBAABzdGVzdDIudHh0AMCxIACIB+vyCmn6/JTe0MQ9ewBABwA="
    ),
}


@dataclass
class Packed:
    """A file that RAR 5 has packed by its usual method, whether its data are good or not."""

    data: bytes = _PACKED
    unpacked: bytes = TEXT


def rar5(
    path: Path, files: Mapping[str, bytes | Packed], blake: bool = False, flags: int = 0, ended: bool = True
) -> Path:
    """Writes an archive in the format of RAR 5; `blake`: with BLAKE2sp sums, `flags` of the archive: 1 is a volume."""
    blocks = [_block5(1, 0, _number(flags))]
    for name, file in files.items():
        data, plain, method = (file, file, 0) if isinstance(file, bytes) else (file.data, file.unpacked, 3)
        crc = b"" if blake else struct.pack("<I", zlib.crc32(plain))
        fields = [_number(0 if blake else 4), _number(len(plain)), _number(0o100644), crc, _number(method << 7)]
        fields += [_number(1), _number(len(name.encode())), name.encode()]
        record = _number(2) + _number(0) + bytes.fromhex(Blake2SP(plain).hexdigest()) if blake else b""
        blocks.append(_block5(2, 2, b"".join(fields), data, _number(len(record)) + record if record else b""))
    end = _block5(5, 0, _number(0)) if ended else b""
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + b"".join(blocks) + end)
    return path


def rar4(path: Path, files: Mapping[str, bytes], flags: int = 0, file_flags: int = 0, ended: bool = True) -> Path:
    """Writes an archive in the format of RAR 2.9 to 4; `flags` of the archive: 1 is a volume; of files: 4 encrypted."""
    blocks = [_block4(0x73, flags, bytes(6))]
    for name, data in files.items():
        encoded = name.replace("/", "\\").encode()
        sizes = struct.pack("<IIBII", len(data), len(data), 3, zlib.crc32(data), 0x5821_0000)
        fields = sizes + struct.pack("<BBHI", 29, 0x30, len(encoded), 0o100644) + encoded
        blocks.append(_block4(0x74, 0x8000 | file_flags, fields) + data)
    end = _block4(0x7B, 0x4000, b"") if ended else b""
    path.write_bytes(b"Rar!\x1a\x07\x00" + b"".join(blocks) + end)
    return path


def folder_files(folder: Path, below: str = "") -> dict[str, bytes]:
    """The files of a folder by their names in an archive."""
    paths: Iterable[Path] = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{below}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def flip(path: Path, part: bytes) -> None:
    """Changes the middle byte of a part of a file."""
    data = bytearray(path.read_bytes())
    data[data.index(part) + len(part) // 2] ^= 1
    path.write_bytes(data)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _block5(kind: int, flags: int, fields: bytes, data: bytes = b"", extra: bytes = b"") -> bytes:
    sizes = (_number(len(extra)) if extra else b"") + (_number(len(data)) if flags & 2 else b"")
    body = _number(kind) + _number(flags | bool(extra)) + sizes + fields + extra
    head = _number(len(body)) + body
    return struct.pack("<I", zlib.crc32(head)) + head + data


def _block4(kind: int, flags: int, fields: bytes) -> bytes:
    head = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head
