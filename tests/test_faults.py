"""What a machine does to an export: pictures that change under it, rights it lacks, workers that die, other orders."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dataset_factories import LPFF_IDS, picture, write_ffhq_eg3d, write_lpff, write_unsplash_pexels, zip_folder
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from running import Done, call, changed, contents, run, run_after
from samples import LAYOUTS, sample

from lpff_shards import api
from lpff_shards.exporters.shard import BLOCK, MOST_PIECES, ShardSink
from lpff_shards.formats.base import AppendingWriter, Encoded
from lpff_shards.storage.local import LocalFolder

FORMATS = ("wds", "tfrecord", "parquet", "arrayrecord")
ID = LPFF_IDS[1]
STATE = ".lpff-shards"


def _command(source: Path, out: Path, *more: object) -> tuple[object, ...]:
    """An export with a shard for each sample, so that all but one of them are untouched by a fault."""
    command = ("export", "--format", "wds", "--lpff", source, "--no-mirror", "--samples-per-shard", 1, "--out", out)
    return changed((*command, "--workers", 2), *more)


def _crop(root: Path) -> Path:
    return root / f"crop/eg3d/{ID}.png"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of most tests; each leaves it as it was."""
    return write_lpff(tmp_path_factory.mktemp("source") / "lpff", alignments=["eg3d"])


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes when nothing goes wrong."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(*_command(root, out)).returncode == 0
    return out


@pytest.fixture(scope="module")
def expected(finished: Path) -> dict[str, bytes]:
    return contents(finished)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command in this process."""
    return lambda *args: call(capsys, monkeypatch, *changed(args, "--workers", 1))


@pytest.fixture
def goes_on(here: Callable[..., Done]) -> Callable[..., None]:
    """Checks that the same command finishes what a fault has stopped, as if there had been none."""

    def check(expected: dict[str, bytes], out: Path, *args: object) -> None:
        done = here(*args)
        assert done.status == 0, done.err
        assert contents(out) == expected

    return check


def _one_error(done: subprocess.CompletedProcess[str] | Done, status: int, *says: str) -> None:
    code, err = (done.status, done.err) if isinstance(done, Done) else (done.returncode, done.stderr)
    assert code == status, err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("lpff-shards: ")]
    assert errors == err.splitlines()[-1:]
    assert all(part in errors[0] for part in says), errors[0]


def _check_kept(out: Path, expected: dict[str, bytes]) -> None:
    """Nothing is there but what belongs there: no half shard, no manifest, nothing left over."""
    found = {name: data for name, data in contents(out).items() if name != f"{STATE}/plan.json"}
    assert "manifest.json" not in found
    assert all(expected.get(name) == data for name, data in found.items()), sorted(found)


# Damage is done when the plan is made and before a picture is read.
LATE = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import lpff_shards.api as api

plan_export = api.plan_export

def late(options):
    plan = plan_export(options)
    path = {path!r}
    {damage}
    return plan

api.plan_export = late
"""

DAMAGES = [
    ("vanishes", "os.unlink(path)", "cannot be read: No such file or directory"),
    ("shrinks", "os.truncate(path, 30)", "has 30 bytes, not the"),
    ("is emptied", "os.truncate(path, 0)", "has 0 bytes, not the"),
    ("grows", "with open(path, 'ab') as file: file.write(bytes(9))", "had when the export was planned"),
    ("is overwritten", "with open(path, 'r+b') as file: file.write(bytes(30))", "not a PNG"),
    ("becomes a folder", "os.unlink(path); os.mkdir(path)", "cannot be read: Is a directory"),
    ("becomes a link to itself", "os.unlink(path); os.symlink(path, path)", "Too many levels of symbolic links"),
]


@contextmanager
def _put_back(path: Path, spare: Path) -> Iterator[None]:
    """Whatever happens to a file, it is afterwards what it was, with the same time."""
    shutil.copy2(path, spare)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        shutil.copy2(spare, path)


