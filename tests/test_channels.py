"""`--channel NAME=PATH[,KIND]`: files that belong to pictures, in samples and beside them."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import channel_files
import numpy as np
import pytest
from channel_files import GIVEN, IDS, SIDE, Shown, check, export_options, samples, shown
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from running import contents

from lpff_shards import ShardsError, export, plan_export, read_manifest, verify_export
from lpff_shards.errors import BadInput
from lpff_shards.exporters import attach as attaching
from lpff_shards.formats import channels as kinds
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.batches import load_batch
from lpff_shards.loaders.sampler import SampleOrder
from lpff_shards.loaders.source import ShardSource
from lpff_shards.options.channels import given_channels
from lpff_shards.options.export import ExportOptions, PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.channels import Channel
from lpff_shards.storage.path import read_whole

attach = partial(attaching.attach_channels, workers=1)
INSIDE = tuple(name for name in NAMES if get_format(name).channels == "inside")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("channels")
    channel_files.write(root)
    return root


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((2, 3), np.float32))
    return out.getvalue()


@pytest.mark.parametrize(("format", "side"), [("wds", None), *((format, 32) for format in INSIDE)])
def test_samples_hold_the_files_of_their_pictures_mirrored_resized_and_split(
    root: Path, tmp_path: Path, format: str, side: int | None
) -> None:
    given = export_options(
        root, format, tmp_path / "out", channel_files.options(root), picture=PictureOptions(resolution=side),
        mix=MixOptions(splits="train=0.5,val=0.5"), shards=ShardOptions(samples_per_shard=3),
    )  # fmt: skip
    manifest = export(given)
    found = samples(tmp_path / "out", manifest)
    assert len(found) == 2 * len(IDS) and len(manifest.splits) == 2
    for _, sample in found:
        check(sample, shown(sample))
    assert verify_export(tmp_path / "out", deep=True).ok
    assert manifest.options["channel"] == [f"{name}={path}" for name, path in GIVEN.items()]


@pytest.mark.parametrize("format", NAMES)
def test_attached_channels_have_the_keys_of_the_pictures_whose_shards_stay(
    root: Path, tmp_path: Path, format: str
) -> None:
    out = tmp_path / "out"
    mix = MixOptions(rebalance="none")
    shards = {} if format == "zip" else {"shards": ShardOptions(samples_per_shard=3)}
    side = PictureOptions(resolution=32)
    manifest = export(export_options(root, format, out, (), picture=side, mix=mix, **shards))
    before = contents(out)
    attached = attach(out, channel_files.options(root))
    after = contents(out)
    assert {name: after[name] for name in before} == before
    pictures = {}
    for shard in manifest.shards:
        for sample in get_format(format).samples(read_whole(out / shard.file), manifest.layout):
            pictures[sample.key] = shown(dict(sample.scalars))
    for name, channel in zip(GIVEN, attached, strict=True):
        found = samples(out / name, channel)
        assert [key for key, _ in found] == list(pictures)
        assert [shard.keys for shard in channel.shards] == [shard.keys for shard in manifest.shards]
        for key, sample in found:
            check(sample, pictures[key], (name, "has_years") if name == "years" else (name,))
        assert read_manifest(out / name) == channel
    assert verify_export(out, deep=True).ok
    assert attach(out, channel_files.options(root)) == attached and contents(out) == after


def test_a_tar_holds_members_that_others_read(root: Path, tmp_path: Path) -> None:
    export(export_options(root, "wds", tmp_path, channel_files.options(root)))
    with tarfile.open(next(tmp_path.glob("*.tar"))) as tar:
        some = {member.name.partition(".")[2]: tar.extractfile(member) for member in tar.getmembers()[:9]}
        read = {suffix: file.read() for suffix, file in some.items() if file is not None}
    suffixes = [
        *["png", "mask.png", "part.png", "caption.txt", "latent.npy", "flame.npz", "own.npy", "years.json", "json"]
    ]
    assert [one for one in read if one != "camera.npy"] == suffixes
    fields = json.loads(read["json"])
    sample = {
        **{name: np.asarray(Image.open(io.BytesIO(read[f"{name}.png"]))) for name in ("mask", "part")},
        **{name: np.load(io.BytesIO(read[f"{name}.npy"])) for name in ("latent", "own")},
        "flame": dict(np.load(io.BytesIO(read["flame.npz"]))),
        "caption": read["caption.txt"].decode(),
        "years": json.loads(read["years.json"]),
        "has_years": fields["has_years"],
    }
    check(sample, shown(fields))
    part = Image.open(io.BytesIO(read["part.png"]))
    assert part.mode == "P" and part.getpalette()[: len(channel_files.PALETTE)] == channel_files.PALETTE  # type: ignore[index]


def test_the_trainers_zip_has_a_second_zip_with_the_same_names(root: Path, tmp_path: Path) -> None:
    mix = MixOptions(splits="train=0.5,val=0.5")
    given = export_options(
        root, "zip", tmp_path, channel_files.options(root), picture=PictureOptions(resolution=32), mix=mix
    )
    manifest = export(given)
    for shard in manifest.shards:
        with zipfile.ZipFile(tmp_path / shard.file) as whole:
            rows = [json.loads(line) for line in whole.read("samples.jsonl").splitlines()]
        name = f"{shard.file.removesuffix('.zip')}-mask.zip"
        with zipfile.ZipFile(tmp_path / "mask" / name) as masks:
            pictures = [one for one in masks.namelist() if one.endswith(".png")]
            assert pictures == [row["name"] for row in rows]
            for row in rows:
                mask = np.asarray(Image.open(io.BytesIO(masks.read(row["name"]))))
                check({"mask": mask}, shown(row), ("mask",))
        with zipfile.ZipFile(tmp_path / "caption" / f"{shard.file.removesuffix('.zip')}-caption.zip") as texts:
            assert texts.namelist()[:-1] == [row["name"].replace(".png", ".txt") for row in rows]
    assert "channel" in manifest.options and verify_export(tmp_path, deep=True).ok


@pytest.mark.parametrize("format", ["wds", "tfrecord"])
def test_a_source_reads_channels_inside_samples_and_beside_them(root: Path, tmp_path: Path, format: str) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    shards = ShardOptions(samples_per_shard=3)
    export(export_options(root, format, inside, channel_files.options(root), shards=shards))
    export(export_options(root, format, beside, (), shards=shards))
    attach(beside, channel_files.options(root))
    for out in (inside, beside):
        source = ShardSource(out, channels=[*GIVEN])
        numbers = random.Random(1).sample(range(len(source)), len(source))
        batch = source.batch(numbers, ["source_id", "mirrored", "width"])
        for row, number in enumerate(numbers):
            own = Shown(batch["source_id"][row], bool(batch["mirrored"][row]), int(batch["width"][row]))
            of = {name: batch[name] for name in (*GIVEN, "has_years")}
            flame = {part: array[row] for part, array in of.pop("flame").items()}
            check({**{name: value[row] for name, value in of.items()}, "flame": flame}, own)
            sample = source[number]
            check(sample, shown(sample["metadata"]))
    with pytest.raises(ShardsError, match=r"has no channel 'maks'\. Did you mean mask\?"):
        ShardSource(inside, channels=["maks"])
    with pytest.raises(
        ShardsError, match=r"mask is a channel of an export, without pictures\. Give .*channels=\('mask',\)"
    ):
        ShardSource(beside / "mask")


@pytest.mark.parametrize(("place", "order"), [("inside", "last"), ("beside", "first")])
def test_a_batch_is_mirrored_with_its_channels(root: Path, tmp_path: Path, place: str, order: Any) -> None:
    names = tuple(name for name in GIVEN if name != "own")
    given = channel_files.options(root, *names)
    export(
        export_options(
            root, "wds", tmp_path, given if place == "inside" else (), shards=ShardOptions(samples_per_shard=3)
        )
    )
    if place == "beside":
        attach(tmp_path, given)
    source = ShardSource(tmp_path, channels=names, order=order)
    flips = np.random.default_rng(2).integers(0, 2, len(source)).astype(bool)
    fields = ("source_id", "mirrored", "width")
    images, _, found = load_batch(source, SampleOrder(np.arange(len(source)), flips), fields, labels=True)
    assert set(found) == {*fields, *names, "has_years"} and flips.any() and not flips.all()
    for row, flip in enumerate(flips.tolist()):
        sample = source[row]
        assert found["mirrored"][row] == (sample["metadata"]["mirrored"] != flip)
        image = np.moveaxis(images[row], 0, -1) if order == "first" else images[row]
        plain = np.moveaxis(sample["image"], 0, -1) if order == "first" else sample["image"]
        assert np.array_equal(image, plain[:, ::-1] if flip else plain)
        flame = {part: array[row] for part, array in found["flame"].items()}
        of = {name: flame if name == "flame" else found[name][row] for name in (*names, "has_years")}
        check(of, Shown(found["source_id"][row], bool(found["mirrored"][row]), SIDE), (*names, "has_years"))


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_masks_are_found_by_the_names_of_sorted_pictures(root: Path, tmp_path: Path, place: str) -> None:
    """PanoHead and GGHead sort the names of pictures, and open each in the second zip."""
    data, masks = tmp_path / "data", tmp_path / "masks"
    shutil.copytree(root / "pictures", data)
    shutil.copytree(root / "masks", masks)
    channel_files.write_cameras(data)
    sources = SourceOptions(dataset=(f"heads={data}",), channel=(f"mask={masks}",) if place == "inside" else ())
    mix, side = MixOptions(rebalance="uniform"), PictureOptions(resolution=32)
    export(ExportOptions(format="zip", sources=sources, out=str(tmp_path / "out"), mix=mix, picture=side))
    if place == "beside":
        attach(tmp_path / "out", [f"mask={masks}"])
    (pictures,), (seconds,) = (tmp_path / "out").glob("*.zip"), (tmp_path / "out/mask").glob("*.zip")
    with zipfile.ZipFile(pictures) as whole, zipfile.ZipFile(seconds) as second:
        rows = {row["name"]: row for row in map(json.loads, whole.read("samples.jsonl").splitlines())}
        names = sorted(name for name in whole.namelist() if name.endswith(".png"))
        assert names == sorted(name for name in second.namelist() if name.endswith(".png"))
        assert len(names) > 2 * len(IDS), "there are copies"
        for name in names:
            with whole.open(name) as picture, second.open(name) as file:
                mask = np.asarray(Image.open(file))
                assert Image.open(picture).size == mask.shape
            check({"mask": mask}, shown(rows[name]), ("mask",))


@pytest.mark.parametrize("format", ["wds", "parquet"])
def test_copies_have_the_files_of_their_pictures(tmp_path: Path, format: str) -> None:
    channel_files.write_cameras(channel_files.write(tmp_path))
    mix = MixOptions(rebalance="uniform", splits="train=0.5,val=0.5")
    given = channel_files.options(tmp_path)
    export(export_options(tmp_path, format, tmp_path / "inside", given, mix=mix))
    plain = export(export_options(tmp_path, format, tmp_path / "plain", (), mix=mix))
    assert plain.samples > 2 * len(IDS), "there are copies"
    attach(tmp_path / "plain", given)
    fields = {key: shown(sample) for key, sample in samples(tmp_path / "plain", plain)}
    for key, sample in samples(tmp_path / "inside", read_manifest(tmp_path / "inside")):
        check(sample, fields[key])
    for name in GIVEN:
        found = samples(tmp_path / "plain" / name, read_manifest(tmp_path / "plain" / name))
        assert [key for key, _ in found] == list(fields)
        for key, sample in found:
            check(sample, fields[key], (name,))


def _lacking(root: Path, tmp_path: Path) -> str:
    shutil.copytree(root / "masks", tmp_path / "few")
    (tmp_path / f"few/{IDS[2]}.png").unlink()
    return f"mask={tmp_path / 'few'}"


def test_a_picture_without_its_file_is_an_error_left_out_or_empty(root: Path, tmp_path: Path) -> None:
    few, out = _lacking(root, tmp_path), tmp_path / "out"
    with pytest.raises(BadInput, match=r"a/02: it has no mask: there is no a/02\.png"):
        export(export_options(root, "wds", out, (few,)))
    skipped = export(export_options(root, "wds", out, (few,), run=RunOptions(on_error="skip")))
    assert skipped.samples == 2 * len(IDS) - 2 and skipped.skipped[0].reason.startswith("it has no mask")
    optional = export(export_options(root, "wds", tmp_path / "optional", (f"{few},optional",)))
    for _, sample in samples(tmp_path / "optional", optional):
        assert sample["has_mask"] == (sample["source_id"] != IDS[2])
        assert sample["has_mask"] or (sample["mask"].shape == (SIDE, SIDE) and not sample["mask"].any())
    assert verify_export(tmp_path / "optional", deep=True).ok
    export(export_options(root, "wds", tmp_path / "plain", ()))
    with pytest.raises(
        ShardsError, match=r"2 samples of 16 have no file, such as heads_a-02\S*: there is no a/02\.png"
    ):
        attach(tmp_path / "plain", [few])


def test_arrays_of_mirrors_must_be_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match=r"the mirrors have no files.*,same or ,flip-last-axis.*--no-mirror"):
        export(export_options(root, "wds", tmp_path, (f"latent={root / 'latents'}",)))
    export(export_options(root, "wds", tmp_path / "none", (f"latent={root / 'latents'}",), mirror=False))
    export(export_options(root, "wds", tmp_path / "plain", ()))
    with pytest.raises(ShardsError, match=r"there is no \S+_mirror\.npy.*,same or ,flip-last-axis"):
        attach(tmp_path / "plain", [f"latent={root / 'latents'}"])


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no PNG": (lambda path: path.write_bytes(b"not a picture") and None, "its mask: it is not a PNG file"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-20]) and None, "its mask: .*cut short"),
    "of another shape": (
        lambda path: Image.new("L", (SIDE, 7)).save(path),
        "its mask: it is 48x7, and its picture 48x48",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_damaged_file_is_named(root: Path, tmp_path: Path, fault: str) -> None:
    shutil.copytree(root / "masks", tmp_path / "masks")
    spoil, reason = WRONG[fault]
    spoil(tmp_path / f"masks/{IDS[3]}.png")
    channel = f"mask={tmp_path / 'masks'}"
    with pytest.raises(BadInput, match=reason) as caught:
        export(export_options(root, "wds", tmp_path / "out", (channel,)))
    assert caught.value.id == IDS[3] and caught.value.file.endswith(f"{IDS[3]}.png")
    manifest = export(export_options(root, "wds", tmp_path / "out", (channel,), run=RunOptions(on_error="skip")))
    assert manifest.samples == 2 * len(IDS) - 2
    # A second run finds nothing to do.
    before = contents(tmp_path / "out")
    assert (
        export(export_options(root, "wds", tmp_path / "out", (channel,), run=RunOptions(on_error="skip"))) == manifest
    )
    assert contents(tmp_path / "out") == before


def test_arrays_must_be_alike_and_finite(root: Path, tmp_path: Path) -> None:
    for number, (array, reason) in enumerate(
        (
            (np.zeros((3, 6), np.float16), r"it holds float16 \[3, 6\], others float16 \[3, 5\]"),
            (np.zeros((3, 5), np.float32), r"it holds float32 \[3, 5\], others float16"),
            (np.full((3, 5), np.nan, np.float16), "not finite"),
            (np.array([["a"]]), "booleans, integers and floats"),
        )
    ):
        folder = tmp_path / str(number)
        shutil.copytree(root / "latents", folder)
        np.save(folder / f"{IDS[1]}.npy", array)
        with pytest.raises(BadInput, match=reason):
            export(export_options(root, "wds", tmp_path / f"out{number}", (f"latent={folder},same",)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mask", "is not NAME=PATH"),
        ("=x", "is not NAME=PATH"),
        ("mask=,same", "is not NAME=PATH"),
        ("Mask=x", "cannot have this name"),
        ("camera=x", "cannot have this name"),
        ("has_mask=x", "cannot have this name"),
        ("mask=x,same,flip-last-axis", "contradicts itself"),
        ("a_name_of_21_letters_x=x", "cannot have this name"),
    ],
)
def test_wrong_values_are_refused(text: str, told: str) -> None:
    with pytest.raises(ShardsError, match=told):
        given_channels([text])
    with pytest.raises(ShardsError, match="was given twice"):
        given_channels(["mask=x", "mask=y"])


def test_a_path_may_have_commas() -> None:
    (one,) = given_channels(["latent=my,same,files,same,optional"])
    assert (one.path, one.of_mirrors, one.optional) == ("my,same,files", "same", True)


def test_wrong_files_are_refused(root: Path, tmp_path: Path) -> None:
    def refused(channel: str, told: str, dataset: tuple[str, ...] = ()) -> None:
        sources = SourceOptions(dataset=(f"heads={root / 'pictures'}", *dataset), channel=(channel,))
        with pytest.raises(ShardsError, match=told):
            plan_export(ExportOptions(format="wds", sources=sources, out=str(tmp_path / "out")))

    (tmp_path / "none").mkdir()
    refused(f"mask={tmp_path / 'none'}", "contains no such files, and a channel is of one kind")
    refused(f"mask={tmp_path / 'gone'}", "does not exist")
    shutil.copytree(root / "masks", tmp_path / "mixed")
    (tmp_path / "mixed/a/note.txt").write_text("x")
    refused(f"mask={tmp_path / 'mixed'}", r"contains files \.png, \.txt, and a channel is of one kind")
    shutil.copytree(root / "masks/a", tmp_path / "others")
    refused(
        f"mask={tmp_path / 'others'}",
        "none of its files .* is of a picture. They are named by the ids of pictures, such as b/03",
    )
    refused(f"mask={root / 'masks'},same", "same has no effect on .png files")
    shutil.copytree(root / "pictures", tmp_path / "more")
    refused(f"mask={root / 'masks'}", "may be of a/00 of heads or a/00 of more", (f"more={tmp_path / 'more'}",))
    (tmp_path / "twice.csv").write_text(f"id,text\n{IDS[0]},x\n{IDS[0]},y\n")
    refused(f"caption={tmp_path / 'twice.csv'}", "several rows are of a/00")


def test_files_may_be_in_a_folder_of_their_data_set(root: Path, tmp_path: Path) -> None:
    for name in ("heads", "more"):
        shutil.copytree(root / "masks", tmp_path / "masks" / name)
    shutil.copytree(root / "pictures", tmp_path / "more")
    Image.new("L", (SIDE, SIDE), 7).save(tmp_path / f"masks/more/{IDS[0]}.png")
    sources = SourceOptions(
        dataset=(f"heads={root / 'pictures'}", f"more={tmp_path / 'more'}"), channel=(f"mask={tmp_path / 'masks'}",)
    )
    manifest = export(ExportOptions(format="wds", sources=sources, out=str(tmp_path / "out")))
    found = {(one["dataset"], one["source_id"]): one["mask"] for _, one in samples(tmp_path / "out", manifest)}
    assert (found["more", IDS[0]] == 7).all() and not (found["heads", IDS[0]] == 7).all()


def test_unused_files_are_noted(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "masks", tmp_path / "masks")
    shutil.copy(root / f"masks/{IDS[0]}.png", tmp_path / "masks/odd.png")
    plan = plan_export(export_options(root, "wds", tmp_path / "out", (f"mask={tmp_path / 'masks'}",)))
    assert any(note.endswith("1 of its 9 files are of no picture") for note in plan.notes)


def test_changed_files_are_another_export_or_write_their_shard_again(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "masks", tmp_path / "masks")
    given = export_options(
        root, "wds", tmp_path / "out", (f"mask={tmp_path / 'masks'}",), shards=ShardOptions(shards=8)
    )
    export(given)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tar")}
    path = tmp_path / f"masks/{IDS[0]}.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 1
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    if len(stored.getvalue()) != path.stat().st_size:
        path.write_bytes(stored.getvalue())
        with pytest.raises(ShardsError, match="already holds a different export"):
            export(given)
    path.touch()
    shutil.copy(root / f"masks/{IDS[0]}.png", path)
    export(given)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.tar")}
    assert 1 <= sum(before[name] != after[name] for name in before) <= 2


def test_a_long_name_does_not_fit_tars(root: Path, tmp_path: Path) -> None:
    sources = SourceOptions(demo=2, channel=(f"mask={root / 'masks'}",))
    with pytest.raises(ShardsError, match="none of its files"):
        plan_export(ExportOptions(format="wds", sources=sources, out=str(tmp_path)))
    long = "x" * 60
    (tmp_path / "p").mkdir()
    shutil.copy(root / f"pictures/{IDS[0]}.png", tmp_path / f"p/{long}.png")
    (tmp_path / "t.jsonl").write_text(json.dumps({"id": long, "text": "x"}))
    sources = SourceOptions(
        dataset=(f"a_name_of_23_letters___={tmp_path / 'p'}",),
        channel=(f"a_long_name_of_texts={tmp_path / 't.jsonl'}",),
    )
    with pytest.raises(ShardsError, match=r"is too long for a member of a tar.*Shorten it by \d"):
        plan_export(ExportOptions(format="wds", sources=sources, out=str(tmp_path / "out")))


@given(st.binary(max_size=200) | st.text().map(str.encode), st.sampled_from(["png", "txt", "json", "npy", "npz"]))
def test_no_bytes_break_the_readers_of_channels(data: bytes, kind: Any) -> None:
    channel = Channel("x", kind, "same", arrays=kinds.arrays_of("npy", _npy()) if kind in ("npy", "npz") else ())
    for read in (
        lambda: kinds.stored(channel, data, True, (4, 4)),
        lambda: kinds.decode(channel, data),
        lambda: kinds.check(channel, data),
    ):
        try:
            read()
        except FormatError as error:
            assert str(error)


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA", "I;16"]), st.booleans()
)
def test_masks_are_resized_to_the_nearest_pixel_then_flipped(side: int, to: int, mode: str, flip: bool) -> None:
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.random.default_rng(side).integers(0, 256, (side, side), dtype)
    image = Image.fromarray(pixels) if mode in ("L", "I;16") else Image.fromarray(pixels).convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG")
    channel = Channel("x", "png", "flip", mode=mode)
    plain = kinds.decode(channel, out.getvalue())
    found = kinds.decode(channel, kinds.stored(channel, out.getvalue(), flip, (to, to)))
    at, rest = np.divmod((2 * np.arange(to) + 1) * side, 2 * to)
    # Exactly between two pixels either is the nearest.
    sure = np.flatnonzero(rest)
    found = found[:, ::-1] if flip else found
    assert np.array_equal(found[sure][:, sure], plain[at[sure]][:, at[sure]]) and found.dtype == plain.dtype
    assert kinds.decode(channel, kinds.empty(channel, (to, to))).shape == found.shape


def _set(root: Path, *ids: str) -> str:
    for id in ids:
        (root / id).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (7, 8, 9)).save(root / f"{id}.png")
    return str(root)


def _masks(root: Path, **values: int) -> str:
    for id, value in values.items():
        path = root / f"{id.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(path)
    return str(root)


def _planned(tmp_path: Path, channel: str, *sets: str) -> Any:
    sources = SourceOptions(dataset=sets, channel=(channel,))
    return plan_export(ExportOptions(format="wds", sources=sources, out=str(tmp_path / "out")))


def test_no_file_is_of_two_pictures(tmp_path: Path) -> None:
    one = _set(tmp_path / "one", "0001", "anna/0001")
    with pytest.raises(BadInput, match=r"0001: it has no c: there is no 0001\.png"):
        _planned(tmp_path, f"c={_masks(tmp_path / 'a', anna__0001=1)}", f"one={one}")
    two = _set(tmp_path / "two", "0001", "two/0001")
    with pytest.raises(ShardsError, match=r"may be of 0001 of two or two/0001 of two"):
        _planned(tmp_path, f"c={_masks(tmp_path / 'b', two__0001=1)}", f"two={two}")
    three = _set(tmp_path / "three", "x", "x_mirror")
    with pytest.raises(ShardsError, match=r"may be of x of three or x_mirror of three"):
        _planned(tmp_path, f"c={_masks(tmp_path / 'm', x=1, x_mirror=2)}", f"three={three}")


def test_a_folder_of_one_data_set_is_of_no_other(tmp_path: Path) -> None:
    sets = [f"{name}={_set(tmp_path / name, '0001')}" for name in ("h1", "h2")]
    plan = _planned(tmp_path, f"c={_masks(tmp_path / 'masks', h1__0001=1)},optional", *sets)
    assert [inventory.channels["c"].own.tolist() for inventory in plan.inventories] == [[0], [-1]]


def test_numbers_have_no_axis_to_flip(tmp_path: Path) -> None:
    one = _set(tmp_path / "one", "a", "b", "c", "d")
    (tmp_path / "n").mkdir()
    for number, id in enumerate("abcd"):
        np.savez(tmp_path / f"n/{id}.npz", scale=np.float32(number), points=np.arange(3) + number)
    sources = SourceOptions(dataset=(f"one={one}",), channel=(f"n={tmp_path / 'n'},flip-last-axis",), mirror=True)
    export(ExportOptions(format="wds", sources=sources, out=str(tmp_path / "out")))
    source = ShardSource(tmp_path / "out", channels=["n"])
    batch = load_batch(source, SampleOrder(np.arange(8), np.ones(8, bool)), ["source_id", "mirrored"])
    for row, (id, mirrored) in enumerate(zip(batch["source_id"], batch["mirrored"].tolist(), strict=True)):
        points = np.arange(3) + "abcd".index(id)
        assert batch["n"]["scale"][row] == "abcd".index(id)
        assert np.array_equal(batch["n"]["points"][row], points[::-1] if mirrored else points)


def _npz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


def _header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("npz", _npz(readme__txt=b"x", a__npy=_npy()), "not an NPZ file of arrays"),
        ("npz", _npz(), "not an NPZ file of arrays"),
        ("npz", _npz(a__npy=_header("(70000000,)") + bytes(280_000_000)), "at most 268,435,456 are read"),
        ("npy", _header("(1000000, 1000000)"), "it is cut short, or holds no numbers"),
        ("npy", _header("()", "|O") + b"\x80\x04N.", "it is cut short, or holds no numbers"),
        ("npy", _header("(0,)"), r"without numbers, of shape \[0\]"),
        ("npy", _npz(a__npy=_npy()), "not an NPY file"),
    ],
)
def test_files_that_claim_too_much_are_refused(kind: str, data: bytes, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        kinds.arrays_of(kind, data)


def test_arrays_of_any_order_and_bytes_are_stored_alike() -> None:
    array = np.arange(6, dtype=">f8").reshape(2, 3)
    files = []
    for one in (array, np.asfortranarray(array), array.astype("<f8")):
        out = io.BytesIO()
        np.save(out, one)
        channel = Channel("x", "npy", "same", arrays=kinds.arrays_of("npy", out.getvalue()))
        files.append(kinds.stored(channel, out.getvalue(), False, (1, 1)))
    assert len(set(files)) == 1 and np.array_equal(np.load(io.BytesIO(files[0])), array)


def test_pictures_of_another_mode_or_kind_are_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "masks", tmp_path / "mixed")
    Image.new("P", (SIDE, SIDE)).save(tmp_path / f"mixed/{IDS[3]}.png")
    with pytest.raises(BadInput, match="its color mode is P, others have L"):
        export(export_options(root, "wds", tmp_path / "out", (f"mask={tmp_path / 'mixed'}",)))
    Image.new("L", (SIDE, SIDE)).save(tmp_path / f"mixed/{IDS[3]}.jpg")
    with pytest.raises(ShardsError, match=r"contains files \.jpg, \.png, and a channel is of one kind"):
        export(export_options(root, "wds", tmp_path / "out", (f"mask={tmp_path / 'mixed'}",)))
    with pytest.raises(FormatError, match="16 bits per color"):
        kinds.mode_of(_deep_png())


def _deep_png() -> bytes:
    """A PNG of one pixel with 16 bits for each of three colors."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(7))) + chunk(b"IEND", b"")


