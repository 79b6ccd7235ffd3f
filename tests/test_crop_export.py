"""Crops made at export: of whose pictures, by which options, with which pixels and fields, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import (
    LPFF_IDS,
    UP_IDS,
    camera,
    dump,
    edit,
    picture,
    points,
    v2_record,
    write,
    write_ffhq_eg3d,
    write_lpff,
    write_unsplash_pexels,
)
from numpy.typing import NDArray
from PIL import Image
from running import contents, run

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    SourceOptions,
    export,
    plan_export,
    verify_export,
)
from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.exporters import cropping as cropping_module
from lpff_shards.exporters.cropping import crop
from lpff_shards.loaders import ShardSource
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.crops import CROPPINGS, Cropping, carry, crop_maps
from lpff_shards.sources.croppings import read_crops

SIZE = 320
OUT = "out"
WIDE = 'kind = "ffhq"\nside = 48\nscale = 1.5\nborder = [0.3, 9]\nlow_resolution_blur = true\n'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets with pictures to crop; the first two faces of each are in one photo."""
    root = tmp_path_factory.mktemp("crops")
    write_lpff(root / "LPFF", LPFF_IDS, ["raw", "realign2400"], SIZE)
    write_unsplash_pexels(root / "UP", UP_IDS, ["raw", "realign2400"], SIZE)
    write_in_the_wild(root, 3)
    write_ffhq_eg3d(root / "eg3d", 3)
    write(root / "wide.toml", WIDE.encode())
    return root


@pytest.fixture(autouse=True)
def _turned_to_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFHQ's square is turned to 512 pixels, as 4096 take a second; `test_cropping.py` has crops of all its pixels."""
    monkeypatch.setattr(cropping_module, "_TURNED", 512)


def write_in_the_wild(root: Path, photos: int) -> None:
    """FFHQ in the wild and its metadata; each photo has a height of its own."""
    records = {}
    for index in range(photos):
        width, height = SIZE, SIZE + 10 * index
        image = Image.open(io.BytesIO(picture(f"wild {index}", SIZE))).resize((width, height))
        path = root / "wild" / "in-the-wild-images" / "00000" / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        records[str(index)] = v2_record(index, SIZE)
        wild = {"pixel_size": [width, height], "face_landmarks": points(f"wild {index}", SIZE)}
        records[str(index)]["in_the_wild"] |= wild
    dump(root / "v2.json", records)


def sources(data: Path, *names: str, **given: Any) -> SourceOptions:
    """Options with some of the data sets, cropped as eg3d from raw pictures unless `given` says else."""
    paths = {"lpff": data / "LPFF", "unsplash_pexels": data / "UP", "ffhq": data / "wild"}
    found = {name: str(paths[name]) for name in names or ("lpff",)}
    if "ffhq" in names:
        found["ffhq_metadata"] = str(data / "v2.json")
    return SourceOptions(**{"crop": "eg3d", "from_": "raw", **found, **given})


def options(data: Path, *names: str, out: object = OUT, format: str = "wds", **given: Any) -> ExportOptions:
    parts = {"picture": PictureOptions, "mix": MixOptions, "run": RunOptions}
    found = {part: kind(**given.pop(part)) for part, kind in parts.items() if part in given}
    return ExportOptions(format=format, out=str(out), sources=sources(data, *names, **given), **found)


def plan(data: Path, *names: str, **given: Any) -> Plan:
    return plan_export(options(data, *names, **given))


def exported(tmp_path: Path, data: Path, *names: str, **given: Any) -> dict[str, dict[str, Any]]:
    """The samples of an export by key."""
    out = tmp_path / "out"
    export(options(data, *names, out=out, **given))
    assert verify_export(str(out), deep=True).ok
    return {sample["metadata"]["key"]: sample for sample in ShardSource(str(out))}


def read_croppings(options: SourceOptions, side: int | None = None) -> Mapping[str, Cropping]:
    found = read_crops(options, side)
    assert found is not None
    return found.by_source