@pytest.mark.parametrize(("damage", "says"), [pytest.param(*rest, id=name) for name, *rest in DAMAGES])
def test_a_picture_that_changes_after_planning_is_one_error(
    root: Path, expected: dict[str, bytes], tmp_path: Path, goes_on: Callable[..., None], damage: str, says: str
) -> None:
    out = tmp_path / "out"
    with _put_back(_crop(root), tmp_path / "spare"):
        done = run_after(LATE.format(path=str(_crop(root)), damage=damage), *_command(root, out))
        _one_error(done, 2, f"{_crop(root)}: {ID}: ", says)
        _check_kept(out, expected)
    goes_on(expected, out, *_command(root, out))


def test_a_pipe_in_place_of_a_picture_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    damage = "os.unlink(path); os.mkfifo(path)"
    # A run that would wait for ever is ended, which works in the process that reads: one worker.
    prelude = "import signal\nsignal.alarm(3)\n" + LATE.format(path=str(_crop(root)), damage=damage)
    with _put_back(_crop(root), tmp_path / "spare"):
        done = run_after(prelude, *_command(root, tmp_path / "out", "--workers", 1))
    _one_error(done, 2, f"{_crop(root)}: {ID}: ")


@pytest.fixture
def here_late(here: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command in this process, where something happens between planning and reading."""
    plan_export = api.plan_export

    def run_late(damage: Callable[[], object], *args: object) -> Done:
        def late(options: api.ExportOptions) -> api.Plan:
            plan = plan_export(options)
            damage()
            return plan

        with monkeypatch.context() as patch:
            patch.setattr(api, "plan_export", late)
            return here(*args)

    return run_late


SKIPPING = ("--samples-per-shard", 2, "--on-error", "skip")


def _check_report(out: Path, written: int, files: Sequence[str]) -> list[str]:
    """Checks what the manifest counts and names, and returns the reasons it gives."""
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == {"planned": 3, "written": written, "skipped": len(files), "left_out": 0}
    assert manifest["samples"] == sum(manifest["sources"].values()) == written
    assert sorted(skip["file"] for skip in manifest["skipped"]) == sorted(files)
    assert all(skip["file"].endswith(f"/{skip['id']}.png") for skip in manifest["skipped"])
    return [skip["reason"] for skip in manifest["skipped"]]


@pytest.mark.parametrize(("damage", "says"), [pytest.param(*rest, id=name) for name, *rest in DAMAGES])
def test_a_picture_that_changes_after_planning_is_left_out_and_counted(
    root: Path,
    tmp_path: Path,
    here: Callable[..., Done],
    here_late: Callable[..., Done],
    damage: str,
    says: str,
) -> None:
    out, path = tmp_path / "out", _crop(root)
    with _put_back(path, tmp_path / "spare"):
        done = here_late(lambda: exec(damage, {"os": os, "path": str(path)}), *_command(root, out, *SKIPPING))
        assert done.status == 0, done.err
    (reason,) = _check_report(out, 2, [f"lpff/crop/eg3d/{ID}.png"])
    assert says in reason
    assert here("verify", out).status == 0


def test_a_picture_that_was_left_out_comes_in_once_it_is_back(
    root: Path,
    tmp_path: Path,
    here: Callable[..., Done],
    here_late: Callable[..., Done],
    goes_on: Callable[..., None],
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert here(*_command(root, whole, *SKIPPING)).status == 0
    with _put_back(_crop(root), tmp_path / "spare"):
        assert here_late(_crop(root).unlink, *_command(root, out, *SKIPPING)).status == 0
    # The sources and options are those of the whole one again, and so must be the bytes.
    goes_on(contents(whole), out, *_command(root, out, *SKIPPING))


def _repacked(folder: Path, path: Path) -> str:
    """A zip of other pictures under the same names."""
    other = shutil.copytree(folder, path.parent / "other")
    for file in (other / "crop/eg3d").iterdir():
        file.write_bytes(picture(f"another {file.name}", 9))
    return str(zip_folder(other, path))


def _start(archive: Path) -> int:
    """Where in a zip a picture stands."""
    with zipfile.ZipFile(archive) as opened:
        return opened.getinfo(f"crop/eg3d/{ID}.png").header_offset


def _lookalike(data: bytes) -> bytes:
    """Another picture of the same length, which only the zip's own checksum tells from the first."""
    others = (picture(f"other {n}") for n in range(200))
    return next(other for other in others if len(other) == len(data) and other != data)


ZIPS = [("vanishes", False), ("is cut", False), ("is cut", True), ("is replaced", True), ("shows another", False)]


@pytest.mark.parametrize(("how", "deflated"), ZIPS)
def test_a_zip_that_changes_after_planning_is_one_error(
    root: Path, tmp_path: Path, goes_on: Callable[..., None], here: Callable[..., Done], how: str, deflated: bool
) -> None:
    archive = zip_folder(root, tmp_path / "x.zip", deflated)
    assert here(*_command(archive, tmp_path / "whole")).status == 0
    expected = contents(tmp_path / "whole")
    other = _lookalike(_crop(root).read_bytes())
    at = archive.read_bytes().find(_crop(root).read_bytes())
    damage = {
        "vanishes": "os.unlink(path)",
        "is cut": f"os.truncate(path, {_start(archive) + 100})",
        "is replaced": f"os.replace({_repacked(root, tmp_path / 'new.zip')!r}, path)",
        "shows another": f"with open(path, 'r+b') as file: file.seek({at}); file.write({other!r})",
    }[how]
    out = tmp_path / "out"
    with _put_back(archive, tmp_path / "spare"):
        done = run_after(LATE.format(path=str(archive), damage=damage), *_command(archive, out))
        _one_error(done, 2, f"{archive}:crop/eg3d/")
        # What stands behind the cut is lost too, and who of two workers comes first is not told.
        lost = {"shows another": [ID], "is cut": LPFF_IDS[1:]}.get(how, LPFF_IDS)
        assert any(f"{id}.png: {id}: " in done.stderr for id in lost)
        _check_kept(out, expected)
    goes_on(expected, out, *_command(archive, out))


def test_what_is_left_of_a_zip_that_was_cut_is_written(
    root: Path, tmp_path: Path, here: Callable[..., Done], here_late: Callable[..., Done]
) -> None:
    archive, out = zip_folder(root, tmp_path / "x.zip"), tmp_path / "out"
    cut = _start(archive) + 100
    assert here_late(lambda: os.truncate(archive, cut), *_command(archive, out, *SKIPPING)).status == 0
    reasons = _check_report(out, 1, [f"x.zip:crop/eg3d/{id}.png" for id in LPFF_IDS[1:]])
    assert any("cut short in the zip" in reason for reason in reasons)
    assert here("verify", out).status == 0


RIGHTS = "-dac_override,-dac_read_search"


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a command is run with so that rights bind it, as they bind everyone but root."""
    command = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"] if os.geteuid() == 0 else []
    if command and shutil.which("setpriv") is None:
        pytest.skip("rights do not bind root, and there is no setpriv")
    secret = tmp_path_factory.mktemp("rights") / "secret"
    secret.touch(0)
    if subprocess.run([*command, "cat", secret], capture_output=True, check=False).returncode == 0:
        pytest.skip("rights do not bind here")
    return command


def _run_bound(bound: list[str], path: Path, mode: int, *args: object) -> subprocess.CompletedProcess[str]:
    """The command while a path has other rights."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        command = [*bound, sys.executable, "-m", "lpff_shards", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        path.chmod(before)


UNREADABLE = [
    (f"crop/eg3d/{ID}.png", (f"{ID}.png: {ID}: ", "Permission denied")),
    ("crop/eg3d", ("crop/eg3d cannot be listed: Permission denied",)),
    ("camera_parameters.json", ("camera_parameters.json cannot be read: Permission denied",)),
]


@pytest.mark.parametrize(("name", "says"), UNREADABLE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_source_that_may_not_be_read_is_one_error(
    bound: list[str],
    root: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    goes_on: Callable[..., None],
    name: str,
    says: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    _one_error(_run_bound(bound, root / name, 0, *_command(root, out)), 2, *says)
    _check_kept(out, expected)
    goes_on(expected, out, *_command(root, out))


def test_a_folder_beside_the_pictures_need_not_be_readable(bound: list[str], root: Path, tmp_path: Path) -> None:
    (root / "lost+found").mkdir()
    try:
        done = _run_bound(bound, root / "lost+found", 0, *_command(root, tmp_path / "out"), "--dry-run")
    finally:
        (root / "lost+found").rmdir()
    assert (done.returncode, done.stderr) == (0, "")


SHARD = "lpff-train-000001.tar"
# A path in the output folder, the rights it is left, and what is named.
OUTPUTS = [
    ("", 0o555, f"{SHARD} cannot be written"),
    (STATE, 0, f"{STATE}/plan.json"),
    (f"{STATE}/partial", 0o555, f"{SHARD} cannot be written"),
    (f"{STATE}/receipts", 0o555, f"{SHARD} cannot be written"),
    (f"{STATE}/receipts", 0, f"{STATE}/receipts: "),
    (f"{STATE}/plan.json", 0, f"{STATE}/plan.json"),
    (f"{STATE}/lock", 0, f"{STATE}/lock"),
    (f"{STATE}/receipts/lpff-train-000000.tar.json", 0, "receipts/lpff-train-000000.tar.json"),
    ("lpff-train-000000.tar", 0, "lpff-train-000000.tar"),
]


@pytest.mark.parametrize(("name", "mode", "says"), OUTPUTS, ids=lambda value: str(value) if value != "" else "out")
def test_an_output_folder_without_rights_is_one_error(
    bound: list[str],
    root: Path,
    finished: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    goes_on: Callable[..., None],
    name: str,
    mode: int,
    says: str,
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    # Unfinished, and with a partial file, so that the folder of partial files is not simply made anew.
    (out / "manifest.json").unlink()
    (out / SHARD).unlink()
    (out / STATE / "partial/x").touch()
    _one_error(_run_bound(bound, out / name, mode, *_command(root, out)), 1, says, "Permission denied")
    (out / STATE / "partial/x").unlink(missing_ok=True)
    _check_kept(out, expected)
    goes_on(expected, out, *_command(root, out))


def test_a_folder_in_which_no_output_folder_may_be_made_is_one_error(
    bound: list[str], root: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir()
    done = _run_bound(bound, tmp_path / "locked", 0o555, *_command(root, tmp_path / "locked/out"))
    _one_error(done, 1, "locked/out cannot be written", "Permission denied")
    assert not list((tmp_path / "locked").iterdir())


def test_verify_says_which_file_it_may_not_read(bound: list[str], finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    _one_error(_run_bound(bound, out / "manifest.json", 0, "verify", out), 2, "manifest.json cannot be read: Permis")
    done = _run_bound(bound, out / SHARD, 0, "verify", out)
    assert done.returncode == 1
    assert not done.stderr
    assert done.stdout.splitlines()[0] == f"{SHARD}: cannot be read: Permission denied"


@pytest.mark.parametrize("workers", [1, 2])
def test_verify_finds_damage_where_it_may_not_read_receipts(
    bound: list[str], finished: Path, tmp_path: Path, workers: int
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    os.truncate(out / SHARD, 3000)
    done = _run_bound(bound, out / STATE / "receipts", 0, "verify", out, "--workers", workers)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith(f"{SHARD}: ")


# A worker kills itself at its n-th call of something; numpy's threads would keep workers from being forked.
DEADLY = """
import os, signal
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import lpff_shards.api as api, lpff_shards.exporters.shard as shard
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage.local import LocalFolder

def deadly(function):
    calls = []
    def count(*args, **given):
        calls.append(os.getpid())
        if calls.count(os.getpid()) == {n} and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **given)
    return count

parent = os.getpid()
{where} = deadly({where})
"""
# What it dies at, at which call, and how many shards of two samples it has finished before.
DEATHS = [
    ("shard.make_sample", 2, 0),
    ("shard.make_sample", 6, 2),
    ("OutputFolder.publish", 3, 2),
    # Two index files and a receipt a shard.
    ("LocalFolder.write", 9, 2),
]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for ten shards."""
    return write_lpff(tmp_path_factory.mktemp("twenty") / "lpff", [f"{n}@N01_{n}_01" for n in range(20)], ["eg3d"])


@pytest.mark.parametrize(("where", "n", "before"), DEATHS)
def test_a_worker_that_the_system_kills_costs_its_shard_alone(
    twenty: Path, tmp_path: Path, here: Callable[..., Done], where: str, n: int, before: int
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    more = ("--samples-per-shard", 2)
    assert here(*_command(twenty, whole, *more)).status == 0
    done = run_after(DEADLY.format(where=where, n=n), *_command(twenty, out, *more))
    _one_error(done, 1, "a worker process was killed (exit status -9)", "run the same command again")
    _check_kept(out, contents(whole))
    assert not list((out / STATE / "partial").iterdir())
    kept = [path.stem for path in (out / STATE).glob("receipts/*")]
    assert before <= len(kept) < 10
    inodes = {name: (out / name).stat().st_ino for name in kept}
    again = here(*_command(twenty, out, *more))
    assert again.status == 0, again.err
    assert f"{len(kept)} of them finished before" in again.err or not kept
    assert {name: (out / name).stat().st_ino for name in kept} == inodes
    assert contents(out) == contents(whole)


# Every folder is listed backwards, or in an order that changes from one listing to the next.
ORDER = """
import os, random

scandir, listdir, draw = os.scandir, os.listdir, random.Random({seed!r})

def disorder(found):
    found = sorted(found, key=lambda entry: getattr(entry, "name", entry), reverse=True)
    if {seed!r} is not None:
        draw.shuffle(found)
    return found

class Listing:
    def __init__(self, *args):
        with scandir(*args) as found:
            self.entries = iter(disorder(found))
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def close(self):
        pass
    def __iter__(self):
        return self
    def __next__(self):
        return next(self.entries)

os.scandir = Listing
os.listdir = lambda *args: disorder(listdir(*args))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three data sets in one folder."""
    data = tmp_path_factory.mktemp("sources") / "data"
    write_lpff(data / "lpff", [*LPFF_IDS, *(f"{n}@N01_{n}_01" for n in range(5))], ["eg3d"])
    write_unsplash_pexels(data / "up", alignments=["eg3d"])
    write_ffhq_eg3d(data / "ffhq", 4)
    return data


def _combined(data: Path, format: str, out: Path, workers: int) -> tuple[object, ...]:
    given = ("--lpff", data / "lpff", "--unsplash-pexels", data / "up", "--ffhq", data / "ffhq")
    mixed = ("--rebalance", "uniform", "--splits", "train=0.7,val=0.3", "--shards", 9, "--on-error", "skip")
    if format == "tfrecord":
        # In the sources' order, which must not be that of a listing.
        mixed = (*mixed, "--no-shuffle")
    return ("export", "--format", format, *given, *mixed, "--workers", workers, "--out", out)


@pytest.fixture(scope="module", params=FORMATS)
def ordered(
    request: pytest.FixtureRequest, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, bytes]]:
    """The format, and what one worker writes of listings as they come."""
    out = tmp_path_factory.mktemp("ordered") / "out"
    done = run(*_combined(sources, request.param, out, 1))
    assert done.returncode == 0, done.stderr
    return request.param, contents(out)


# Workers, how folders are listed, whether paths are relative, and the environment.
CIRCUMSTANCES = [
    pytest.param(2, None, True, {"PYTHONHASHSEED": "0"}, id="two workers, backwards, relative paths"),
    pytest.param(3, 1, False, {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}, id="three workers, shuffled, time zone"),
    pytest.param(8, 2, True, {"PYTHONHASHSEED": "0", "LC_ALL": "C"}, id="eight workers, shuffled, ASCII"),
]


@pytest.mark.parametrize(("workers", "seed", "relative", "environment"), CIRCUMSTANCES)
def test_same_bytes_in_any_circumstances(
    ordered: tuple[str, dict[str, bytes]],
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    seed: int | None,
    relative: bool,
    environment: dict[str, str],
) -> None:
    format, expected = ordered
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    data, out = (Path(os.path.relpath(sources)), Path("../out")) if relative else (sources, tmp_path / "out")
    done = run_after(ORDER.format(seed=seed), *_combined(data, format, out, workers))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("names", ["manifest.json", f"{STATE}/receipts/*"])
def test_what_was_left_out_is_told_alike_however_paths_were_given(
    sources: Path, tmp_path: Path, here: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    data = shutil.copytree(sources, tmp_path / "data")
    os.truncate(_crop(data / "lpff"), 100)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert here(*_combined(data, "wds", tmp_path / "absolute", 1)).status == 0
    assert here(*_combined(Path("../data"), "wds", tmp_path / "relative", 1)).status == 0
    found = [sorted((tmp_path / out).glob(names)) for out in ("absolute", "relative")]
    assert [path.read_text() for path in found[0]] == [path.read_text() for path in found[1]]


def test_same_bytes_from_a_zip_that_was_packed_in_another_order(
    root: Path, tmp_path: Path, here: Callable[..., Done], goes_on: Callable[..., None]
) -> None:
    archive, other = zip_folder(root, tmp_path / "x.zip"), tmp_path / "elsewhere/x.zip"
    assert here(*_command(archive, tmp_path / "whole")).status == 0
    other.parent.mkdir()
    with zipfile.ZipFile(archive) as one, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as two:
        for info in reversed(one.infolist()):
            two.writestr(info.filename, one.read(info))
    goes_on(contents(tmp_path / "whole"), tmp_path / "out", *_command(other, tmp_path / "out"))


LENGTHS = st.sampled_from([0, 0, 1, 2, 511, 512, 513, 30_000, BLOCK - 1, BLOCK, BLOCK + 1]) | st.integers(0, 3000)
SAMPLES = st.lists(st.lists(LENGTHS, max_size=5), max_size=8)


def _noise(samples: Sequence[Sequence[int]], seed: int) -> list[list[bytes]]:
    """Pieces of these lengths."""
    draw = random.Random(seed)
    return [[draw.randbytes(length) for length in lengths] for lengths in samples]


class Heard:
    """A hasher that remembers what it was told."""

    def __init__(self) -> None:
        self.data = bytearray()

    def update(self, data: bytes | memoryview, /) -> None:
        self.data += data

    def hexdigest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def _check_appended(samples: Sequence[Sequence[bytes]], end: bytes) -> None:
    """Appends the samples to a file, and compares all that is told of it."""
    heard = Heard()
    with TemporaryDirectory() as folder, LocalFolder(Path(folder)).atomic_file("shard", 0) as growing:
        sink, encoded = ShardSink(growing, heard, lambda: Path(folder, "made")), iter(samples)
        shard = AppendingWriter("shard", sink, lambda _: Encoded(next(encoded), ("png",), (0,)), end)
        joined = [b"".join(pieces) for pieces in samples]
        assert [shard.add(sample(LAYOUTS["bare"])) for _ in samples] == list(map(len, joined))
        expected = b"".join([*joined, end])
        told = shard.close()
        sink.flush()
        assert told.bytes == len(expected)
        assert growing.finish() == ""
        assert Path(folder, "shard").read_bytes() == expected == heard.data
    assert list(told.crcs) == list(map(zlib.crc32, joined))
    assert list(told.offsets) == [len(b"".join(joined[:n])) for n in range(len(joined) + 1)]


@settings(max_examples=40, deadline=None)
@given(SAMPLES, st.binary(max_size=1024), st.integers())
def test_samples_are_appended_as_they_are(samples: list[list[int]], end: bytes, seed: int) -> None:
    _check_appended(_noise(samples, seed), end)


# Not shrunk: what is written in parts depends on every length, and trying again takes long.
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(SAMPLES, st.binary(max_size=1024), st.integers())
def test_a_write_that_takes_only_a_part_is_gone_on_with(samples: list[list[int]], end: bytes, seed: int) -> None:
    draw, write = random.Random(seed), os.write

    def some(fd: int, data: bytes | memoryview) -> int:
        return write(fd, data[: draw.randint(1, len(data))]) if data else 0

    def some_of_many(fd: int, pieces: Sequence[bytes]) -> int:
        # Nothing at all, all, or a part that may end within a piece.
        data = b"".join(pieces)
        return write(fd, data[: draw.choice([0, len(data), draw.randint(0, len(data))])])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", some)
        patch.setattr(os, "writev", some_of_many)
        _check_appended(_noise(samples, seed), end)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, MOST_PIECES - 1, MOST_PIECES, MOST_PIECES + 1, 1025, 2100]), max_size=4),
    st.integers(0, 3),
    st.integers(),
)
def test_more_pieces_than_one_call_takes_are_written_in_several(counts: list[int], length: int, seed: int) -> None:
    # The system itself refuses more than 1,024.
    _check_appended(_noise([[length] * count for count in counts], seed), b"end")