def test_a_mask_loses_what_would_turn_it(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "masks", tmp_path / "masks")
    path = tmp_path / f"masks/{IDS[0]}.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    manifest = export(export_options(root, "wds", tmp_path / "out", (f"mask={tmp_path / 'masks'}",)))
    for shard in manifest.shards:
        for sample in get_format("wds").samples(read_whole(tmp_path / "out" / shard.file), manifest.layout):
            assert not Image.open(io.BytesIO(sample.channels["mask"])).getexif()


def test_tables_keep_their_numbers_and_values(root: Path, tmp_path: Path) -> None:
    (tmp_path / "big.CSV").write_text("id,big,small\n" + "".join(f"{id},16777217.0,0.1\n" for id in IDS))
    (tmp_path / "lists.json").write_text(json.dumps({id: [1, 2] for id in IDS}))
    channels = (f"big={tmp_path / 'big.CSV'}", f"lists={tmp_path / 'lists.json'}")
    manifest = export(export_options(root, "wds", tmp_path / "out", channels))
    for _, sample in samples(tmp_path / "out", manifest):
        assert sample["big"] == {"big": 16777217.0, "small": 0.1} and sample["lists"] == {"value": [1, 2]}
    (tmp_path / "few.jsonl").write_text(json.dumps({"id": IDS[0], "text": "x"}))
    with pytest.raises(BadInput, match="a/01: it has no few: there is no row a/01"):
        export(export_options(root, "wds", tmp_path / "few", (f"few={tmp_path / 'few.jsonl'}",)))


def test_channels_are_a_list_of_names(root: Path, tmp_path: Path) -> None:
    export(export_options(root, "wds", tmp_path, channel_files.options(root, "mask")))
    for odd in ("mask", None, (3,)):
        with pytest.raises(ShardsError, match="is not a list of names"):
            ShardSource(tmp_path, channels=odd)  # type: ignore[arg-type]
    export(export_options(root, "wds", tmp_path / "plain", ()))
    with pytest.raises(ShardsError, match=r"has no channel 'mask'\. It has none: lpff-shards attach adds channels"):
        ShardSource(tmp_path / "plain", channels=["mask"])
