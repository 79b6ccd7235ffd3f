"""Output folders as others leave them: edited, torn, foreign, full; nothing that is not ours is ever removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import LPFF_IDS, picture, write_lpff
from running import changed, contents, run, run_after
from sealing import edit_sealed, flipped

from lpff_shards import ShardsError, index_export, verify_export
from lpff_shards.loaders import ShardSource

DEMO = ("export", "--format", "wds", "--demo", 3, "--no-mirror", "--resolution", 16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(*DEMO, "--shards", 3, "--out", out).returncode == 0
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "out")


def _edit(path: Path, **values: object) -> None:
    edit_sealed(path, lambda value: value.update(values))


def test_an_edited_plan_removes_nothing_outside(out: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (out / "precious.tar").write_text("mine")
    _edit(out / ".lpff-shards/plan.json", shards=["../precious", "precious.tar"])
    assert run(*DEMO, "--shards", 2, "--out", out, "--overwrite").returncode == 0
    assert (tmp_path / "precious").exists()
    assert (out / "precious.tar").exists()
    assert run("verify", out).returncode == 0


def test_a_folder_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    refused = run(*DEMO, "--out", tmp_path, "--overwrite")
    assert refused.returncode == 2
    assert "README.md, which lpff-shards did not write" in refused.stderr
    assert contents(tmp_path) == {"README.md": b"mine"}


@pytest.mark.parametrize("damage", ['{"plan"', "", "[]"])
def test_a_torn_plan_leaves_no_shard_behind(out: Path, damage: str) -> None:
    (out / ".lpff-shards/plan.json").write_text(damage)
    assert run(*DEMO, "--shards", 2, "--out", out).returncode == 2
    assert run(*DEMO, "--shards", 2, "--out", out, "--overwrite").returncode == 0
    assert len(list(out.glob("*.tar"))) == 2


def test_verify_tells_of_a_shard_too_many(out: Path) -> None:
    shutil.copy(out / "demo-train-000000.tar", out / "demo-train-000007.tar")
    done = run("verify", out)
    assert done.returncode == 1
    assert "demo-train-000007.tar: it is named like a shard" in done.stdout


@pytest.mark.parametrize(
    "edit",
    [
        {"samples": 5000},
        {"samples": -1},
        {"file": "demo-train-000009.tar"},
        {"keys": ["x"]},
        {"offsets": [0]},
        {"offsets": [0, 10**12]},
        {"crcs": []},
        {"skipped": [{"file": "f", "id": "i", "reason": "r", "key": "k"}]},
        {"samples": 10**30},
        {"keys": 5},
    ],
)
def test_an_edited_receipt_is_not_believed(finished: Path, out: Path, edit: dict[str, object]) -> None:
    _edit(out / ".lpff-shards/receipts/demo-train-000001.tar.json", **edit)
    done = run(*DEMO, "--shards", 3, "--out", out, "--on-error", "skip")
    assert done.returncode == 0
    assert "2 of them finished before" in done.stderr
    assert contents(out) == contents(finished)


def test_a_picture_changed_to_one_of_the_same_size_is_written_again(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    command = ("export", "--format", "wds", "--lpff", root, "--no-mirror", "--shards", 3)
    assert run(*command, "--out", tmp_path / "out").returncode == 0
    path = root / f"crop/eg3d/{LPFF_IDS[0]}.png"
    before = path.read_bytes()
    other = next(p for n in range(200) if len(p := picture(f"other {n}")) == len(before) and p != before)
    path.write_bytes(other)
    again = run(*command, "--out", tmp_path / "out")
    assert "2 of them finished before" in again.stderr
    assert run(*command, "--out", tmp_path / "fresh").returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_the_manifest_goes_while_shards_are_missing(out: Path) -> None:
    (out / "demo-train-000001.tar").unlink()
    prelude = "import lpff_shards.api as api\ndef stop(*a): raise SystemExit(9)\napi._write = stop"
    assert run_after(prelude, *DEMO, "--shards", 3, "--out", out).returncode == 9
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["fifo", "folder"])
@pytest.mark.parametrize("name", ["manifest.json", "demo-train-000001.tar"])
def test_verify_opens_regular_files_only(out: Path, name: str, kind: str) -> None:
    (out / name).unlink()
    if kind == "fifo":
        os.mkfifo(out / name)
    else:
        (out / name).mkdir()
    done = run("verify", out)
    assert done.returncode == (2 if name == "manifest.json" else 1)
    assert f"{name}" in done.stdout + done.stderr
    assert "is not a regular file" in done.stdout + done.stderr
    with pytest.raises(ShardsError, match=r"is not a regular file|Is a directory"):
        index_export(out)


@pytest.mark.parametrize(
    "edit",
    [
        {"sources": {"demo": 4}},
        {"licenses": {"CC0-1.0": 3}},
        {"counts": {"planned": 3, "written": 3, "skipped": 0, "left_out": 2}},
    ],
)
def test_verify_does_not_believe_an_edited_manifest(out: Path, edit: dict[str, object]) -> None:
    _edit(out / "manifest.json", **edit)
    done = run("verify", out)
    assert done.returncode == 1
    assert done.stdout.startswith("manifest.json: ")


@pytest.mark.parametrize(
    "edit", [{"layout": {}}, {"checksum": "md5"}, {"format": 3}, {"shards": 3}, {"samples": 2**63}, {"samples": -1}]
)
def test_a_manifest_of_another_shape_is_refused(out: Path, edit: dict[str, object]) -> None:
    _edit(out / "manifest.json", **edit)
    done = run("verify", out)
    assert done.returncode == 1
    assert "is not what an export wrote" in done.stderr


@pytest.mark.parametrize("edit", [{"version": 1}, {"version": 3}, {"schema": 1}, {"schema": 3}])
@pytest.mark.parametrize("command", ["verify", "index", "trace", "report", "bench"])
def test_a_version_that_is_not_known_is_refused(out: Path, command: str, edit: dict[str, object]) -> None:
    _edit(out / "manifest.json", **edit, generator="lpff-shards 9.9")
    before = contents(out)
    done = run(command, *(["demo_00000"] if command == "trace" else []), out)
    assert done.returncode == 2
    assert "this version reads 2" in done.stderr
    assert "Read it with lpff-shards 9.9" in done.stderr
    assert contents(out) == before
    with pytest.raises(ShardsError, match="this version reads 2"):
        ShardSource(out)


@pytest.mark.parametrize(
    "name",
    ["../elsewhere/demo-train-000000.tar", "/dev/zero", "a/../b.tar", "a\0b", ".tar", "demo.zip"],
)
@pytest.mark.parametrize("place", ["shard", "tombstone", "beside", "name", "split"])
def test_a_name_that_leads_elsewhere_is_refused(out: Path, tmp_path: Path, place: str, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    for path in out.glob("demo-train-000000.*"):
        path.rename(tmp_path / "elsewhere" / path.name)
    edits = {
        "shard": lambda manifest: manifest["shards"][0].update(file=name),
        "tombstone": lambda manifest: manifest.update(tombstones=[{"key": "demo_1", "file": name, "names": []}]),
        "beside": lambda manifest: manifest["files"].update({name: "0" * 64}),
        "name": lambda manifest: manifest.update(name=name),
        "split": lambda manifest: manifest.update(splits={**manifest["splits"], name: 1}),
    }
    edit_sealed(out / "manifest.json", edits[place])
    before = contents(tmp_path)
    for use in (verify_export, index_export, ShardSource):
        with pytest.raises(ShardsError, match="which is not the name of a file of an export"):
            use(out)
    assert contents(tmp_path) == before


def test_edited_sums_are_found(tmp_path: Path) -> None:
    assert run(*DEMO, "--checksum", "sha256", "--out", tmp_path / "out").returncode == 0
    sums = tmp_path / "out/SHA256SUMS"
    sums.write_text(sums.read_text().replace("a", "b"))
    assert (
        "SHA256SUMS: is not what was written; the export's command rewrites it"
        in run("verify", tmp_path / "out").stdout
    )


@pytest.mark.parametrize("place", ["plan.json", "lock", "receipts"])
def test_a_state_folder_that_cannot_be_used_is_one_error(out: Path, place: str) -> None:
    path = out / ".lpff-shards" / place
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("")
    else:
        path.unlink()
        path.mkdir()
    done = run(*DEMO, "--shards", 2, "--out", out, "--overwrite")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_at_the_very_end_is_one_error(tmp_path: Path) -> None:
    prelude = (
        "import errno\n"
        "from lpff_shards.sidecars.folder import OutputFolder\n"
        "def full(*a): raise OSError(errno.ENOSPC, 'No space left on device', 'x')\n"
        "OutputFolder.write = full"
    )
    done = run_after(prelude, *DEMO, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert run(*DEMO, "--out", tmp_path / "out").returncode == 0


@pytest.mark.parametrize(
    "name", ["demo-train-000007.tar", "demo-train.tfrecord-00000-of-00009", "SHA256SUMS", "report/index.html"]
)
@pytest.mark.parametrize("owned", [False, True])
def test_shards_that_are_not_ours_are_never_removed(finished: Path, tmp_path: Path, name: str, owned: bool) -> None:
    out = tmp_path / "out"
    if owned:
        shutil.copytree(finished, out)
    else:
        out.mkdir()
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    done = run(*DEMO, "--shards", 2, "--out", out, "--overwrite")
    if owned and name in ("SHA256SUMS", "report/index.html"):
        assert done.returncode == 0, "in a folder of ours it is ours"
    else:
        assert done.returncode == 2
        assert f"{name}, which lpff-shards did not write" in done.stderr
        assert (out / name).read_text() == "mine"


def test_nothing_written_is_no_data_set(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    for path in (root / "crop/eg3d").iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    done = run("export", "--format", "wds", "--lpff", root, "--out", tmp_path / "out", "--on-error", "skip")
    assert done.returncode == 2
    assert "nothing to write: all 6 samples were left out" in done.stderr
    assert not (tmp_path / "out/manifest.json").exists()


def test_too_few_open_files_for_the_workers(tmp_path: Path) -> None:
    prelude = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))"
    many = changed(DEMO, "--demo", 60)
    done = run_after(prelude, *many, "--shards", 60, "--workers", 60, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "60 worker processes cannot be started: Too many open files. Use fewer --workers" in done.stderr


def test_a_worker_left_over_does_not_touch_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpff_shards.storage.local import LocalFolder

    ours = LocalFolder(tmp_path).partial("x.tar")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert LocalFolder(tmp_path).partial("x.tar") != ours


def test_a_damaged_receipt_is_told_and_made_anew(out: Path) -> None:
    """One digit of one offset; before, wrong index files and a wrong ledger were written by it."""
    before = contents(out)
    path = out / ".lpff-shards/receipts/demo-train-000001.tar.json"
    text = path.read_text()
    path.write_text(re.sub(r"(?<=\"offsets\": \[\n  0,\n  )\d", "7", text))
    assert path.read_text() != text
    done = run("verify", out)
    assert done.returncode == 1
    assert "demo-train-000001.tar: its receipt is damaged; the export's command rewrites it" in done.stdout
    done = run(*DEMO, "--shards", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "note: the receipt of demo-train-000001.tar is damaged; the shard is written again" in done.stderr
    assert contents(out) == before


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("damage", [b"", b"{}", b"torn", None])
def test_a_damaged_plan_is_told_and_made_anew(out: Path, damage: bytes | None, complete: bool) -> None:
    before = contents(out)
    plan = out / ".lpff-shards/plan.json"
    if not complete:
        (out / "manifest.json").unlink()
        (out / "demo-train-000001.tar").unlink()
    plan.unlink() if damage is None else plan.write_bytes(damage)
    refused = run(*DEMO, "--shards", 2, "--out", out)
    assert refused.returncode == 2
    assert ("already holds a different export" if complete else "plan.json is missing or damaged") in refused.stderr
    done = run(*DEMO, "--shards", 3, "--out", out)
    if damage is None and not complete:
        assert done.returncode == 2
        return
    assert done.returncode == 0, done.stderr
    assert "plan.json was missing or damaged; it is rewritten" in done.stderr
    assert contents(out) == before


def test_a_damaged_plan_brings_back_nobody(tmp_path: Path) -> None:
    """What updates took out is known by the manifest too, and not known where that is damaged as well."""
    withdrawn, out = tmp_path / "withdrawn.txt", tmp_path / "of6"
    withdrawn.write_text("")
    command = (*DEMO[:3], "--demo", 6, *DEMO[5:], "--shards", 2, "--exclude", withdrawn, "--out", out)
    assert run(*command).returncode == 0
    withdrawn.write_text("00000001\n")
    assert run(*command, "--update").returncode == 0
    updated = contents(out)
    (out / ".lpff-shards/plan.json").write_bytes(b"")
    withdrawn.write_text("")
    done = run(*command)
    assert done.returncode == 2
    assert "this would bring back 1 name that an earlier --update removed" in done.stderr
    withdrawn.write_text("00000001\n")
    assert run(*command, "--update").returncode == 0
    assert contents(out) == updated
    (out / ".lpff-shards/plan.json").write_bytes(b"")
    for path in (out / "manifest.json", next((out / ".lpff-shards/receipts").iterdir())):
        path.write_bytes(path.read_bytes() + b"x")
    done = run(*command[:-4], "--out", out)
    assert done.returncode == 2
    assert "plan.json is missing or damaged" in done.stderr


@pytest.mark.parametrize("version", [1, 3])
def test_an_export_replaces_no_manifest_of_another_version(out: Path, version: int) -> None:
    edit_sealed(out / "manifest.json", lambda manifest: manifest.update(version=version, generator="lpff-shards 9.9"))
    before = contents(out)
    for more in ((), ("--task", "1/1")):
        done = run(*DEMO, "--shards", 3, "--out", out, *more)
        assert done.returncode == 2
        assert "Read it with lpff-shards 9.9" in done.stderr
    assert contents(out) == before
    (out / ".lpff-shards/plan.json").write_text("{}")
    assert run(*DEMO, "--shards", 3, "--out", out, "--overwrite").returncode == 0
    assert verify_export(out).ok


@pytest.mark.parametrize(
    "name",
    ["dali", ".nv-meta", "report", *(f".lpff-shards{part}" for part in ("", "/partial", "/receipts", "/fields"))],
)
def test_a_link_in_place_of_an_export_s_folder_is_refused(out: Path, tmp_path: Path, name: str) -> None:
    (out / "demo-train.wids.json").unlink()
    elsewhere = shutil.copytree(out / name, tmp_path / "elsewhere") if (out / name).exists() else tmp_path / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "mine").write_text("kept")
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).symlink_to(elsewhere)
    before = contents(elsewhere)
    commands = [("index", out), (*DEMO, "--shards", 3, "--out", out), ("report", out)]
    for command in commands[: 3 if name == "report" else 2]:
        done = run(*command)
        assert done.returncode == 2
        assert f"{name} is a link. Put a folder in its place" in done.stderr
    assert contents(elsewhere) == before


def test_index_believes_no_shard_of_another_checksum(out: Path) -> None:
    """A tar's fields have no checksum of their own."""
    shard = out / "demo-train-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"demo", b"dema", 1).replace(b"Lovelace", b"Lovelacf", 1))
    shard.write_bytes(flipped(shard.read_bytes(), shard.read_bytes().index(b'"title":"') + 9, 0))
    before = contents(out)
    with pytest.raises(ShardsError, match="is damaged"):
        index_export(out)
    assert contents(out) == before


