"""Data sets in RAR archives: read in place, or unpacked once by a program of the system."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dataset_factories import LPFF_IDS, write_ffhq_eg3d, write_lpff
from inventories import clean, contents, eg3d, read
from running import Done, call, children, shards, wait_for

rarfile = pytest.importorskip("rarfile")
from rars import SOLID, TEXT, Packed, flip, folder_files, rar4, rar5  # noqa: E402

from lpff_shards.errors import ExportFailed, ShardsError  # noqa: E402
from lpff_shards.options.sources import SourceOptions  # noqa: E402
from lpff_shards.sources.io import rar_files, rar_unpacker  # noqa: E402
from lpff_shards.sources.io.blobs import BlobError, RarBlob  # noqa: E402
from lpff_shards.sources.io.rar_unpacker import PackedArchive, RarArchive, unpacked_in  # noqa: E402
from lpff_shards.sources.io.tree import Tree, open_tree  # noqa: E402

FIRST = f"{LPFF_IDS[0]}.png"
ABLE = ("unrar", "unar", "bsdtar")
"""Programs that read RAR wherever they are installed; Debian's 7zz needs another package."""
Export = Callable[..., Done]


def stored(kind: str, path: Path, files: dict[str, bytes]) -> Path:
    return rar4(path, files) if kind == "rar4" else rar5(path, files, blake=kind == "blake")


def published(folder: Path, packed: bool = False) -> Path:
    """Writes LPFF with its EG3D crops in an archive, which must be unpacked if `packed`."""
    root = write_lpff(folder / "LPFF", alignments=["eg3d"])
    files = folder_files(root / "crop/eg3d")
    rar5(root / "crop/eg3d.rar", {**files, "notes.bin": Packed()} if packed else files)
    shutil.move(root / "crop/eg3d", folder / "eg3d")
    if packed:
        (folder / "eg3d/notes.bin").write_bytes(TEXT)
    return root


def unpacked(parent: Path) -> Path:
    (folder,) = map(Path, unpacked_in(str(parent)))
    return folder


def packed_archive(path: Path, parent: Path) -> RarArchive:
    with pytest.raises(PackedArchive) as caught:
        open_tree("--lpff", str(path), str(parent))
    return caught.value.archive


def all_files(tree: Tree) -> Iterator[tuple[str, bytes]]:
    for name, blob in tree.files().pairs():
        yield name, blob.read()
    for name in tree.folders():
        inner = tree.sub(name)
        assert inner is not None
        yield from ((f"{name}/{file}", data) for file, data in all_files(inner))


