"""Sources in buckets: the plan and the bytes of the same data on disk, a request a picture, clear errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest
import running
from dataset_factories import (
    dump,
    picture,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    write_lpff,
    zip_folder,
)
from running import changed, contents, run, wait_for
from servers.fault import Fault
from stores import Bucket

from lpff_shards.errors import ShardsError
from lpff_shards.planning import survey as surveys
from lpff_shards.sources.ffhq_checks import SAMPLED
from lpff_shards.sources.lpff import Lpff
from lpff_shards.storage.bucket import is_odd

Wholes = Callable[[str], dict[str, bytes]]

PHOTOS = 6
LPFF_IDS = tuple(f"99873466@N00_{3071459241 + n}_01" for n in range(12))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LPFF as a folder, FFHQ as a zip and in folders of thousands, and the files beside them."""
    root = tmp_path_factory.mktemp("data") / "sets"
    write_lpff(root / "LPFF", LPFF_IDS)
    write(root / "LPFF" / "old" / ".lpff-shards" / "plan.json", b"{}")
    shutil.copytree(root / "LPFF", root / "downloaded/LPFF", ignore=shutil.ignore_patterns("eg3d", "old"))
    zip_folder(root / "LPFF/crop/eg3d", root / "downloaded/LPFF/crop/eg3d.zip", wrapper="eg3d")
    write_ffhq_eg3d(root / "eg3d", PHOTOS)
    shutil.copy(root / "eg3d" / "dataset.json", root / "cameras.json")
    zip_folder(root / "eg3d", root / "FFHQ_512.zip", wrapper="FFHQ_512")
    write_ffhq_eg3d(root / "by_index", PHOTOS, naming="index")
    write_ffhq_stylegan(root / "FFHQ", [0, 1, 1000, 2000])
    write_ffhq_v2(root / "v2.json", range(PHOTOS))
    dump(root / "replicas.json", {str(n): n % 3 + 1 for n in range(2 * PHOTOS)})
    write(root / "gone.txt", b"00002\n")
    return root


def _send(folder: Path, bucket: Bucket, prefix: str = "") -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(f"{prefix}{path.relative_to(folder)}", path.read_bytes())


def _export(root: object, out: Path, options: Iterable[str], *more: object) -> dict[str, bytes]:
    """What an export writes; a word that starts with @ is a path below the root."""
    words = [f"{root}/{word[1:]}" if word.startswith("@") else word for word in options]
    done = run(*changed(("export", "--format", "wds", *words, "--shards", 3, "--workers", 1, "--out", out), *more))
    assert done.returncode == 0, done.stderr
    return contents(out)