def test_a_receipt_of_another_shard_is_found(out: Path) -> None:
    edit_sealed(
        out / ".lpff-shards/receipts/demo-train-000001.tar.json", lambda receipt: receipt.update(checksum="0" * 64)
    )
    (fault,) = verify_export(out).faults
    assert str(fault) == "demo-train-000001.tar: its receipt is of another shard; the export's command rewrites it"


def _lpff(tmp_path: Path) -> Path:
    return write_lpff(tmp_path / "LPFF", LPFF_IDS, ["eg3d"])


@pytest.mark.parametrize("inner", [".", "crop/eg3d", "new/shards"])
@pytest.mark.parametrize("way", ["as it is", "by a link", "relative"])
def test_a_folder_in_a_source_is_refused(tmp_path: Path, inner: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _lpff(tmp_path)
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    out = {"as it is": root, "by a link": tmp_path / "link", "relative": Path("LPFF/crop/..")}[way] / inner
    before = contents(root)
    for more in ((), ("--dry-run",)):
        done = run("export", "--format", "wds", "--lpff", root, "--out", out, *more)
        assert done.returncode == 2
        assert "is the folder of --lpff or in it. Choose a folder next to it" in done.stderr
    assert contents(root) == before
    assert sorted(path.name for path in root.iterdir()) == sorted({path.split("/")[0] for path in before})


@pytest.mark.parametrize("linked", ["crop", "crop/eg3d"])
def test_a_folder_that_a_source_leads_to_is_refused(tmp_path: Path, linked: str) -> None:
    root = _lpff(tmp_path)
    (root / linked).rename(tmp_path / "disk")
    (root / linked).symlink_to(tmp_path / "disk")
    pictures = (root / "crop/eg3d").resolve()
    for out in (pictures, pictures / "new", root / "crop/eg3d", root / "crop/new"):
        done = run("export", "--format", "wds", "--lpff", root, "--out", out)
        assert done.returncode == 2
        assert "Choose a folder next to it" in done.stderr


def test_an_export_removes_no_source_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*DEMO[:1], "--format", "zip", "--demo", 3, "--out", out).returncode == 0
    before = contents(out)
    archive = out / "demo-train.zip"
    for option in ("--lpff", "--ffhq"):
        done = run("export", "--format", "zip", option, archive, "--no-mirror", "--overwrite", "--out", out)
        assert done.returncode == 2
        assert f"contains {option} {archive}, named like an export's file. Choose another folder" in done.stderr
    done = run(*DEMO, "--exclude", out / "README.md", "--out", out, "--overwrite")
    assert done.returncode == 2
    assert contents(out) == before


