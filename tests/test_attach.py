"""`lpff-shards attach`: killed, updated, overwritten, damaged, in a bucket; the export's own files never change."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import channel_files
import numpy as np
import pytest
from channel_files import GIVEN, IDS, check, export_options, samples, shown
from PIL import Image
from running import ENDURANCE, call, children, contents, forks, run, wait_for
from stores import Bucket

from lpff_shards import ShardsError, export, index_export, read_manifest, trace_export, verify_export
from lpff_shards.exporters import attach as attaching
from lpff_shards.loaders.source import ShardSource
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.report.write import report_export

attach = partial(attaching.attach_channels, workers=1)
KILLS = 20 if ENDURANCE else 6
SHARDS = ShardOptions(samples_per_shard=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("channels")
    channel_files.write(root)
    return root


@pytest.fixture
def out(root: Path, tmp_path: Path) -> Path:
    export(export_options(root, "wds", tmp_path / "out", (), shards=SHARDS))
    return tmp_path / "out"


def test_kills_leave_nothing_half_and_the_same_bytes_at_the_end(root: Path, out: Path) -> None:
    pictures, whole = contents(out), out.with_name("whole")
    shutil.copytree(out, whole)
    command = ("attach", whole, "--channel", channel_files.options(root, "mask")[0])
    assert forks().run(*command).returncode == 0
    expected, draw = contents(whole), random.Random("kills of attach")
    command = ("attach", out, *command[2:])
    kills = 0
    for _ in range(6 * KILLS):
        pid = forks().start(*command)
        time.sleep(draw.uniform(0, 0.12))
        os.kill(pid, signal.SIGSTOP)
        workers = children(pid)
        os.kill(pid, signal.SIGKILL)
        kills += forks().end().returncode == -signal.SIGKILL
        # They may finish what they have.
        wait_for(lambda workers=workers: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
        there = contents(out)
        assert {name: there[name] for name in pictures} == pictures
        finished = {name: data for name, data in there.items() if name.startswith("mask/") and "partial" not in name}
        assert all(expected[name] == data for name, data in finished.items())
        if kills == KILLS:
            break
        shutil.rmtree(out / "mask", ignore_errors=True)
    assert kills == KILLS
    assert forks().run(*command).returncode == 0
    assert contents(out) == expected


def test_an_update_takes_the_files_of_withdrawn_photos_too(root: Path, tmp_path: Path) -> None:
    for format in ("wds", "tfrecord", "parquet", "zip"):
        out, gone = tmp_path / format, tmp_path / "gone.txt"
        shards = {"picture": PictureOptions(resolution=32)} if format == "zip" else {"shards": SHARDS}
        gone.write_text("")
        export(export_options(root, format, out, (), mix=MixOptions(exclude=str(gone)), **shards))
        attach(out, channel_files.options(root))
        gone.write_text(f"{IDS[1]}\n{IDS[6]}\n")
        again = export_options(
            root, format, out, (), mix=MixOptions(exclude=str(gone)), run=RunOptions(update=True), **shards
        )
        manifest = export(again)
        assert manifest.samples == 2 * len(IDS) - 4
        pictures = {key: shown(sample) for key, sample in _pictures(out, manifest)}
        for name in GIVEN:
            found = samples(out / name, read_manifest(out / name))
            assert [key for key, _ in found] == list(pictures)
            for key, sample in found:
                check(sample, pictures[key], (name,))
        assert verify_export(out, deep=True).ok
        before = contents(out)
        attach(out, channel_files.options(root))
        export(again)
        assert {n: d for n, d in contents(out).items() if not n.startswith(".lpff")}.keys() == {
            n for n in before if not n.startswith(".lpff")
        }
        assert verify_export(out, deep=True).ok


def _pictures(out: Path, manifest: Manifest) -> list[tuple[str, dict[str, object]]]:
    return samples(out, manifest)


def test_an_unfinished_channel_loses_its_shards_in_an_update(root: Path, tmp_path: Path) -> None:
    out, gone = tmp_path / "out", tmp_path / "gone.txt"
    gone.write_text("")
    export(export_options(root, "wds", out, (), mix=MixOptions(exclude=str(gone)), shards=SHARDS))
    attach(out, channel_files.options(root, "mask"))
    (out / "mask/manifest.json").unlink()
    assert [str(fault) for fault in verify_export(out).faults] == [
        "mask: this channel is unfinished; lpff-shards attach finishes it"
    ]
    gone.write_text(f"{IDS[1]}\n")
    mix = MixOptions(exclude=str(gone))
    export(export_options(root, "wds", out, (), mix=mix, run=RunOptions(update=True), shards=SHARDS))
    assert not list((out / "mask").glob("*.tar"))
    attach(out, channel_files.options(root, "mask"))
    assert verify_export(out, deep=True).ok


def test_another_export_in_the_folder_needs_other_channels(root: Path, out: Path) -> None:
    attach(out, channel_files.options(root, "mask", "caption"))
    export(export_options(root, "wds", out, (), mirror=False, run=RunOptions(overwrite=True), shards=SHARDS))
    faults = [str(fault) for fault in verify_export(out).faults]
    assert "mask: this channel is of other samples; lpff-shards attach writes it again" in faults
    with pytest.raises(ShardsError, match=r"mask is not a channel of these samples\. Run lpff-shards attach again"):
        ShardSource(out, channels=["mask"])
    attach(out, channel_files.options(root, "mask", "caption"))
    assert verify_export(out, deep=True).ok
    assert len(ShardSource(out, channels=["mask", "caption"]).batch([0, 1])["caption"]) == 2


def test_damage_is_found_and_named(root: Path, out: Path) -> None:
    attach(out, channel_files.options(root, "mask"))
    path = sorted((out / "mask").glob("*.tar"))[1]
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    (fault,) = verify_export(out).faults
    assert fault.shard == f"mask/{path.name}" and fault.sample.startswith("heads_")
    with pytest.raises(ShardsError, match="damaged"):
        ShardSource(out, channels=["mask"]).batch(range(8))
    attach(out, channel_files.options(root, "mask"))
    path.unlink()
    assert [fault.shard for fault in verify_export(out).faults] == [f"mask/{path.name}"]
    attach(out, channel_files.options(root, "mask"))
    assert verify_export(out, deep=True).ok


def test_index_files_are_restored(root: Path, out: Path) -> None:
    command = channel_files.options(root, "mask")
    (channel,) = attach(out, command)
    whole = contents(out)
    assert {".nv-meta/.info.json", ".nv-meta/dataset.yaml", "heads-train.wids.json"} < channel.files.keys()
    for name in channel.files:
        (out / "mask" / name).write_bytes(b"x")
    faults = [str(fault) for fault in verify_export(out).faults]
    assert faults == [f"mask/{n}: is not what was written; lpff-shards attach rewrites it" for n in channel.files]
    assert attach(out, command) == (channel,) and contents(out) == whole
    for name in channel.files:
        (out / "mask" / name).unlink()
    assert attach(out, command) == (channel,) and contents(out) == whole


def test_index_files_of_other_splits_are_removed(root: Path, out: Path) -> None:
    command = channel_files.options(root, "mask")
    splits = MixOptions(splits="train=0.5,val=0.5")
    export(export_options(root, "wds", out, (), mix=splits, run=RunOptions(overwrite=True), shards=SHARDS))
    attach(out, command)
    assert (out / "mask/heads-val.wids.json").is_file()
    export(export_options(root, "wds", out, (), run=RunOptions(overwrite=True), shards=SHARDS))
    attach(out, command)
    assert {path.name for path in (out / "mask").glob("*.json")} == {"manifest.json", "heads-train.wids.json"}


def test_changed_files_write_their_shards_again(root: Path, out: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(root / "masks", masks)
    attach(out, [f"mask={masks}"])
    before = {path.name: path.stat().st_ino for path in (out / "mask").glob("*.tar")}
    Image.new("L", (channel_files.SIDE,) * 2, 9).save(masks / f"{IDS[0]}.png")
    attach(out, [f"mask={masks}"])
    after = {path.name: path.stat().st_ino for path in (out / "mask").glob("*.tar")}
    assert before.keys() == after.keys() and 1 <= sum(before[name] != after[name] for name in before) <= 2
    found = ShardSource(out, channels=["mask"]).batch(range(16), ["source_id"])
    assert [(mask == 9).all() for mask in found["mask"]] == [id == IDS[0] for id in found["source_id"]]


def test_what_cannot_be_attached_is_refused(root: Path, out: Path, tmp_path: Path) -> None:
    mask = channel_files.options(root, "mask")[0]
    with pytest.raises(ShardsError, match="has no manifest"):
        attach(tmp_path, [mask])
    (out / "mask").mkdir()
    (out / "mask/notes.txt").write_text("mine")
    with pytest.raises(ShardsError, match=r"holds other files\. Choose another name"):
        attach(out, [mask])
    for name in ("report", "dali", "key"):
        with pytest.raises(ShardsError, match=r"holds other files|cannot have this name"):
            attach(out, [f"{name}={root / 'masks'}"])
    export(export_options(root, "wds", tmp_path / "inside", (mask,)))
    with pytest.raises(ShardsError, match="have a mask already"):
        attach(tmp_path / "inside", [mask])
    attach(out, [channel_files.options(root, "caption")[0]])
    with pytest.raises(ShardsError, match="cannot have channels"):
        attach(out / "caption", [mask])
    with pytest.raises(ShardsError, match="is a channel"):
        index_export(out / "caption")
    with pytest.raises(ShardsError, match="no channel was given"):
        attach(out, [])


def test_the_command_says_what_it_wrote(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [word for one in channel_files.options(root, "mask", "years") for word in ("--channel", one)]
    done = call(capsys, monkeypatch, "attach", out, *given)
    assert done.status == 0
    lines = done.out.splitlines()
    assert [line.partition(" shards, ")[0] for line in lines] == [
        "mask: 16 .png files in 8 wds", "years: 16 .json files in 8 wds"
    ]  # fmt: skip
    assert lines[0].endswith(f"KB, in {out}/mask")
    done = call(capsys, monkeypatch, "attach", out, *given, "--json")
    assert done.status == 0 and '"attached": true' in done.out
    assert call(capsys, monkeypatch, "verify", "--deep", out).status == 0
    assert call(capsys, monkeypatch, "attach", out).status == 2


def test_a_bucket_takes_channels_from_a_bucket(root: Path, out: Path, bucket: Bucket) -> None:
    for id in IDS:
        bucket.put(f"masks/{id}.png", (root / f"masks/{id}.png").read_bytes())
    attach(out, channel_files.options(root, "mask"))
    there = f"{bucket.uri}/out"
    dataset = ("--dataset", f"heads={root / 'pictures'}", "--mirror", "--samples-per-shard", 2)
    assert run("export", "--format", "wds", *dataset, "--out", there).returncode == 0
    done = run("attach", there, "--channel", f"mask={bucket.uri}/masks")
    assert done.returncode == 0, done.stderr
    for path in (out / "mask").glob("*.tar"):
        assert bucket.read(f"out/mask/{path.name}") == path.read_bytes()
    done = run("verify", "--deep", there)
    assert done.returncode == 0, done.stdout
    source, local = ShardSource(there, channels=["mask"]), ShardSource(out, channels=["mask"])
    assert np.array_equal(source.batch(range(16))["mask"], local.batch(range(16))["mask"])


def test_files_of_equal_times_are_not_taken_for_one_another(root: Path, out: Path, tmp_path: Path) -> None:
    for name in ("m1", "m2"):
        shutil.copytree(root / "masks", tmp_path / name)
        for id in IDS:
            Image.new("L", (channel_files.SIDE,) * 2, int(name[1])).save(tmp_path / name / f"{id}.png")
            os.utime(tmp_path / name / f"{id}.png", (315532800, 315532800))
        attach(out, [f"m={tmp_path / name}"])
        assert (ShardSource(out, channels=["m"]).batch(range(16))["m"] == int(name[1])).all()


def test_a_copy_without_its_state_is_checked_and_updated(root: Path, tmp_path: Path) -> None:
    out, gone = tmp_path / "out", tmp_path / "gone.txt"
    gone.write_text("")
    export(export_options(root, "wds", out, (), mix=MixOptions(exclude=str(gone)), shards=SHARDS))
    attach(out, channel_files.options(root, "mask"))
    shutil.rmtree(out / "mask/.lpff-shards")
    assert verify_export(out).ok
    path = sorted((out / "mask").glob("*.tar"))[0]
    data = path.read_bytes()
    path.write_bytes(data[:700] + bytes([data[700] ^ 1]) + data[701:])
    assert [fault.shard for fault in verify_export(out).faults] == [f"mask/{path.name}"]
    gone.write_text(f"{IDS[1]}\n")
    mix = MixOptions(exclude=str(gone))
    export(export_options(root, "wds", out, (), mix=mix, run=RunOptions(update=True), shards=SHARDS))
    assert not list((out / "mask").glob("*.tar"))
    attach(out, channel_files.options(root, "mask"))
    assert verify_export(out, deep=True).ok


def test_another_export_in_the_folder_is_no_channel(root: Path, tmp_path: Path) -> None:
    out, gone = tmp_path / "out", tmp_path / "gone.txt"
    gone.write_text("")
    export(export_options(root, "wds", out, (), mix=MixOptions(exclude=str(gone)), shards=SHARDS))
    export(export_options(root, "wds", out / "inner", (), shards=SHARDS))
    (out / "inner/manifest.json").unlink()
    before = contents(out / "inner")
    gone.write_text(f"{IDS[1]}\n")
    mix = MixOptions(exclude=str(gone))
    export(export_options(root, "wds", out, (), mix=mix, run=RunOptions(update=True), shards=SHARDS))
    assert contents(out / "inner") == before and verify_export(out).ok
    export(export_options(root, "wds", out / "inner", (), shards=SHARDS))
    export(export_options(root, "wds", out, (), mix=mix, run=RunOptions(update=True), shards=SHARDS))
    assert verify_export(out).ok and verify_export(out / "inner").ok
    with pytest.raises(ShardsError, match="holds other files"):
        attach(out, [f"inner={root / 'masks'}"])


def test_a_bad_file_is_named_without_an_option_that_is_not_there(root: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "masks", tmp_path / "masks")
    (tmp_path / f"masks/{IDS[2]}.png").write_bytes(b"no picture")
    with pytest.raises(ShardsError, match=r"a/02: its mask: it is not a PNG file\. Fix it, then run") as caught:
        attach(out, [f"mask={tmp_path / 'masks'}"])
    assert "--on-error" not in str(caught.value)
    for read in (trace_export, lambda path, _: report_export(path), lambda path, _: index_export(path)):
        attach(out, channel_files.options(root, "caption"))
        with pytest.raises(ShardsError, match="is a channel of an export, without pictures"):
            read(out / "caption", "x")