def _told(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """All but what differs by the times and marks of the sources: receipts hold a digest of them."""
    receipts = {name for name in found if name.startswith(".lpff-shards/receipts/")}
    told = {name: json.dumps({**json.loads(found[name]), "sources": "", "seal": ""}).encode() for name in receipts}
    return {**found, **told}


COMBINED = "combined and rebalanced"
MIXES = {
    "a folder": ("--lpff", "@LPFF"),
    "crops as downloaded": ("--lpff", "@downloaded/LPFF"),
    "a flat folder below its cameras": ("--lpff", "@LPFF/realign2400", "--alignment", "realign2400"),
    "raw photos": ("--lpff", "@LPFF", "--alignment", "raw"),
    "a zip": ("--ffhq", "@FFHQ_512.zip", "--ffhq-metadata", "@v2.json", "--splits", "official"),
    "folders of thousands": ("--ffhq", "@FFHQ", "--alignment", "stylegan", "--ffhq-cameras", "@cameras.json"),
    COMBINED: (
        *("--ffhq", "@FFHQ_512.zip", "--lpff", "@LPFF", "--rebalance", "lpff", "--ffhq-metadata", "@v2.json"),
        *("--exclude", "@gone.txt"),
    ),
    "replicas": ("--ffhq", "@by_index", "--rebalance", "eg3d", "--num-replicas", "@replicas.json"),
}


@pytest.fixture(scope="module")
def wholes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What is written of the data on disk, by the name of the mix."""
    out = tmp_path_factory.mktemp("wholes")
    return cache(lambda name: _told(_export(data, out / name, MIXES[name])))


@pytest.fixture(scope="module")
def kept() -> dict[str, Bucket]:
    """Buckets by scheme that hold the data below `sets`."""
    return {}


@pytest.fixture
def filled(bucket: Bucket, kept: dict[str, Bucket], data: Path) -> Bucket:
    """A bucket with the data below `sets`, which every test leaves as it was: sending takes longer than most tests."""
    if bucket.scheme not in kept:
        _send(data, bucket, "sets/")
        kept[bucket.scheme] = bucket
    return kept[bucket.scheme]


only_s3 = pytest.mark.parametrize("bucket", ["s3"], indirect=True)


@pytest.mark.parametrize(
    ("bucket", "name"),
    [*(("s3", name) for name in MIXES), *(("gcs", name) for name in ("a folder", "a zip", COMBINED))],
    indirect=["bucket"],
)
def test_the_same_as_from_a_disk(filled: Bucket, wholes: Wholes, tmp_path: Path, name: str) -> None:
    found = _export(f"{filled.uri}/sets", tmp_path / "out", MIXES[name])
    assert json.loads(found["manifest.json"])["plan"] == json.loads(wholes(name)["manifest.json"])["plan"]
    assert _told(found) == wholes(name)
    assert not [file for file, content in found.items() if filled.name.encode() in content]


def test_a_whole_bucket_and_what_is_published_of_it(s3: Bucket, data: Path, tmp_path: Path) -> None:
    _send(data / "LPFF", s3)
    s3.remove("info.json")
    found = _export(s3.uri, tmp_path / "out", ("--lpff", "@"))
    assert not [file for file, content in found.items() if s3.name.encode() in content]
    manifest = json.loads(found["manifest.json"])
    assert manifest["options"]["lpff"] == "."
    assert "./crop/eg3d: info.json was not found, so licenses and authors are unknown" in manifest["notes"]
    assert b"--lpff ." in found["README.md"]


@only_s3
def test_workers_are_sent_what_lies_in_buckets(filled: Bucket, wholes: Wholes, tmp_path: Path) -> None:
    found = _export(f"{filled.uri}/sets", tmp_path / "a", MIXES[COMBINED], "--workers", 2, "--on-error", "skip")
    assert _told(found) == wholes(COMBINED)


def test_into_the_trainers_zip_in_a_bucket(s3: Bucket, data: Path, tmp_path: Path) -> None:
    s3.put("FFHQ_512.zip", (data / "FFHQ_512.zip").read_bytes())
    for root, out in ((s3.uri, f"{s3.uri}/out"), (str(data), str(tmp_path / "out"))):
        done = run("export", "--format", "zip", "--ffhq", f"{root}/FFHQ_512.zip", "--workers", 1, "--out", out)
        assert done.returncode == 0, done.stderr
    archive = next((tmp_path / "out").glob("*.zip"))
    assert s3.read(f"out/{archive.name}") == archive.read_bytes()


def test_a_request_a_picture_and_few_more(filled: Bucket, tmp_path: Path) -> None:
    pictures = {"--lpff": len(LPFF_IDS), "--ffhq": PHOTOS}
    for option, name in (("--lpff", "LPFF"), ("--ffhq", "FFHQ_512.zip")):
        filled.break_with()
        # A picture and its mirror may be in different shards.
        _export(f"{filled.uri}/sets", tmp_path / name, (option, f"@{name}", "--no-mirror"))
        methods = filled.counts().methods
        # The first bytes of a sample of pictures are read when planning, of FFHQ also those of some pairs; tables,
        # listings and a zip's directory are a few more.
        opened = min(surveys.SAMPLED, pictures[option]) + (2 * min(SAMPLED, PHOTOS) if option == "--ffhq" else 0)
        assert pictures[option] < methods["GET"] <= pictures[option] + opened + 12, methods
        assert methods["HEAD"] <= 3, methods
        assert set(methods) == {"GET", "HEAD"}


@only_s3
def test_one_request_in_ten_fails(filled: Bucket, wholes: Wholes, tmp_path: Path) -> None:
    kinds = ("error", "reset", "reset-answer", "short-answer")
    filled.break_with(*(Fault(kind, share=0.03) for kind in kinds))  # type: ignore[arg-type]
    found = _export(f"{filled.uri}/sets", tmp_path / "out", MIXES[COMBINED])
    assert sum(filled.counts().hit) >= 1
    assert _told(found) == wholes(COMBINED)


def test_an_object_that_changed_since_it_was_planned(s3: Bucket, data: Path, wholes: Wholes, tmp_path: Path) -> None:
    _send(data / "LPFF", s3, "LPFF/")
    changed = f"LPFF/crop/eg3d/{LPFF_IDS[5]}.png"
    command = ("export", "--format", "wds", "--lpff", f"{s3.uri}/LPFF", "--shards", 3, "--workers", 1)
    before = s3.read(changed)
    for content, reason in (
        (before[:-1] + b"\0", "has changed since the export was planned"),
        (before + b"\0", f"has {len(before) + 1} bytes, not the {len(before)} it had when the export was planned"),
        (None, "cannot be read: there is no such object"),
    ):
        s3.put(changed, before)
        # The pictures are listed by then, and not yet read.
        s3.break_with(Fault("hold", method="GET", path="/LPFF/info.json$"))
        running.forks().start(*command, "--on-error", "skip", "--out", tmp_path / "out", "--overwrite")
        wait_for(lambda: s3.counts().held)
        if content is None:
            s3.remove(changed)
        else:
            s3.put(changed, content)
        s3.release()
        done = running.forks().end()
        assert done.returncode == 0, done.stderr
        skipped = json.loads((tmp_path / "out" / "manifest.json").read_text())["skipped"]
        assert {(skip["file"], skip["id"], skip["reason"]) for skip in skipped} == {(changed, LPFF_IDS[5], reason)}
    s3.break_with()
    s3.put(changed, before)
    # What could not be had is there again: the shards that lack it are written anew, the others are kept.
    assert "2 of them finished before" in run(*command, "--out", tmp_path / "out").stderr
    assert _told(contents(tmp_path / "out")) == wholes("a folder")
    s3.put(changed, picture("another", 8))
    done = run(*command, "--out", tmp_path / "out", "--overwrite")
    assert "1 of them finished before" in done.stderr or "2 of them finished before" in done.stderr


def test_a_store_that_fails_is_no_fault_of_a_picture(s3: Bucket, data: Path, tmp_path: Path) -> None:
    _send(data / "LPFF", s3, "LPFF/")
    late = f"/LPFF/crop/eg3d/{LPFF_IDS[5]}.png$"
    command = ("export", "--format", "wds", "--lpff", f"{s3.uri}/LPFF", "--workers", 1, "--out", tmp_path / "out")
    s3.break_with(Fault("error", method="GET", path=late, status=403, code="AccessDenied"))
    done = run(*command, "--on-error", "skip")
    assert done.returncode == 1
    assert f"{s3.uri}{late[:-1]} cannot be read: AccessDenied: made by the test. Check rights" in done.stderr
    s3.break_with()
    assert run(*command).returncode == 0


def test_damage_in_a_zip_is_left_out_alone(s3: Bucket, data: Path, tmp_path: Path) -> None:
    packed = bytearray((data / "FFHQ_512.zip").read_bytes())
    at = packed.index((data / "eg3d" / "00003.png").read_bytes())
    packed[at + 70] ^= 1
    s3.put("FFHQ_512.zip", bytes(packed))
    _export(s3.uri, tmp_path / "out", ("--ffhq", "@FFHQ_512.zip"), "--on-error", "skip")
    skipped = json.loads((tmp_path / "out" / "manifest.json").read_text())["skipped"]
    assert {(skip["file"], skip["id"]) for skip in skipped} == {("FFHQ_512.zip:FFHQ_512/00003.png", "00003")}
    assert all("does not match its CRC-32 in the zip" in skip["reason"] for skip in skipped)


REFUSALS = [
    (
        ("--lpff", "s3://no-such-bucket/LPFF"),
        "--lpff s3://no-such-bucket/LPFF cannot be listed: there is no such bucket",
    ),
    (
        ("--lpff", "@LPF"),
        "--lpff URI/LPF does not exist. Give a prefix with the layout of the data set's folder",
    ),
    (("--ffhq", "@notes.txt"), "--ffhq URI/notes.txt is neither a prefix nor a zip"),
    (("--ffhq", "@short.zip"), "--ffhq URI/short.zip is a zip that is cut short or damaged"),
    (("--ffhq", "@x.rar"), "--ffhq URI/x.rar is a RAR archive, which cannot be read in place"),
    (("--lpff", "@texts"), "--lpff URI/texts contains neither crop/eg3d/ nor pictures"),
    (("--ffhq", "@FFHQ_512.zip", "--ffhq-metadata", "@none.json"), "--ffhq-metadata URI/none.json does not exist"),
    (("--ffhq", "@FFHQ_512.zip", "--ffhq-metadata", "@notes.txt"), "URI/notes.txt is not valid JSON"),
    (("--ffhq", "@FFHQ_512.zip", "--exclude", "@"), "--exclude URI/ does not exist"),
]


def test_what_is_not_there_is_one_error(s3: Bucket, data: Path, tmp_path: Path) -> None:
    packed = (data / "FFHQ_512.zip").read_bytes()
    s3.put("FFHQ_512.zip", packed)
    s3.put("short.zip", packed[: len(packed) // 2])
    s3.put("notes.txt", b"notes")
    s3.put("x.rar", b"Rar!")
    s3.put("texts/a.txt", b"a")
    for options, expected in REFUSALS:
        words = [f"{s3.uri}/{word[1:]}" if word.startswith("@") else word for word in options]
        done = run("export", "--format", "wds", *words, "--out", tmp_path / "out")
        assert done.returncode == 2, done.stderr
        assert expected.replace("URI", s3.uri) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    s3.break_with(Fault("error", status=403, code="AccessDenied"))
    for option in ("--lpff", "--ffhq"):
        done = run("export", "--format", "wds", option, f"{s3.uri}/FFHQ_512.zip", "--out", tmp_path / "out")
        assert done.returncode == 2
        assert f"{option} {s3.uri}/FFHQ_512.zip cannot be read: the store returned 403 Forbidden" in done.stderr


def test_folders_that_tools_make_are_no_files(bucket: Bucket, data: Path, tmp_path: Path) -> None:
    _send(data / "LPFF", bucket, "LPFF/")
    for name in ("LPFF/", "LPFF/crop/", "LPFF/crop/eg3d/", "LPFF/crop/eg3d/folder.png/x", "LPFF/crop/eg3d/.hidden.png"):
        bucket.put(name, b"")
    _export(bucket.uri, tmp_path / "out", ("--lpff", "@LPFF/"), "--on-error", "skip")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["samples"] == 2 * len(LPFF_IDS)
    assert [(s["file"], s["reason"]) for s in manifest["skipped"]] == [
        ("LPFF/crop/eg3d/folder.png", "is not a regular file")
    ]


def test_an_object_whose_name_is_no_path_blocks_nothing(s3: Bucket, data: Path, tmp_path: Path) -> None:
    names = ["../x.png", "/x.png", "./x.png", "a\x7f.png", "a\x01.png", "..", "//"]
    _send(data / "LPFF", s3, "LPFF/")
    for odd in names:
        s3.put(f"LPFF/crop/eg3d/{odd}", b"odd")
    _export(s3.uri, tmp_path / "out", ("--lpff", "@LPFF/"), "--on-error", "skip")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["samples"] == 2 * len(LPFF_IDS)
    told = [odd for odd in names if is_odd(odd) and odd.endswith(".png")]
    assert [skip["reason"] for skip in manifest["skipped"]] == ["its name is not a valid path"] * len(told)


@pytest.mark.parametrize("odd", ["..", "/x.png", "a\x7f.png"])
def test_an_object_whose_name_is_no_path_is_no_matter_of_rights(gcs: Bucket, odd: str) -> None:
    gcs.put("LPFF/crop/eg3d/a.png", b"")
    gcs.put(f"LPFF/crop/eg3d/{odd}", b"")
    with pytest.raises(ShardsError, match="an object below it has an invalid name") as caught:
        Lpff(f"{gcs.uri}/LPFF", "eg3d").inventory()
    assert caught.value.hint.startswith("Rename or remove that object")
    gcs.remove(f"LPFF/crop/eg3d/{odd}")
    gcs.put(f"LPFF/old/{odd}", b"")
    with pytest.raises(ShardsError, match=r"camera_parameters\.json was not found"):
        Lpff(f"{gcs.uri}/LPFF", "eg3d").inventory()