@pytest.fixture
def export(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Export:
    def run(*words: object, out: str = "out") -> Done:
        command = ("export", "--format", "wds", "--workers", 1, *words, "--out", tmp_path / out)
        return call(capsys, monkeypatch, *command)

    return run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a program that copies the files of the folder `eg3d` alone on the PATH; `body` changes it."""

    def install(body: str = "", name: str = "unrar") -> Path:
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"""#!{sys.executable}
import pathlib, shutil, sys, time
source, target = pathlib.Path({str(tmp_path / "eg3d")!r}), pathlib.Path(sys.argv[-1])
with open({str(tmp_path / "calls")!r}, "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + chr(10))
for number, path in enumerate(sorted(source.iterdir())):
{body}
    if not (target / path.name).exists():
        shutil.copyfile(path, target / path.name)
""")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent))
        return script

    return install


@pytest.mark.parametrize("kind", ["rar5", "blake", "rar4"])
def test_stored_files_are_read_in_place(tmp_path: Path, kind: str) -> None:
    root = write_lpff(tmp_path / "LPFF")
    for alignment, folder in (("eg3d", "crop/eg3d"), ("raw", "raw")):
        before = contents(clean(read("lpff", root, alignment)))
        archive = stored(kind, tmp_path / "there.rar", folder_files(root / folder, "wrapper/"))
        shutil.rmtree(root / folder)
        (root / f"{folder}.rar").symlink_to(archive)
        archive = root / f"{folder}.rar"
        for given in (root, archive):
            inventory = clean(read("lpff", given, alignment))
            assert contents(inventory) == before
            assert all(isinstance(blob, RarBlob) for blob in inventory.blobs)
    assert not list(root.rglob("*.unpacked"))


def test_ffhq_in_a_rar(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "ffhq")
    archive = rar5(tmp_path / "FFHQ_512.rar", folder_files(root))
    assert contents(eg3d(archive)) == contents(eg3d(root))


def test_shards_are_those_of_the_folder(tmp_path: Path, export: Export) -> None:
    root = published(tmp_path)
    assert export("--lpff", root, "--dataset", f"own={root / 'crop/eg3d.rar'}").status == 0
    shutil.move(tmp_path / "eg3d", root / "crop/eg3d")
    assert export("--lpff", root, "--dataset", f"own={root / 'crop/eg3d'}", out="other").status == 0
    for one, other in zip(shards(tmp_path / "out"), shards(tmp_path / "other"), strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("kind", ["rar5", "blake", "rar4"])
def test_a_flipped_byte_is_named(tmp_path: Path, kind: str, export: Export) -> None:
    root = published(tmp_path)
    archive = stored(kind, root / "crop/eg3d.rar", folder_files(tmp_path / "eg3d"))
    flip(archive, (tmp_path / "eg3d" / FIRST).read_bytes())
    done = export("--lpff", root)
    assert done.status == 2
    assert f"{archive}:{FIRST}: {LPFF_IDS[0]}: does not match its checksum in the RAR archive" in done.err
    assert export("--lpff", root, "--on-error", "skip").status == 0
    (skipped, _) = json.loads((tmp_path / "out/manifest.json").read_text())["skipped"]
    assert skipped["file"] == f"LPFF/crop/eg3d.rar:{FIRST}" and LPFF_IDS[0] in skipped["id"]


@pytest.mark.parametrize("kind", ["rar5", "blake", "rar4"])
def test_every_truncation_is_found(tmp_path: Path, kind: str) -> None:
    data = stored(kind, tmp_path / "a.rar", {"x/a.png": b"a" * 40, "b.png": b"b"}).read_bytes()
    for size in range(len(data)):
        (tmp_path / "a.rar").write_bytes(data[:size])
        with pytest.raises(ShardsError, match=r"cut short|not a readable RAR archive") as caught:
            open_tree("--lpff", str(tmp_path / "a.rar"))
        assert "Download it again" in caught.value.hint


@pytest.mark.parametrize("kind", ["rar5", "blake", "rar4"])
def test_no_flipped_bit_gives_other_bytes(tmp_path: Path, kind: str) -> None:
    files = {"x/a.png": b"a" * 40, "b.png": b"b"}
    data = stored(kind, tmp_path / "a.rar", files).read_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.rar").write_bytes(changed)
        try:
            found = dict(all_files(open_tree("--lpff", str(tmp_path / "a.rar"))))
        except (ShardsError, BlobError):
            continue
        assert found.items() <= files.items()


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(ShardsError) as caught:
            open_tree("--lpff", str(path))
        assert f"--lpff {path}" in str(caught.value) or caught.value.message.startswith(str(path))
        return str(caught.value)

    path, files = tmp_path / "a.rar", {"a.png": b"a"}
    assert "is encrypted. Unpack it (unar, or unrar x), then give the folder" in refused(rar4(path, files, 0, 4))
    assert "is encrypted" in refused(rar4(path, files, flags=0x80))
    for archive in (rar4(path, files, flags=1), rar4(path, files, 0, 2), rar5(path, files, flags=1)):
        assert "is one of several volumes. Unpack the first one (unar" in refused(archive)
    assert "../a.png points outside its archive" in refused(rar5(path, {"../a.png": b""}))
    assert "is not a readable RAR archive: Unexpected EOF" in refused(rar5(path, files, ended=False))
    assert "is a RAR archive that is cut short" in refused(rar4(path, files, ended=False))
    path.write_bytes(b"no archive")
    assert "is not a readable RAR archive: Not a RAR file. Download it again" in refused(path)
    monkeypatch.setitem(sys.modules, "rarfile", None)
    assert 'needs rarfile. pip install "lpff-shards[rar]"' in refused(rar5(path, files))


def test_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rarfile.Rar5FileInfo, "is_symlink", lambda _: True)
    with pytest.raises(ShardsError, match=r"a\.png is a link\. Unpack it"):
        open_tree("--lpff", str(rar5(tmp_path / "a.rar", {"a.png": b"a"})))


def test_a_folder_comes_before_its_rar(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF")
    (root / "crop/eg3d.rar").write_bytes(b"no archive")
    clean(read("lpff", root))


def test_a_plan_says_the_room_and_writes_nothing(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake()
    before = sorted(root.rglob("*"))
    done = export("--lpff", root, "--dry-run")
    assert done.status == 2
    size = sum(path.stat().st_size for path in (tmp_path / "eg3d").iterdir())
    assert f"{root}/crop/eg3d.rar must be unpacked first, which takes {size / 1000:.1f} KB in {root}/crop" in done.err
    assert "An export without --dry-run unpacks it" in done.err
    assert sorted(root.rglob("*")) == before
    assert not (tmp_path / "calls").exists()
    assert export("--lpff", root).status == 0
    assert export("--lpff", root, "--dry-run").status == 0


def test_an_export_unpacks_once(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake()
    done = export("--lpff", root)
    assert done.status == 0, done.err
    folder = unpacked(root / "crop")
    assert f"unpacking {root}/crop/eg3d.rar into {folder}" in done.err
    assert {path.name for path in root.rglob(".*")} == {".lpff-shards-lock"}
    manifest = (tmp_path / "out/manifest.json").read_bytes()
    assert str(tmp_path) not in manifest.decode()
    done = export("--lpff", root)
    assert done.status == 0 and "unpacking" not in done.err
    assert (tmp_path / "out/manifest.json").read_bytes() == manifest
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    # The folder is no other source.
    assert open_tree("--lpff", str(root / "crop")).folders() == []
    assert export("--lpff", root / "crop/eg3d.rar", out="direct").status == 0
    shutil.move(tmp_path / "eg3d", root / "crop/eg3d")
    assert export("--lpff", root, out="folder").status == 0
    for name in ("direct", "folder"):
        for one, other in zip(shards(tmp_path / "out"), shards(tmp_path / name), strict=True):
            assert one.read_bytes() == other.read_bytes()


def test_a_folder_that_was_not_needed_is_noted(tmp_path: Path, export: Export) -> None:
    done = export("--lpff", write_lpff(tmp_path / "LPFF"), "--unpack-to", tmp_path / "room")
    assert done.status == 0 and f"--unpack-to {tmp_path}/room was not needed" in done.err


def test_unpacking_tells_how_far_it_is(
    tmp_path: Path, export: Export, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rar_unpacker, "REPORT_SECONDS", 0.05)
    root = published(tmp_path, packed=True)
    fake("    time.sleep(0.2)")
    done = export("--lpff", root)
    assert done.status == 0, done.err
    size = sum(path.stat().st_size for path in (tmp_path / "eg3d").iterdir()) / 1000
    told = re.findall(r"unpacking \S+eg3d\.rar: (\S+ \S+) of (\S+ \S+)", done.err)
    assert {total for _, total in told} == {f"{size:.1f} KB"} and len({there for there, _ in told}) > 1


def test_archives_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = []
    for name, text in (("one", b"1"), ("two", b"2"), ("moved", b"1")):
        (tmp_path / name).mkdir()
        path = rar5(tmp_path / name / "eg3d.rar", {"a.png": text, "notes.bin": Packed()})
        folders.append(packed_archive(path, tmp_path / "room").folder)
    assert folders[0] == folders[2] != folders[1]


def test_a_folder_for_what_is_unpacked(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake()
    done = export("--lpff", root, "--unpack-to", tmp_path / "room/inner")
    assert done.status == 0, done.err
    assert sorted(path.name for path in (root / "crop").iterdir()) == ["eg3d.rar"]
    folder = unpacked(tmp_path / "room/inner")
    (note, *_) = json.loads((tmp_path / "out/manifest.json").read_text())["notes"]
    assert f"unpacked/{folder.name}: 1 files, such as notes.bin, are ignored" in note
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path


BODIES = {
    "too few": ("    if number > 1: sys.exit('disk error')", "exit status 1, disk error"),
    "cut short": ("    (target / path.name).write_bytes(path.read_bytes()[:-1]); continue", "exit status 0"),
    "other contents": ("    (target / path.name).write_bytes(bytes(path.stat().st_size)); continue", "exit status 0"),
    "links": ("    (target / path.name).symlink_to(path); continue", "exit status 0"),
    "nothing": ("    sys.exit(9)", "exit status 9"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_unpacked_is_checked(tmp_path: Path, export: Export, fake: Callable[..., Path], kind: str) -> None:
    root = published(tmp_path, packed=True)
    body, result = BODIES[kind]
    fake(body)
    done = export("--lpff", root)
    assert done.status == 2
    name = "notes.bin" if kind == "too few" else FIRST
    if kind == "too few":
        assert f"{root}/crop/eg3d.rar:" in done.err and "(1 more too)" in done.err
    else:
        assert f"{root}/crop/eg3d.rar:{name} is missing or does not match its checksum" in done.err
    assert f"unrar: {result}. Download the archive again, or install another program: apt-get install unar" in done.err
    assert not unpacked_in(str(root / "crop"))
    assert not [path for path in root.rglob("*.png") if path.is_symlink()]
    # Another program begins where that one ended.
    fake(name="bsdtar")
    done = export("--lpff", root)
    assert done.status == 0, done.err


def test_a_file_that_is_not_in_the_archive(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake("    (target / 'odd.png').write_bytes(b'')")
    done = export("--lpff", root)
    assert done.status == 2
    assert f"odd.png is not a file of {root}/crop/eg3d.rar. Remove it" in done.err


def test_good_files_of_an_earlier_run_are_kept(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake("    if number > 1: sys.exit(1)")
    assert export("--lpff", root).status == 2
    (partial,) = (root / "crop").glob(".*.unpacked")
    kept = sorted(partial.glob("*.png"))
    assert len(kept) == 2
    stamps = [path.stat().st_mtime_ns for path in kept]
    fake()
    done = export("--lpff", root)
    assert "; 2 files of an earlier run kept" in done.err
    folder = unpacked(root / "crop")
    assert [(folder / path.name).stat().st_mtime_ns for path in kept] == stamps
    for path in (tmp_path / "eg3d").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_an_unpacked_file_that_is_lost_is_named(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake()
    assert export("--lpff", root).status == 0
    folder = unpacked(root / "crop")
    (folder / FIRST).write_bytes(b"")
    done = export("--lpff", root)
    assert done.status == 2
    assert f"{folder}/{FIRST} is missing or has changed since {root}/crop/eg3d.rar was unpacked" in done.err
    assert f"Remove {folder}: the export unpacks the archive again" in done.err


def test_no_program_is_installed(tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    root = published(tmp_path, packed=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = export("--lpff", root)
    assert done.status == 2
    assert "must be unpacked, and none of unrar, 7zz, 7z, unar, bsdtar is installed. Install one (apt-get" in done.err


def test_a_disk_without_room(
    tmp_path: Path, export: Export, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = published(tmp_path, packed=True)
    fake()
    (tmp_path / "file").write_bytes(b"")
    done = export("--lpff", root, "--unpack-to", tmp_path / "file")
    assert done.status == ExportFailed.exit_status
    assert f"{root}/crop/eg3d.rar cannot be unpacked into {tmp_path}/file/eg3d-" in done.err
    assert "choose another folder with --unpack-to" in done.err
    monkeypatch.setattr(rar_unpacker, "free_space", lambda path: (path, 1000))
    done = export("--lpff", root)
    assert done.status == ExportFailed.exit_status
    assert f"and {root}/crop has room for 1.0 KB. Free some space" in done.err
    assert not (tmp_path / "calls").exists()


def test_a_bucket_is_no_place_to_unpack() -> None:
    with pytest.raises(ShardsError, match="--unpack-to s3://b/x is in a bucket"):
        SourceOptions(demo=1, unpack_to="s3://b/x")


def started(tmp_path: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lpff_shards", "export", "--format", "wds", "--lpff", root, "--out"]
    words = [*map(str, command), str(tmp_path / "out"), "--workers", "1"]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


def partial_files(root: Path) -> list[Path]:
    return [path for path in (root / "crop").glob(".*.unpacked/*") if path.suffix]


def test_killed_while_unpacking(tmp_path: Path, export: Export, fake: Callable[..., Path]) -> None:
    root = published(tmp_path, packed=True)
    fake("    time.sleep(0.2)")
    process = started(tmp_path, root)
    wait_for(lambda: len(partial_files(root)) >= 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not unpacked_in(str(root / "crop"))
    done = export("--lpff", root)
    assert done.status == 0, done.err
    assert "of an earlier run kept" in done.err
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_the_next_export_waits_for_the_program_of_a_killed_one(
    tmp_path: Path, export: Export, fake: Callable[..., Path]
) -> None:
    root = published(tmp_path, packed=True)
    fake("    time.sleep(0.5)")
    process = started(tmp_path, root)
    wait_for(lambda: partial_files(root))
    (program,) = children(process.pid)
    process.kill()
    process.communicate()
    assert Path(f"/proc/{program}").exists()
    done = export("--lpff", root)
    assert done.status == 0, done.err
    assert f"waiting: {root}/crop/eg3d.rar is being unpacked" in done.err
    # All was there, so it did not run again.
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


@pytest.fixture(params=[*ABLE, "7zz", "7z"])
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real program, alone on the PATH."""
    name = str(request.param)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return name


def test_real_archives_with_a_real_program(tmp_path: Path, program: str) -> None:
    """Each is unpacked well, or refused: unar cannot read every solid RAR 5, bsdtar no solid RAR 4, 7zz maybe none."""
    for version, data in SOLID.items():
        path = tmp_path / f"solid-{version}.rar"
        path.write_bytes(data)
        archive = packed_archive(path, tmp_path / "room")
        try:
            archive.unpack(lambda _: None)
        except ShardsError as error:
            assert f"{program}: exit status" in error.message
            continue
        tree = open_tree("--lpff", str(path), str(tmp_path / "room"))
        assert dict(all_files(tree)) == {"stest1.txt": TEXT, "stest2.txt": TEXT}


@pytest.mark.parametrize("kind", ["rar5", "blake", "rar4", "packed"])
def test_handmade_archives_with_a_real_program(tmp_path: Path, program: str, kind: str) -> None:
    files = {"wrapper/ü.png": b"u" * 5000, "a.png": b"a" * 100}
    path = tmp_path / f"{kind}.rar"
    if kind == "packed":
        rar5(path, {**files, "notes.txt": Packed()})
        files["notes.txt"] = TEXT
    else:
        stored(kind, path, files)
    archive = RarArchive(str(path), tmp_path / "room/files", rar_files._listed("--lpff", str(path)))
    try:
        archive.unpack(lambda _: None)
    except ShardsError as error:
        if program not in ABLE:
            pytest.skip(f"{program} has no support of RAR here: {error}")
        raise
    assert dict(all_files(open_tree("--lpff", str(archive.folder)))) == files


def test_a_flipped_byte_with_a_real_program(tmp_path: Path, program: str) -> None:
    files = {"wrapper/b.png": b"u" * 5000, "a.png": b"a" * 100}
    for part, name in ((files["a.png"], "a.png"), (Packed().data, "notes.txt")):
        path = rar5(tmp_path / "packed.rar", {**files, "notes.txt": Packed()})
        flip(path, part)
        archive = packed_archive(path, tmp_path / "room")
        with pytest.raises(ShardsError) as caught:
            archive.unpack(lambda _: None)
        if program in ABLE:
            assert f"{path}:{name} is missing or does not match its checksum" in caught.value.message
        assert f"{program}: exit status" in caught.value.message
        shutil.rmtree(tmp_path / "room")


def test_a_real_program_is_killed(tmp_path: Path, program: str, export: Export) -> None:
    if program not in ABLE:
        pytest.skip(f"{program} may be without support of RAR")
    root = published(tmp_path, packed=True)
    large = {f"{number}.bin": os.urandom(1 << 22) for number in range(8)}
    rar5(root / "crop/eg3d.rar", {**large, **folder_files(tmp_path / "eg3d"), "notes.txt": Packed()})
    process = started(tmp_path, root)
    wait_for(lambda: partial_files(root) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = export("--lpff", root)
    assert done.status == 0, done.err
    for name, data in large.items():
        assert (unpacked(root / "crop") / name).read_bytes() == data
