"""Bytes in other shapes: blind ones for any file, and such as respect a format's checksums and lengths."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import google_crc32c
import msgspec

from lpff_shards.manifest import to_json

Mutator = Callable[[Random, bytes], bytes]
NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0.5, 1e308)
TEXTS = ("", "../elsewhere/x.tar", "/dev/zero", "..", "a\0b", "\x1b[31m", "\u202e", "a" * 70_000, "<script>", "=1+1")
WORDS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def blind(draw: Random, data: bytes) -> bytes:
    """A bit, some bytes, a piece of a file, or its end are others."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(6):
            case 0 if found:
                found[at % len(found)] ^= 1 << draw.randrange(8)
            case 1:
                del found[at:]
            case 2:
                del found[at : at + draw.randrange(1, 64)]
            case 3:
                found[at:at] = found[at : at + draw.randrange(1, 64)]
            case 4:
                word = draw.choice(WORDS).to_bytes(4, draw.choice(("big", "little")))
                found[at : at + 4] = word
            case _:
                found[at : at + 16] = bytes([draw.randrange(256)]) * draw.choice((1, 16, 4096))
    return bytes(found)


def value(draw: Random, found: Any) -> Any:
    """A value of JSON in which something is other than it should be."""
    path: list[Any] = []
    inner, outer = found, None
    while isinstance(inner, dict | list) and inner and draw.random() < 0.85:
        outer = inner
        path.append(draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner)))
        inner = inner[path[-1]]
    if outer is None:
        return _odd(draw, found)
    match draw.randrange(5):
        case 0 if isinstance(outer, dict):
            outer[draw.choice(TEXTS)] = outer.pop(path[-1])
        case 0 | 1:
            del outer[path[-1]]
        case 2 if isinstance(outer, list):
            outer.append(outer[path[-1]])
        case _:
            outer[path[-1]] = _odd(draw, inner)
    return found


def _odd(draw: Random, found: Any) -> Any:
    odd: list[Any] = [None, True, [], {}, [found], {"a": found}, draw.choice(TEXTS), draw.choice(NUMBERS)]
    if isinstance(found, int | float):
        odd += [draw.choice(NUMBERS), -found, found + 1, str(found), float("nan"), float("inf")]
    if isinstance(found, str):
        odd += [draw.choice(TEXTS), found + draw.choice(TEXTS), found[:-1], found.upper()]
    return draw.choice(odd)


def json_text(draw: Random, data: bytes) -> bytes:
    """JSON with other values, nested deeply, with doubled fields, or cut."""
    match draw.randrange(8):
        case 0:
            return blind(draw, data)
        case 1:
            return draw.choice((b"[", b'{"a":')) * 100_000
        case 2:
            return data[:-2] + b"," + data[1:]
        case 3:
            return data.decode().encode(draw.choice(("utf-8-sig", "utf-16", "utf-32")))
    found = json.loads(data)
    for _ in range(draw.choice((1, 1, 2))):
        found = value(draw, found)
    return json.dumps(found, indent=draw.choice((None, 1))).encode("utf-8", "surrogatepass")


def seal(data: bytes) -> bytes:
    """JSON with the seal that lpff-shards gives it, where it had one; bytes that cannot have one stay."""
    try:
        found = json.loads(data)
        if isinstance(found, dict) and found.pop("seal", None) is not None:
            return to_json(found)
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError):
        pass
    return data


def sealed_json(draw: Random, data: bytes) -> bytes:
    """JSON as `json_text` changes it, sealed again."""
    return seal(json_text(draw, data))


def png(draw: Random, data: bytes) -> bytes:
    """A PNG with other chunks whose checksums are right."""
    if draw.random() < 0.2:
        return blind(draw, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    number = draw.randrange(len(chunks))
    kind, body = chunks[number]
    match draw.randrange(7):
        case 0:
            chunks[number] = draw.choice((b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"IDAT")), body
        case 1:
            del chunks[number]
        case 2:
            chunks.insert(draw.randrange(len(chunks)), chunks[number])
        case 3 if kind == b"IDAT":
            lacking = zlib.decompress(body)[: -draw.choice((1, 25, 60))] if len(body) else b""
            chunks[number] = kind, zlib.compress(lacking)
        case 4 if kind == b"IHDR":
            side = draw.choice((0, 1, 7, 9, 4096, 13_000, 2**31 - 1)).to_bytes(4)
            chunks[number] = kind, draw.choice((side * 2 + body[8:], body[:4] + side + body[8:]))
        case 5 if kind == b"IHDR":
            at = draw.randrange(8, 13)
            chunks[number] = kind, body[:at] + bytes([draw.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))]) + body[at + 1 :]
        case _:
            chunks[number] = kind, blind(draw, body)
    return data[:8] + b"".join(
        len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks
    )


def jpeg(draw: Random, data: bytes) -> bytes:
    """A JPEG with other segments."""
    match draw.randrange(5):
        case 0:
            at = data.rfind(b"\xff\xc0") if b"\xff\xc0" in data else 2
            return data[: at + 5] + draw.choice((0, 7, 9, 65_535)).to_bytes(2) * 2 + data[at + 9 :]
        case 1:
            body = draw.randbytes(draw.choice((0, 8, 60_000)))
            return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body + data[2:]
        case 2:
            return data[:2] + b"\xff" * draw.choice((1, 1000, 1_000_000)) + data[2:]
    return blind(draw, data)


