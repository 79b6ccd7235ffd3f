"""verify finds every damage and names the shard and the sample."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from running import ENDURANCE, run, run_after
from sealing import edit_sealed, flipped

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    SourceOptions,
    export,
    verify_export,
)
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import from_json, keys_digest, read_manifest
from lpff_shards.schemas.receipt import ShardReceipt

FORMATS = ("wds", "tfrecord", "parquet", "arrayrecord")
FLIPS = 500 if ENDURANCE else 50


def _export(out: Path, format: str, checksum: str = "blake3") -> Path:
    export(
        ExportOptions(
            format=format,
            out=str(out),
            sources=SourceOptions(demo=4),
            picture=PictureOptions(resolution=32),
            shards=ShardOptions(samples_per_shard=3),
            run=RunOptions(workers=1, checksum=checksum),
        )
    )
    return out


@pytest.fixture(scope="module", params=FORMATS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(tmp_path_factory.mktemp(request.param) / "out", request.param)


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "out")


def _shards(out: Path) -> list[Path]:
    return [out / shard.file for shard in read_manifest(out).shards]


def _reads_by_sample(out: Path) -> bool:
    """Whether a damaged shard is read up to the sample that is damaged; libraries read several at once."""
    return get_format(read_manifest(out).format).spans() is not None


def _receipt(out: Path, shard: Path) -> ShardReceipt:
    receipt = from_json((out / f".lpff-shards/receipts/{shard.name}.json").read_bytes(), ShardReceipt)
    assert receipt is not None
    return receipt


def test_a_whole_export_is_whole(whole: Path) -> None:
    verdict = verify_export(whole)
    assert verdict.ok
    assert (verdict.samples, verdict.shards) == (8, 3)
    by_workers = run("verify", whole, "--workers", 2, "--json")
    assert by_workers.returncode == 0
    assert json.loads(by_workers.stdout).items() >= {"samples": 8, "shards": 3}.items()


def test_every_flipped_bit_is_found_and_placed(out: Path) -> None:
    draw = random.Random(1)
    shard = _shards(out)[1]
    receipt = _receipt(out, shard)
    clean = shard.read_bytes()
    for _ in range(FLIPS):
        at, bit = draw.randrange(len(clean)), draw.randrange(8)
        shard.write_bytes(clean[:at] + bytes([clean[at] ^ 1 << bit]) + clean[at + 1 :])
        (fault,) = verify_export(out).faults
        number = sum(end <= at for end in receipt.offsets[1:])
        assert fault.shard == shard.name
        assert fault.sample == (receipt.keys[number] if number < receipt.samples else "")


def test_a_cut_shard_is_found(out: Path) -> None:
    shard = _shards(out)[0]
    clean, receipt = shard.read_bytes(), _receipt(out, shard)
    at = receipt.offsets[-1] - 500
    shard.write_bytes(clean[:at])
    (fault,) = verify_export(out).faults
    assert (fault.shard, fault.sample) == (shard.name, receipt.keys[-1])
    assert f"{at} bytes, not {len(clean)}" in fault.reason


def test_an_appended_shard_is_found(out: Path) -> None:
    shard = _shards(out)[0]
    shard.write_bytes(shard.read_bytes() + bytes(512))
    (fault,) = verify_export(out).faults
    assert (fault.shard, fault.sample) == (shard.name, "")
    assert "the damage is after them" in fault.reason


def test_without_receipts_the_reader_names_the_sample(out: Path) -> None:
    shard = _shards(out)[2]
    receipt = _receipt(out, shard)
    shutil.rmtree(out / ".lpff-shards")
    assert verify_export(out).ok
    data = bytearray(shard.read_bytes())
    data[data.index(b"IDAT", receipt.offsets[1]) - 60] ^= 0xFF
    shard.write_bytes(data)
    (fault,) = verify_export(out).faults
    assert fault.shard == shard.name
    assert fault.sample in (receipt.keys[1], "sample 1") if _reads_by_sample(out) else "sample 0"


@pytest.mark.parametrize(
    "wrong",
    [{"offsets": []}, {"suffixes": []}, {"members": [[9, 9, 9]]}, {"members": []}, {"keys": []}, {"samples": 0}],
)
def test_an_odd_receipt_is_no_help_and_no_harm(out: Path, wrong: dict[str, object]) -> None:
    for path in (out / ".lpff-shards/receipts").iterdir():
        edit_sealed(path, lambda receipt: receipt.update(wrong))
    shard = _shards(out)[1]
    shard.write_bytes(shard.read_bytes() + b"x")
    fault, *_ = verify_export(out).faults
    assert fault.shard == shard.name
    assert fault.sample == "sample 3" or not _reads_by_sample(out)


def test_a_flipped_bit_beside_the_shards_is_found(whole: Path, tmp_path: Path) -> None:
    """Each file that an export writes, with any one bit changed; no other file is blamed."""
    draw = random.Random(3)
    out = shutil.copytree(whole, tmp_path / "out")
    shards = {shard.name for shard in _shards(out)}
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in {*shards, "lock"}]
    assert len(files) > 12
    for path in files:
        clean = path.read_bytes()
        for at in {0, len(clean) - 1, *(draw.randrange(len(clean)) for _ in range(6 if ENDURANCE else 2))}:
            path.write_bytes(flipped(clean, at, draw.randrange(8)))
            name = path.relative_to(out).as_posix()
            if name == "manifest.json":
                with pytest.raises(ShardsError, match=r"manifest\.json "):
                    verify_export(out)
                continue
            (fault,) = verify_export(out).faults
            assert fault.shard in (name, path.name.removesuffix(".json"), path.name.removesuffix(".gz")), name
        path.write_bytes(clean)
    assert verify_export(out).ok


def test_a_missing_shard_is_found(out: Path) -> None:
    shard = _shards(out)[1]
    shard.unlink()
    assert [str(fault) for fault in verify_export(out).faults] == [f"{shard.name}: the file is missing"]


def test_swapped_shards_are_found(out: Path) -> None:
    first, second, _ = _shards(out)
    first.rename(out / "x")
    second.rename(first)
    (out / "x").rename(second)
    assert {fault.shard for fault in verify_export(out).faults} == {first.name, second.name}


def test_counts_that_disagree_are_found(out: Path) -> None:
    edit_sealed(out / "manifest.json", lambda manifest: manifest["shards"][0].update(samples=2))
    reasons = [str(fault) for fault in verify_export(out).faults]
    assert any("holds 3 samples, the manifest says 2" in reason for reason in reasons)
    assert any("counts of samples disagree" in reason for reason in reasons)


def test_other_keys_are_found(out: Path) -> None:
    edit_sealed(out / "manifest.json", lambda manifest: manifest["shards"][0].update(keys=keys_digest(("a", "b", "c"))))
    fault, *_ = verify_export(out).faults
    assert "its keys are not those of the manifest" in fault.reason


def test_a_key_in_two_shards_is_found(out: Path) -> None:
    first, second, _ = _shards(out)
    shutil.copy(first, second)

    def repeat(manifest: dict[str, list[dict[str, object]]]) -> None:
        manifest["shards"][1] = {**manifest["shards"][0], "file": second.name}

    edit_sealed(out / "manifest.json", repeat)
    reasons = [str(fault) for fault in verify_export(out).faults]
    assert sum(f"its key is also in {first.name}" in reason for reason in reasons) == 3


def test_damage_is_placed_under_sha256_too(tmp_path: Path) -> None:
    out = _export(tmp_path / "out", "tfrecord", "sha256")
    shard = _shards(out)[0]
    receipt = _receipt(out, shard)
    data = bytearray(shard.read_bytes())
    data[receipt.offsets[1] + 700] ^= 1
    shard.write_bytes(data)
    (fault,) = verify_export(out).faults
    assert fault.sample == receipt.keys[1]
    assert "does not match its CRC" in fault.reason


def test_the_command_names_what_is_wrong(out: Path) -> None:
    shard = _shards(out)[1]
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    done = run("verify", out)
    assert done.returncode == 1
    assert f"{shard.name}: {_receipt(out, shard).keys[0]}: " in done.stdout
    machine = run("verify", out, "--json")
    assert machine.returncode == 1
    verdict = json.loads(machine.stdout)
    assert verdict["ok"] is False
    assert verdict["faults"][0]["sample"] == _receipt(out, shard).keys[0]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: None, "is not a folder"),
        (lambda path: path.mkdir(), "has no manifest.json"),
        (lambda path: (path.mkdir(), (path / "manifest.json").write_text("{")), "is not what an export wrote"),
        (lambda path: (path.mkdir(), (path / "manifest.json").write_text('{"version": 2}')), "is not what an export"),
    ],
)
def test_nothing_to_verify(tmp_path: Path, prepare: object, says: str) -> None:
    prepare(tmp_path / "x")
    with pytest.raises(ShardsError, match=says):
        verify_export(tmp_path / "x")


def test_all_damaged_samples_of_a_shard_are_counted(out: Path) -> None:
    shard = _shards(out)[0]
    receipt = _receipt(out, shard)
    data = bytearray(shard.read_bytes())
    for start in receipt.offsets[1:3]:
        data[start + 600] ^= 1
    shard.write_bytes(data)
    (fault,) = verify_export(out).faults
    assert (fault.shard, fault.sample) == (shard.name, receipt.keys[1])
    assert fault.reason.endswith("so is 1 more sample")


@pytest.mark.parametrize("how", ["folder", "sqlite"])
@pytest.mark.parametrize("command", ["verify", "verify --deep", "trace 00000001"])
def test_a_machine_that_takes_no_temporary_file_is_no_damage(tmp_path: Path, command: str, how: str) -> None:
    out = tmp_path / "out"
    assert run("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--out", out).returncode == 0
    prelude = {
        "folder": """