def cropped(
    path: Path, at: NDArray[np.floating], cropping: Cropping, fast: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The crop of a file, and its landmarks."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    sizes = np.array([[pixels.shape[1], pixels.shape[0]]])
    carried = carry(at[None], sizes, crop_maps(at[None], sizes, cropping, cropping.side), cropping.side)[0]
    return crop(pixels, at, cropping, cropping.side, fast=fast), carried


@pytest.mark.parametrize("pictures", ["raw", "realign2400"])
@pytest.mark.parametrize("name", ["eg3d", "stylegan", "wide.toml"])
def test_each_face_gets_its_own_crop_with_its_landmarks(data: Path, tmp_path: Path, name: str, pictures: str) -> None:
    word = str(data / name) if name == "wide.toml" else name
    stem, quality = name.partition(".")[0], "exact" if name == "eg3d" else "fast"
    given = {"crop": word, "from_": pictures, "crop_quality": quality}
    found = exported(tmp_path, data, "lpff", **given, mirror=True, picture={"resolution": 64})
    cropping = read_croppings(sources(data, **given), 64)["lpff"]
    assert len(found) == 2 * len(LPFF_IDS)
    table = json.loads((data / "LPFF" / f"{pictures}_lm.json").read_text())
    for key, sample in found.items():
        fields, id = sample["metadata"], sample["metadata"]["source_id"]
        at = np.array(table[id], np.float32)
        path = data / "LPFF" / pictures / (f"{id[:-3]}.jpg" if pictures == "raw" else f"{id}.png")
        if pictures == "realign2400":
            at = landmarks.rescale(at, (2400, 2400), (SIZE, SIZE))
        image, carried = cropped(path, at, cropping, quality == "fast")
        if fields["mirrored"]:
            image, carried = image[:, ::-1], landmarks.mirror(carried, 64)
        assert np.array_equal(sample["image"], image), key
        assert np.array_equal(sample["landmarks"], carried), key
        assert (fields["alignment"], fields["has_landmarks"], fields["width"]) == (stem, True, 64)
        assert fields["landmarks_source"] == "computed" and fields["resize_filter"] == "lanczos"
        filters = "bicubic, then Lanczos" if stem == "eg3d" else "bilinear, then Lanczos, fast"
        assert f"cropped as {stem} by its landmarks ({filters})" in fields["changes"]


def test_landmarks_keep_the_precision_of_their_file(data: Path, tmp_path: Path) -> None:
    """Rounded to float32 they would change some pixels."""
    root = write_lpff(tmp_path / "LPFF", LPFF_IDS, ["raw"], SIZE)
    edit(root / "raw_lm.json", lambda all_: {id: [[x + 1 / 3, y + 1 / 7] for x, y in at] for id, at in all_.items()})
    write_in_the_wild(tmp_path, 1)
    edit(tmp_path / "v2.json", _moved)
    found = exported(tmp_path, tmp_path, "lpff", "ffhq", crop="stylegan", picture={"resolution": 64})
    table = json.loads((root / "raw_lm.json").read_text())
    table |= {"00000": json.loads((tmp_path / "v2.json").read_text())["0"]["in_the_wild"]["face_landmarks"]}
    for sample in found.values():
        id, source = sample["metadata"]["source_id"], sample["metadata"]["dataset"]
        wild = tmp_path / "wild" / "in-the-wild-images" / "00000" / f"{id}.png"
        path = wild if source == "ffhq" else root / "raw" / f"{id[:-3]}.jpg"
        cropping = replace(CROPPINGS["ffhq" if source == "ffhq" else "stylegan"], side=64)
        image, carried = cropped(path, np.array(table[id]), cropping)
        assert np.array_equal(sample["image"], image) and np.array_equal(sample["landmarks"], carried)


def _moved(records: Any) -> Any:
    wild = records["0"]["in_the_wild"]
    wild["face_landmarks"] = [[x + 1 / 3, y + 1 / 7] for x, y in wild["face_landmarks"]]
    return records


def test_ffhq_in_the_wild_is_cropped_by_its_own_landmarks_and_border(data: Path, tmp_path: Path) -> None:
    given = {"crop": "stylegan", "ffhq_cameras": str(data / "eg3d" / "dataset.json")}
    found = exported(tmp_path, data, "ffhq", "lpff", **given, picture={"resolution": 64})
    wild = [sample for sample in found.values() if sample["metadata"]["dataset"] == "ffhq"]
    assert len(wild) == 3 and len(found) == 6
    for sample in wild:
        fields = sample["metadata"]
        at = np.array(points(f"wild {int(fields['source_id'])}", SIZE), np.float32)
        path = data / "wild" / "in-the-wild-images" / "00000" / f"{fields['source_id']}.png"
        image, carried = cropped(path, at, replace(CROPPINGS["ffhq"], side=64))
        assert np.array_equal(sample["image"], image) and np.array_equal(sample["landmarks"], carried)
        # EG3D cropped FFHQ by other landmarks, so the map from its crops is unknown.
        assert np.array_equal(sample["camera"], np.array(camera(fields["source_id"]), np.float32))
        assert (fields["alignment"], fields["camera_alignment"]) == ("stylegan", "eg3d")
        assert fields["author"] and fields["license"]


@pytest.mark.parametrize("format", ["zip", "tfrecord", "parquet", "arrayrecord"])
def test_every_format_takes_crops(data: Path, tmp_path: Path, format: str) -> None:
    out, names = tmp_path / "out", ("lpff", "unsplash_pexels", "ffhq")
    manifest = export(options(data, *names, out=out, format=format, picture={"resolution": 32}))
    assert manifest.samples == 18 and manifest.sizes == {"32x32": 18}
    assert verify_export(str(out), deep=True).ok


@pytest.mark.parametrize(("image", "kind"), [(None, "png"), ("jpeg", "jpg"), ("webp", "webp"), ("raw", "image.npy")])
def test_crops_are_stored_as_asked_and_as_png_by_default(
    data: Path, tmp_path: Path, image: str | None, kind: str
) -> None:
    picture = {"image": image, "resolution": 32}
    manifest = export(options(data, out=tmp_path / "out", picture=picture))
    assert set(manifest.kinds) == {kind}


def test_any_number_of_workers_and_a_repeated_command_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    given = {"crop": "stylegan", "crop_quality": "fast", "mirror": True, "picture": {"resolution": 48}}
    found = []
    for workers in (1, 2, 2):
        export(options(data, "lpff", "ffhq", out=tmp_path / str(workers), run={"workers": workers}, **given))
        found.append(contents(tmp_path / str(workers)))
    assert found[0] == found[1] == found[2]


def test_mirrors_are_made_by_default_of_eg3d_crops_only(data: Path) -> None:
    assert [plan(data, crop=word).samples for word in ("eg3d", "stylegan", "realign2400")] == [6, 3, 3]


def test_sizes_of_shards_are_estimated_from_the_crops(data: Path) -> None:
    small, large = (plan(data, picture={"image": "raw", "resolution": side}) for side in (32, 64))
    assert 3 * 32 * 32 * 6 < small.sizes.sum() < 4 * small.samples * 3 * 32 * 32
    assert (large.sizes - small.sizes).tolist() == [3 * (64 * 64 - 32 * 32)] * 6
    assert plan(data, crop="realign2400", picture={"image": "raw"}).sizes.min() > 3 * 2400**2


def test_every_option_of_crops_changes_the_plan(data: Path) -> None:
    other = write(data / "other" / "wide.toml", WIDE.replace("1.5", "1.6").encode())
    given = [
        {},
        {"crop": "stylegan", "mirror": True},
        {"from_": "realign2400"},
        {"crop_quality": "fast"},
        {"picture": {"resolution": 256}},
        {"crop": str(data / "wide.toml"), "mirror": True},
        {"crop": str(other), "mirror": True},
    ]
    digests = [plan(data, **one).digest for one in given]
    assert len(set(digests)) == len(digests)
    assert plan(data, alignment="eg3d").digest == digests[0]
    assert plan(data, picture={"resolution": 512}).digest == digests[0]


def test_options_of_crops_are_recorded(data: Path) -> None:
    found = plan(data, "ffhq", "lpff", crop="stylegan", picture={"resolution": 64}).options
    assert (found["alignment"], found["crop"], found["from"]) == ("stylegan", "stylegan", "raw")
    assert "crop_quality" not in found
    of_lpff = {"name": "stylegan", "kind": "ffhq", "side": 64, "scale": 1.0, "border": (0.2, 100)}
    assert found["croppings"]["lpff"] == {**of_lpff, "low_resolution_blur": False}
    assert found["croppings"]["ffhq"]["border"] == (0.1, 3)
    own = plan(data, crop=str(data / "wide.toml"), crop_quality="fast").options
    assert (own["alignment"], own["crop"], own["crop_quality"]) == ("wide", "wide.toml", "fast")
    assert "crop" not in plan(data, crop=None, from_=None, alignment="raw").options


@pytest.mark.parametrize("word", ["stylegan", "wide.toml"])
def test_the_card_repeats_the_command(data: Path, tmp_path: Path, word: str) -> None:
    given = {"crop": str(data / word) if word.endswith(".toml") else word, "crop_quality": "fast"}
    export(options(data, "ffhq", out=tmp_path / "out", picture={"resolution": 32}, **given))
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| alignment | {word.removesuffix('.toml')}, no mirrors |" in card
    assert "PNG, cropped from the raw pictures to 32 x 32 pixels" in card
    lines = card.partition("lpff-shards export")[2].partition("```")[0].replace("\\\n", " ").split()
    # The command runs in the folder with the data.
    words = [str(data / word) if (data / word).exists() else word for word in lines]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert "--alignment" not in words and "--image" not in words
    done = run("export", *words)
    assert done.returncode == 0, done.stderr
    both = [contents(tmp_path / name) for name in ("out", "again")]
    assert both[0].keys() == both[1].keys()
    assert both[0]["manifest.json"] == both[1]["manifest.json"]


def test_pictures_without_landmarks_are_refused_by_name_or_left_out(data: Path, tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF", LPFF_IDS, ["raw"], SIZE)
    edit(root / "raw_lm.json", lambda all_: {id: at for id, at in all_.items() if id != LPFF_IDS[1]})
    given = {"lpff": str(root), "picture": {"resolution": 32}}
    path = root / "raw" / f"{LPFF_IDS[1][:-3]}.jpg"
    with pytest.raises(BadInput, match=f"{path}: {LPFF_IDS[1]}: it has no landmarks to crop by"):
        plan(data, **given)
    manifest = export(options(data, out=tmp_path / "out", run={"on_error": "skip"}, **given))
    assert manifest.samples == 4
    assert [(one.id, one.reason) for one in manifest.skipped] == [(LPFF_IDS[1], "it has no landmarks to crop by")]


def test_a_data_set_without_any_landmarks_is_refused_as_a_whole(data: Path, tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF", LPFF_IDS, ["raw"], SIZE)
    (root / "raw_lm.json").unlink()
    with pytest.raises(ShardsError, match="--crop eg3d: no raw picture of lpff has landmarks") as error:
        plan(data, lpff=str(root), run={"on_error": "skip"})
    assert "raw_lm.json" in str(error.value)


def test_landmarks_that_are_no_face_are_refused_by_name_or_left_out(data: Path, tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "LPFF", LPFF_IDS, ["raw"], SIZE)
    edit(root / "raw_lm.json", lambda all_: {**all_, LPFF_IDS[0]: [[150, 150]] * 68})
    given = {"lpff": str(root), "picture": {"resolution": 32}}
    with pytest.raises(BadInput, match=LPFF_IDS[0]):
        export(options(data, out=tmp_path / "out", **given))
    manifest = export(options(data, out=tmp_path / "out", run={"on_error": "skip"}, **given))
    assert manifest.samples == 4 and {one.id for one in manifest.skipped} == {LPFF_IDS[0]}
    # What was skipped stays skipped, and nothing is written again.
    before = contents(tmp_path / "out")
    assert export(options(data, out=tmp_path / "out", run={"on_error": "skip"}, **given)).samples == 4
    assert contents(tmp_path / "out") == before


def test_photos_of_another_size_than_their_record_says_are_refused(data: Path, tmp_path: Path) -> None:
    write_in_the_wild(tmp_path, 2)
    path = tmp_path / "wild" / "in-the-wild-images" / "00000" / "00001.png"
    Image.open(path).resize((SIZE, SIZE)).save(path)
    with pytest.raises(BadInput, match=f"00001: its landmarks are of a picture of {SIZE}x{SIZE + 10}, it has"):
        export(options(tmp_path, "ffhq", out=tmp_path / "out"))


def test_aligned_ffhq_is_not_taken_for_photos_in_the_wild(tmp_path: Path) -> None:
    write_in_the_wild(tmp_path, 2)
    for path in (tmp_path / "wild").rglob("*.png"):
        Image.new("RGB", (1024, 1024)).save(path)
    with pytest.raises(ShardsError, match="is StyleGAN-aligned: its pictures are 1024x1024"):
        plan(tmp_path, "ffhq")


def test_ffhq_without_pictures_in_the_wild_is_refused(tmp_path: Path) -> None:
    write_in_the_wild(tmp_path, 1)
    (tmp_path / "wild" / "in-the-wild-images" / "00000" / "00000.png").unlink()
    with pytest.raises(ShardsError, match="contains no pictures in the wild"):
        plan(tmp_path, "ffhq")


def test_stylegan_crops_of_ffhq_count_once_by_the_papers_rule(data: Path) -> None:
    cameras = {"ffhq_cameras": str(data / "eg3d" / "dataset.json")}
    notes = [plan(data, "ffhq", crop=word, **cameras, mix={"rebalance": "lpff"}).notes for word in ("stylegan", "eg3d")]
    counted = ["--rebalance lpff: StyleGAN-aligned FFHQ pictures count once" in "\n".join(one) for one in notes]
    assert counted == [True, False]


def test_crops_are_no_published_set(data: Path) -> None:
    given = options(data, format="zip")
    assert not given.is_published and not given.has_whole_sets
    assert options(data, crop=None, from_=None).has_whole_sets


def test_missing_libraries_are_named_before_anything_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cropping_module, "find_spec", lambda _: None)
    with pytest.raises(ShardsError, match="--crop stylegan needs scipy") as error:
        export(options(data, out=tmp_path / "out", crop="stylegan"))
    assert 'pip install "lpff-shards[crops]"' in str(error.value) and not (tmp_path / "out").exists()
    assert export(options(data, out=tmp_path / "out", picture={"resolution": 32})).samples == 6


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"from_": None}, "--crop needs --from. Give --from raw or --from realign2400"),
    ({"crop": None}, "--from has no effect without --crop. Give both, or neither"),
    ({"crop": None, "from_": None, "crop_quality": "fast"}, "--crop-quality has no effect without --crop"),
    ({"crop_quality": "slow"}, "--crop-quality 'slow' is not known. It is one of: exact, fast"),
    ({"from_": "eg3d"}, "--from 'eg3d' is not known. It is one of: raw, realign2400"),
    ({"crop": "raw"}, "--crop 'raw' is not known. It is one of: eg3d, stylegan, realign2400, or a .toml file"),
    ({"crop": "stylgan"}, "--crop 'stylgan' is not known. Did you mean stylegan? It is one of"),
    ({"crop": "my/eg3d.toml"}, "--crop my/eg3d.toml: eg3d cannot be the name of an alignment. Give the file another"),
    ({"crop": "my/a b.toml"}, "--crop my/a b.toml: a b cannot be the name of an alignment"),
    ({"crop": ".toml"}, "--crop .toml: .toml cannot be the name of an alignment"),
    ({"crop": "realign2400", "from_": "realign2400"}, "--crop realign2400 cannot be made --from realign2400"),
    ({"alignment": "stylegan"}, "--alignment and --crop cannot be used together. --from says which pictures are read"),
    ({"demo": 3}, "--crop is not for --demo. Export it without --crop"),
    ({"dataset": ("mine=there",)}, "--crop is not for --dataset mine. Export it without --crop"),
    ({"ffhq": "F"}, "--crop needs the landmarks of --ffhq. Give ffhq-dataset-v2.json by --ffhq-metadata"),
    ({"ffhq": "F", "ffhq_metadata": "m", "from_": "realign2400"}, "--ffhq has no realign2400 pictures. Use --from raw"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_options_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardsError) as error:
        SourceOptions(**{"lpff": "L", "crop": "eg3d", "from_": "raw", **given})
    assert str(error.value).startswith(message)