def webp(draw: Random, data: bytes) -> bytes:
    """A WebP with other lengths and chunks."""
    if draw.random() < 0.5:
        return blind(draw, data)
    at = draw.choice((4, 12, 16, 20, 21, 24))
    return data[:at] + draw.choice(WORDS).to_bytes(4, "little") + data[at + 4 :]


def tar(draw: Random, data: bytes) -> bytes:
    """A tar with other headers whose checksums are right."""
    if draw.random() < 0.3:
        return blind(draw, data)
    heads = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    at = draw.choice(heads)
    head = bytearray(data[at : at + 512])
    match draw.randrange(6):
        case 0:
            name = draw.choice(TEXTS).encode("utf-8", "replace")[:100]
            head[:100] = name.ljust(100, b"\0")
        case 1:
            head[124:136] = b"%011o\0" % draw.choice((0, 1, 511, 2**33 - 1))
        case 2:
            head[124:136] = draw.choice((b"\x80" + b"\0" * 3 + b"\x7f" * 8, b"\xff" * 12, b"-" * 12))
        case 3:
            head[156] = draw.choice(b"\0" + b"125KLxgS")
        case 4:
            other = draw.choice(heads)
            head[:100] = data[other : other + 100]
        case _:
            place = draw.randrange(512)
            head[place] ^= 1 << draw.randrange(8)
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 8 * 32)
    return data[:at] + bytes(head) + data[at + 512 :]


def tfrecord(draw: Random, data: bytes) -> bytes:
    """TFRecords of which one has another body or length, and right checksums."""
    if draw.random() < 0.2:
        return blind(draw, data)
    records, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        records.append(data[at + 12 : at + 12 + size])
        at += size + 16
    number = draw.randrange(len(records))
    records[number] = blind(draw, records[number])
    sizes = [len(record) for record in records]
    if draw.random() < 0.2:
        sizes[number] = draw.choice((0, 2**31, 2**63, 2**64 - 1))
    return b"".join(
        (head := struct.pack("<Q", size)) + _masked(head) + record + _masked(record)
        for size, record in zip(sizes, records, strict=True)
    )


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def zipped(draw: Random, data: bytes) -> bytes:
    """A zip with other fields in its headers, its directory or its end."""
    if draw.random() < 0.3:
        return blind(draw, data)
    kinds = ((b"PK\3\4", 30), (b"PK\1\2", 46), (b"PK\5\6", 22))
    mark, size = draw.choice(kinds)
    places = [at for at in range(len(data)) if data.startswith(mark, at)]
    at = draw.choice(places) + draw.randrange(4, size - 1)
    width = draw.choice((2, 4))
    return data[:at] + (draw.choice(WORDS) & (1 << 8 * width) - 1).to_bytes(width, "little") + data[at + width :]


def zip_of_others(draw: Random, data: bytes) -> bytes:
    """A zip whose members have odd names or another way of packing; it is whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        odd = draw.randrange(len(names))
        for number, name in enumerate(names):
            body, named = old.read(name), name
            if number == odd:
                named = draw.choice(
                    (f"../{name}", f"/{name}", f"{name}/", name.replace("/", "\\"), f"a/../{name}", name)
                )
                body = body if draw.random() < 0.5 else bytes(draw.choice((0, 4_000_000)))
            new.writestr(named, body, draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return out.getvalue()


def sqlite(draw: Random, data: bytes) -> bytes:
    """A database with another value in a cell, or without a table or rows."""
    if draw.random() < 0.3:
        return blind(draw, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        database = sqlite3.connect(path)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = draw.choice(tables)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        odd = draw.choice([n for n in NUMBERS if abs(n) < 2**63] + [t for t in TEXTS if len(t) < 100] + [None, b"\xff"])
        try:
            match draw.randrange(5):
                case 0:
                    database.execute(f"DROP TABLE {table}")
                case 1:
                    database.execute(f"DELETE FROM {table}")
                case _:
                    where = "" if draw.random() < 0.3 else f" WHERE rowid = {draw.randrange(1, 5)}"
                    database.execute(f"UPDATE {table} SET {draw.choice(columns)} = ?{where}", (odd,))
            database.commit()
        except sqlite3.Error:
            database.rollback()
        database.close()
        found = path.read_bytes()
    return found if found != data else blind(draw, data)


def lines(draw: Random, data: bytes) -> bytes:
    """Lines of text with other numbers, or others in their place."""
    if draw.random() < 0.4:
        return blind(draw, data)
    found = data.split(b"\n")
    at = draw.randrange(len(found))
    words = found[at].split(b" ")
    words[draw.randrange(len(words))] = str(draw.choice(NUMBERS)).encode()
    found[at] = b" ".join(words) if draw.random() < 0.7 else found[draw.randrange(len(found))]
    return b"\n".join(found)