def test_a_folder_around_or_beside_a_source_is_taken(tmp_path: Path) -> None:
    root = _lpff(tmp_path)
    for out in (tmp_path, tmp_path / "LPFF2"):
        assert run("export", "--format", "wds", "--lpff", root, "--out", out).returncode == 0


FULL = (
    "import shutil, collections\n"
    "shutil.disk_usage = lambda path: collections.namedtuple('u', 'total free')(10**9, {})\n"
)


@pytest.mark.parametrize("format", ["wds", "zip"])
def test_what_cannot_fit_is_refused_before_it_starts(out: Path, tmp_path: Path, format: str) -> None:
    lpff = _lpff(tmp_path)
    command = ("export", "--format", format, "--lpff", lpff, "--image", "keep", "--out", tmp_path / "full")
    assert run(*command).returncode == 0
    needed = sum(path.stat().st_size for path in (tmp_path / "full").glob("lpff-train*") if path.suffix != ".idx")
    for free in (0, needed // 2):
        command = changed(command, "--out", tmp_path / "none")
        done = run_after(FULL.format(free), *command)
        assert done.returncode == 1
        assert "has room for" in done.stderr and "Free some space" in done.stderr
        assert not (tmp_path / "none").exists()
    assert run_after(FULL.format(3 * needed), *command).returncode == 0
    # What the export has written already, or takes the place of, needs no more room.
    again = run_after(
        FULL.format(needed // 4 if format == "wds" else 2 * needed), *command, "--overwrite", "--name", "x"
    )
    assert again.returncode == 0, again.stderr


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "out/.lpff-shards"
    state.mkdir(parents=True)
    (state / "lock").symlink_to(tmp_path / "elsewhere")
    done = run(*DEMO, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "is a link" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda receipt: receipt.update(suffixes=[["gif", *names[1:]] for names in receipt["suffixes"]]),
        lambda receipt: receipt.update(suffixes=[[] for _ in receipt["suffixes"]]),
        lambda receipt: receipt.update(sizes=[[1, 1, 99]]),
        lambda receipt: receipt.update(turned=99),
    ],
)
def test_a_receipt_that_cannot_be_is_made_anew(out: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Whoever writes a seal may write anything: what no export can write is no receipt."""
    before = contents(out)
    receipt = sorted((out / ".lpff-shards/receipts").iterdir())[0]
    edit_sealed(receipt, edit)
    done = run(*DEMO, "--shards", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == before


@pytest.mark.parametrize("name", ["README.md", "ATTRIBUTION.csv", "samples.sqlite"])
def test_what_stands_in_place_of_a_file_is_a_fault(out: Path, name: str) -> None:
    (out / name).unlink()
    assert run("verify", out).returncode == 0
    (out / name).mkdir()
    done = run("verify", out)
    assert (done.returncode, f"{name}: is not a regular file" in done.stdout) == (1, True)
