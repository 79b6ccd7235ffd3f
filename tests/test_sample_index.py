"""samples.sqlite: what it holds is what the shards hold, whatever the format; it is written anew where it is lost."""

from __future__ import annotations

import gzip
import json
import sqlite3
import tarfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from running import call, run

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    index_export,
    read_manifest,
    verify_export,
)
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders import ShardSource
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.sidecars import sample_index as tables
from lpff_shards.sidecars.folder import decode_rows, encode_rows
from lpff_shards.sidecars.sample_index import SampleIndex, SampleIndexError
from lpff_shards.storage.path import read_whole


def _export(out: Path, format: str, **given: object) -> Path:
    export(
        ExportOptions(
            format=format,
            out=str(out),
            sources=SourceOptions(demo=20),
            mix=given.pop("mix", MixOptions(rebalance="lpff", splits="train=0.5,val=0.5")),
            picture=PictureOptions(resolution=16),
            shards=ShardOptions() if format == "zip" else ShardOptions(shards=4),
            run=RunOptions(workers=1),
        )
    )
    return out


@pytest.fixture(scope="module", params=["wds", "tfrecord", "zip"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(tmp_path_factory.mktemp("ledger") / "out", request.param)


def _samples(out: Path) -> list[tuple[str, dict[str, object]]]:
    """Every sample's shard and fields, read off the shards."""
    manifest = read_manifest(out)
    read = get_format(manifest.format).samples
    shards = [(shard.file, read(read_whole(out / shard.file), manifest.layout)) for shard in manifest.shards]
    return [(file, dict(sample.scalars)) for file, samples in shards for sample in samples]


def test_every_field_has_one_home() -> None:
    homes = [*tables.PICTURE, *tables.STORED, *tables.SAMPLE]
    assert sorted(homes) == sorted(field.name for field in FIELDS)
    row = tuple(field.name for field in FIELDS)
    assert (*tables.of_picture(row), *tables.of_stored(row), *tables.of_sample(row)) == tuple(homes)


def test_records_are_the_shards_samples(out: Path) -> None:
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        records = list(ledger.records("1"))
    assert [(record.file, dict(record.fields)) for record in records] == _samples(out)
    assert all(type(record.fields["mirrored"]) is bool for record in records)


def test_places_are_where_the_pictures_are(out: Path) -> None:
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        for record in ledger.records("1"):
            data = (out / record.file).read_bytes()[record.offset : record.offset + record.bytes]
            start = data.index(b"\x89PNG")
            assert data[start + record.picture_bytes - 8 : start + record.picture_bytes - 4] == b"IEND"
            assert record.suffix == "png"


def test_tarfile_finds_a_sample_where_the_ledger_says(out: Path) -> None:
    if read_manifest(out).format != "wds":
        pytest.skip("tarfile reads tars")
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        records = {f"{record.fields['key']}.png": record for record in ledger.records("1")}
    for shard in out.glob("*.tar"):
        with tarfile.open(shard) as archive:
            for member in archive:
                if member.name.endswith(".png"):
                    record = records.pop(member.name)
                    assert (record.file, record.offset, record.picture_bytes) == (
                        shard.name,
                        member.offset,
                        member.size,
                    )
    assert not records


def test_columns_are_those_of_the_samples(out: Path) -> None:
    samples = [fields for _, fields in _samples(out)]
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        for field in FIELDS:
            expected = [sample[field.name] for sample in samples]
            if field.kind == "str":
                assert ledger.column(field.name).tolist() == expected
            else:
                column = ledger.column(field.name)
                assert column.dtype == {"int": np.int64, "bool": np.bool_, "float": np.float32}[field.kind]
                assert column.tolist() == expected
        starts = zip(ledger.column("offset").tolist(), ledger.column("bytes").tolist(), strict=True)
        assert [start + size for start, size in starts] == [r.offset + r.bytes for r in ledger.records("1")]


def test_loaders_take_columns_from_it(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if read_manifest(out).format == "zip":
        pytest.skip("loaders read no zips")
    source = ShardSource(out, split="val")
    names = ("key", "yaw", "mirrored", "width", "license")
    slow = {name: [source[i]["metadata"][name] for i in range(len(source))] for name in names}
    with monkeypatch.context() as patched:
        patched.setattr(ShardSource, "_read", None)
        assert {name: source.column(name).tolist() for name in names} == slow
    ledger = (out / "samples.sqlite").read_bytes()
    (out / "samples.sqlite").unlink()
    assert {name: source.column(name).tolist() for name in names} == slow
    (out / "samples.sqlite").write_bytes(ledger)


def test_poses_before_rebalancing_are_counted(out: Path) -> None:
    fields = [fields for _, fields in _samples(out)]
    once = [f for f in fields if f["split"] == "train" and f["replica"] == 0]
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        pool = ledger.pool()
    assert pool is not None
    assert {dataset for dataset, *_ in pool} == {"demo"}
    found = [(yaw, pitch, pictures) for _, yaw, pitch, pictures in pool]
    degrees = [(round(float(np.degrees(f["yaw"]))), round(float(np.degrees(f["pitch"])))) for f in once]
    assert found == [(*pose, degrees.count(pose)) for pose in sorted(set(degrees))]


def test_pictures_that_were_not_drawn_are_counted_too(tmp_path: Path) -> None:
    mix = MixOptions(rebalance="uniform", target_size=6)
    out = _export(tmp_path / "out", "wds", mix=mix)
    with SampleIndex.open(out, read_manifest(out)) as ledger:
        pool = ledger.pool()
    assert pool is not None
    assert sum(pictures for *_, pictures in pool) == 40
    assert len({fields["source_id"] for _, fields in _samples(out)}) < 20


@pytest.mark.parametrize("damage", ["missing", "another's", "cut", "text"])
def test_index_writes_it_anew(out: Path, tmp_path: Path, damage: str) -> None:
    path = out / "samples.sqlite"
    whole, manifest = path.read_bytes(), (out / "manifest.json").read_bytes()
    try:
        if damage == "missing":
            path.unlink()
        elif damage == "another's":
            with closing(sqlite3.connect(path)) as ledger:
                ledger.execute("UPDATE export SET value = 'x' WHERE name = 'plan'")
                ledger.commit()
        else:
            path.write_bytes(whole[:-5000] if damage == "cut" else b"text")
        with (
            pytest.raises(SampleIndexError, match="lpff-shards index"),
            SampleIndex.open(out, read_manifest(out)) as ledger,
        ):
            list(ledger.records("1"))
        assert index_export(out) == ("samples.sqlite",)
        with closing(sqlite3.connect(path)) as ledger:
            # Nothing but the export itself knows the poses before rebalancing; a ledger cut short still tells them.
            if damage != "cut":
                assert ledger.execute("SELECT count(*) FROM poses").fetchone() == (0,)
            assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with SampleIndex.open(out, read_manifest(out)) as ledger:
            assert [(record.file, dict(record.fields)) for record in ledger.records("1")] == _samples(out)
        assert index_export(out) == ()
        assert verify_export(out).ok
    finally:
        path.write_bytes(whole)
        (out / "manifest.json").write_bytes(manifest)


_BROKEN = (
    # The index leads nowhere: what is looked up by it is not found.
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master "
    "WHERE name = 'samples_picture') WHERE name = 'samples_key'",
    # Whoever looked at it would wait for ever.
    "DROP VIEW records; CREATE VIEW records AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    f"SELECT {', '.join('i' for _ in range(len(FIELDS) + 7))} FROM n WHERE i < 0",
    "DROP TABLE export; CREATE VIEW export AS SELECT 1 AS name, 2 AS value",
)
_UNTYPED = (
    "UPDATE samples SET key = x'00' WHERE sample = 4",
    "UPDATE pictures SET license = x'ff'",
    "UPDATE pictures SET face = 'first' WHERE picture = 0",
    "UPDATE samples SET picture = 9999 WHERE sample = 0",
    "UPDATE samples SET stored = -1 WHERE sample = 0",
    "UPDATE samples SET yaw = 1e300 WHERE sample = 0",
    "DELETE FROM samples WHERE sample = 5",
)


@pytest.mark.parametrize("edit", [*_UNTYPED, *_BROKEN[1:]])
def test_what_cannot_be_right_is_one_error_and_loaders_do_without(
    out: Path, edit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = out / "samples.sqlite"
    whole = path.read_bytes()
    source = None if read_manifest(out).format == "zip" else ShardSource(out, split=None)
    columns = {field.name: source.column(field.name).tolist() for field in FIELDS} if source else {}
    try:
        with closing(sqlite3.connect(path)) as ledger:
            ledger.executescript(edit)
        if source:
            assert {name: source.column(name).tolist() for name in columns} == columns
        with (
            pytest.raises(SampleIndexError, match="lpff-shards index"),
            SampleIndex.open(out, read_manifest(out)) as opened,
        ):
            for field in FIELDS:
                opened.column(field.name)
        if source is None:  # the ledger is read the same way whatever it lies beside, and plots take seconds
            done = call(capsys, monkeypatch, "report", out, "--out", tmp_path / "report.html")
            # It has no use for some of the columns.
            assert done.status == 0 or (done.err.count("\n") == 1 and "samples.sqlite is damaged" in done.err)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("edit", "read", "reason"),
    [
        *((f"samples SET {name} = {radians}", lambda index, name=name: index.column(name), f"{name} is out of range")
          for name in ("yaw", "pitch") for radians in ("3.1416", "-4", "1e7")),
        *((f"poses SET pitch = {pose}", SampleIndex.pool, "a pose is out of range")
          for pose in ("181", "9223372036854775807", "-181")),
    ],
)  # fmt: skip
def test_angles_that_are_none_are_damage(
    out: Path, edit: str, read: Callable[[SampleIndex], object], reason: str
) -> None:
    path = out / "samples.sqlite"
    whole = path.read_bytes()
    try:
        with closing(sqlite3.connect(path)) as ledger:
            ledger.executescript(f"UPDATE {edit} WHERE rowid = 2")
        with (
            SampleIndex.open(out, read_manifest(out)) as opened,
            pytest.raises(SampleIndexError, match=f"damaged: {reason}"),
        ):
            read(opened)
    finally:
        path.write_bytes(whole)


def test_verify_finds_any_other_ledger(out: Path) -> None:
    path = out / "samples.sqlite"
    whole = path.read_bytes()
    assert verify_export(out).ok
    try:
        for edit in ("UPDATE pictures SET author = 'Somebody' WHERE picture = 3", *_BROKEN, *_UNTYPED, "VACUUM"):
            path.write_bytes(whole)
            with closing(sqlite3.connect(path)) as ledger:
                ledger.executescript(edit)
            (fault,) = verify_export(out).faults
            assert str(fault) == "samples.sqlite: is not what was written; lpff-shards index rewrites it", edit
        path.unlink()
        assert verify_export(out).ok
    finally:
        path.write_bytes(whole)


def test_a_piece_of_two_shards_is_a_piece() -> None:
    rows = [tuple({"str": f"ü{n}", "int": n, "bool": n > 1, "float": n / 8}[f.kind] for f in FIELDS) for n in range(3)]
    assert list(decode_rows(encode_rows(rows[:2]) + encode_rows(rows[2:]))) == rows
    assert list(decode_rows(encode_rows([]))) == []


@pytest.mark.parametrize("system", [3, 19, 255], ids=["Unix", "Darwin", "unknown"])
def test_a_piece_says_the_same_of_its_system_everywhere(monkeypatch: pytest.MonkeyPatch, system: int) -> None:
    made = zlib.compressobj

    class Packer:
        """zlib's, built for another system."""

        def __init__(self, *args: int, **named: int) -> None:
            self.packer = made(*args, **named)

        def compress(self, data: bytes) -> bytes:
            begun = self.packer.compress(data)
            return begun[:9] + bytes([system]) + begun[10:]

        def flush(self) -> bytes:
            return self.packer.flush()

    monkeypatch.setattr(zlib, "compressobj", Packer)
    piece = encode_rows([])
    # Source: RFC 1952; no time, fastest, Unix.
    assert piece[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 3])
    assert gzip.decompress(piece) == b""


def test_a_run_that_goes_on_without_fields_writes_the_shard_again(tmp_path: Path) -> None:
    out = _export(tmp_path / "out", "wds")
    before = (out / "samples.sqlite").read_bytes()
    shard, other = read_manifest(out).shards[:2]
    inodes = {one.file: (out / one.file).stat().st_ino for one in (shard, other)}
    (out / f".lpff-shards/fields/{shard.file}.gz").write_bytes(b"torn")
    (out / "manifest.json").unlink()
    _export(out, "wds")
    assert (out / shard.file).stat().st_ino != inodes[shard.file]
    assert (out / other.file).stat().st_ino == inodes[other.file]
    assert (out / "samples.sqlite").read_bytes() == before


def test_sqlite_s_own_program_reads_it(out: Path) -> None:
    with closing(sqlite3.connect(out / "samples.sqlite")) as ledger:
        found = ledger.execute("SELECT key, file, license FROM records ORDER BY sample").fetchall()
    assert found == [(fields["key"], file, fields["license"]) for file, fields in _samples(out)]


def test_someone_s_own_ledger_is_not_overwritten(tmp_path: Path) -> None:
    for name in ("samples.sqlite", "ATTRIBUTION.csv", "ATTRIBUTION.md"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).write_text("mine")
        done = run("export", "--format", "wds", "--demo", 1, "--resolution", 16, "--out", folder)
        assert done.returncode == 2
        assert f"already holds {name}" in done.stderr
        assert (folder / name).read_text() == "mine"


def test_update_leaves_nobody_in_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"
    gone.write_text("")
    command = (
        "export",
        "--format",
        "wds",
        "--demo",
        8,
        "--resolution",
        16,
        "--out",
        tmp_path / "out",
        "--exclude",
        gone,
    )
    assert run(*command).returncode == 0
    gone.write_text("00000003\n")
    assert run(*command, "--update").returncode == 0
    assert verify_export(tmp_path / "out").ok
    for name in ("samples.sqlite", "ATTRIBUTION.csv"):
        data = (tmp_path / "out" / name).read_bytes()
        assert b"10000@N00_00000002_01" in data
        assert b"10000@N00_00000003_01" not in data
    assert json.loads(run("trace", "00000003", tmp_path / "out", "--json").stdout)["samples"] == []


def test_it_is_of_its_very_shards(out: Path) -> None:
    manifest = read_manifest(out)
    first, *rest = manifest.shards
    other = structs.replace(manifest, shards=(structs.replace(first, checksum="0" * 64), *rest))
    with pytest.raises(SampleIndexError, match="belongs to another export"), SampleIndex.open(out, other):
        pass


def test_the_kind_of_each_picture_is_told(tmp_path: Path) -> None:
    done = run("export", "--format", "wds", "--demo", 2, "--image", "jpeg", "--out", tmp_path / "out")
    assert done.returncode == 0
    with SampleIndex.open(tmp_path / "out", read_manifest(tmp_path / "out")) as ledger:
        assert {record.suffix for record in ledger.records("1")} == {"jpg"}
