"""Inputs that once ended badly: what each is, and the target that it belongs to."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_factories import edit


@dataclass(frozen=True)
class Finding:
    """A change of a target's file.

    Attributes:
        target: its name.
        change: changes the file at a path.
    """

    name: str
    target: str
    change: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.target}-{self.name}"


def _png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _deflated(size: int) -> bytes:
    """Zeros, deflated."""
    deflate = zlib.compressobj(1)
    whole, rest = divmod(size, 1 << 20)
    parts = [deflate.compress(bytes(count)) for count in (*[1 << 20] * whole, rest)]
    return b"".join([*parts, deflate.flush()])


def _in_zip(path: Path, name: str, size: int, fill: bytes) -> None:
    """Makes a member of a zip large and deflated."""
    with zipfile.ZipFile(path) as old:
        files = {one: old.read(one) for one in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for one, data in files.items():
            if one.endswith(name):
                with new.open(one, "w", force_zip64=True) as member:
                    member.write(data[:-1])
                    for _ in range(size >> 20):
                        member.write(fill * (1 << 20))
                    member.write(data[-1:])
            else:
                new.writestr(one, data)


def _zip64(size: int) -> Callable[[Path], None]:
    """A member that says it is so large, in a field of zip64."""

    def change(path: Path) -> None:
        data = path.read_bytes()
        at = data.index(b"PK\1\2")
        name = int.from_bytes(data[at + 28 : at + 30], "little")
        extra = struct.pack("<HHQQ", 1, 16, size, size)
        head = bytearray(data[at : at + 46])
        head[20:28], head[30:32] = b"\xff" * 8, struct.pack("<H", len(extra))
        end = bytearray(data[data.rindex(b"PK\5\6") :])
        end[12:16] = struct.pack("<I", struct.unpack("<I", end[12:16])[0] + len(extra))
        rest = data[at + 46 : data.rindex(b"PK\5\6")]
        path.write_bytes(data[:at] + head + rest[:name] + extra + rest[name:] + end)

    return change


def _value(*place: str | int, value: Any) -> Callable[[Path], None]:
    """A value of a JSON file."""

    def change(path: Path) -> None:
        found = json.loads(path.read_text())
        inner = found
        for step in place[:-1]:
            inner = inner[step] if step != "*" else next(iter(inner.values()))
        inner[place[-1]] = value
        path.write_text(json.dumps(found))

    return change


def _sql(statement: str, *values: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        database = sqlite3.connect(path)
        with database:
            database.execute(statement, values)
        database.close()

    return change


def _made(make: Callable[[], bytes]) -> Callable[[Path], None]:
    """Other bytes; some take time to make."""

    def change(path: Path) -> None:
        path.write_bytes(make())

    return change


def _replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(path.read_bytes().replace(old, new))

    return change


def _nul_key(found: Any) -> Any:
    return {f"{name}\0": value for name, value in found.items()}


def _findings() -> list[Finding]:
    found = [
        Finding("sparse-1-tb", "png", lambda path: os.truncate(path, 1 << 40)),
        Finding("13000-squared", "png", _made(lambda: _png(13_000, 13_000, _deflated(13_000 * 39_001)))),
        Finding("deflated-640-mb", "png", _made(lambda: _png(8, 8, _deflated(640 << 20)))),
        Finding("rows-lacking", "png", _made(lambda: _png(8, 8, zlib.compress(bytes(5 * 25))))),
        Finding("rows-lacking", "png-in-zip", _made(lambda: _png(8, 8, zlib.compress(bytes(5 * 25))))),
        Finding("ff-30-mb", "jpeg", _made(lambda: b"\xff\xd8" + b"\xff" * 30_000_000)),
        Finding("open-string-20-mb", "cameras", _made(lambda: b'{"a": "' + b"x" * 20_000_000)),
        Finding("open-string-20-mb", "info", _made(lambda: b'{"a": {"b": "' + b"x" * 20_000_000)),
        Finding("nul-in-a-name", "cameras", lambda path: edit(path, _nul_key)),
        Finding("nul-in-a-name", "labels", _replaced(b".png", b"\\u0000")),
        Finding("json-640-mb", "source-zip", lambda path: _in_zip(path, "info.json", 640 << 20, b" ")),
        Finding("picture-640-mb", "source-zip", lambda path: _in_zip(path, "01.png", 640 << 20, b"\0")),
        Finding("2-to-40", "source-zip", _zip64(1 << 40)),
        Finding("near-2-to-63", "source-zip", _zip64((1 << 63) - 1)),
        Finding("escapes-in-an-author", "info", _value("*", "image_info", "username", value="\x1b[31m\u202ehi\r")),
        Finding("schema-unknown", "manifest-wds", _value("schema", value=10**6)),
        Finding("split-unknown", "manifest-wds", _value("shards", 0, "split", value="\x1b[31m")),
        Finding("samples-2-to-64", "manifest-wds", _value("shards", 0, "samples", value=2**64)),
        Finding("digit-of-an-offset", "receipt-wds", _value("offsets", 1, value=1024)),
        Finding("digit-of-an-offset", "receipt-zip", _value("offsets", 1, value=1024)),
        Finding("shards-of-others", "plan-wds", _value("shards", value=["../elsewhere/x.tar", "/etc/x.tar"])),
        Finding("place-beyond", "ledger", _sql("UPDATE samples SET offset = ?", 2**62)),
    ]  # fmt: skip
    for name in ("../elsewhere/x.tar", "/dev/zero", "a\0b.tar", "x" * 5000 + ".tar", "..", ""):
        said = {"": "empty", "..": "parent"}.get(name, repr(name[:12]).strip("'").replace("/", "_").replace("\\", "_"))
        found.append(Finding(f"shard-named-{said}", "manifest-wds", _value("shards", 0, "file", value=name)))
        found.append(Finding(f"shard-named-{said}", "receipt-wds", _value("file", value=name)))
    nested = b"[" * 100_000
    targets = "cameras info labels num-replicas manifest-wds receipt-wds plan-wds wids features"
    return [*found, *(Finding("nested", target, _made(lambda: nested)) for target in targets.split())]


FINDINGS = tuple(_findings())