import tempfile
def nowhere(): raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
tempfile._get_default_tempdir = nowhere
tempfile.tempdir = None
""",
        # As for a sort of more than its memory takes.
        "sqlite": """
import sqlite3
from lpff_shards.sidecars.sample_index import SampleIndex
class Full:
    def execute(self, *given):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_GETTEMPPATH
        raise error
real = SampleIndex.rows
SampleIndex.rows = lambda index, *given: real(SampleIndex(index.path, Full(), index.samples), *given)
""",
    }
    done = run_after(prelude[how], *command.split(), out)
    if command != "trace 00000001" or how == "folder":
        # Nothing of a folder is put together elsewhere, and `verify` asks nothing of SQLite.
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    assert done.stderr.startswith("lpff-shards: temporary files cannot be written: ")
    assert done.stderr.endswith(". Set TMPDIR to a writable folder\n")
    assert done.stdout == ""


def test_a_shard_that_gets_shorter_meanwhile_is_not_blamed_on_memory(tmp_path: Path) -> None:
    """What is mapped into memory and gone from the disk ends a worker by SIGBUS."""
    assert run("export", "--format", "wds", "--demo", 4, "--shards", 2, "--out", tmp_path / "out").returncode == 0
    prelude = (
        "import os, signal, lpff_shards.verify as v\nv.file_checksum = lambda *_: os.kill(os.getpid(), signal.SIGBUS)"
    )
    done = run_after(prelude, "verify", tmp_path / "out", "--workers", 2)
    assert done.returncode == 2
    assert "a file got shorter while it was read" in done.stderr
    assert "memory" not in done.stderr