def test_crops_are_not_the_files_that_keep_would_keep(data: Path) -> None:
    with pytest.raises(ShardsError, match="--image keep has no effect with --crop"):
        options(data, picture={"image": "keep"})


def test_a_zip_of_crops_needs_a_side_that_trainers_take(data: Path) -> None:
    with pytest.raises(BadInput, match="2400"):
        plan(data, crop="realign2400", format="zip")
    assert plan(data, crop="realign2400", format="zip", picture={"resolution": 1024}).samples == 3


FAULTS = [
    ("side = ", "is not valid TOML"),
    ('kind = "eg3d"', "Object missing required field `side`"),
    ('kind = "ffhg"\nside = 64', "Invalid enum value 'ffhg'"),
    (
        'kind = "eg3d"\nside = 64\nscal = 2',
        "the key 'scal' is not known. Did you mean scale? It is one of: kind, side,",
    ),
    ('kind = "eg3d"\nside = 64\nname = "x"', "the key 'name' is not known"),
    ('kind = "eg3d"\nside = 3', "side is 3, not 4 to 8192"),
    ('kind = "eg3d"\nside = 64.5', "Expected `int`"),
    ('kind = "eg3d"\nside = 64\nscale = 0', "scale is 0.0, not 0.1 to 10"),
    ('kind = "eg3d"\nside = 64\nscale = nan', "scale is nan, not 0.1 to 10"),
    ('kind = "ffhq"\nside = 64\nborder = [-1, 3]', "border is [-1.0, 3], not [0 to 1, 0 to 64]"),
    ('kind = "ffhq"\nside = 64\nborder = [0.1, 65]', "border is [0.1, 65], not [0 to 1, 0 to 64]"),
    ('kind = "ffhq"\nside = 64\nborder = 3', "Expected `array`"),
    ('kind = "eg3d"\nside = 64\nborder = [0.1, 3]', "border has no effect with kind eg3d"),
    ('kind = "eg3d"\nside = 64\nlow_resolution_blur = true', "low_resolution_blur has no effect with kind eg3d"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_a_faulty_alignment_is_refused(data: Path, tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "my.toml", text.encode())
    with pytest.raises(ShardsError) as error:
        plan(data, crop=str(path))
    assert str(error.value).startswith(f"--crop {path}") and message in str(error.value)


def test_an_alignment_that_is_no_text_or_is_missing_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="is not valid TOML"):
        plan(data, crop=str(write(tmp_path / "my.toml", b"\xff\xfe")))
    with pytest.raises(ShardsError, match="cannot be read: No such file"):
        plan(data, crop=str(tmp_path / "other.toml"))


def test_an_alignment_has_the_defaults_of_ffhqs(data: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "plain.toml", b'kind = "ffhq"\nside = 64\n')
    assert read_croppings(sources(data, crop=str(path))) == {"lpff": Cropping("plain", "ffhq", 64)}
    assert read_croppings(sources(data, crop=str(path)), 32)["lpff"].side == 32
