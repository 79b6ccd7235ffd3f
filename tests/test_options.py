"""Options: what is refused and how it is said, the defaults, and what is recorded and published of them."""

import dataclasses
import json
from pathlib import Path

import pytest

from lpff_shards.errors import EXIT_BAD_INPUT, ShardsError
from lpff_shards.exporters.record_options import last_component, published_names, recorded, redact_paths
from lpff_shards.options.declaration import declared
from lpff_shards.options.export import DEFAULT_SHARD_SIZE, ExportOptions, PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions

DEMO = SourceOptions(demo=4)


def export(**given):
    return ExportOptions(**{"format": "wds", "out": "shards", "sources": DEMO} | given)


def record(**given):
    return recorded(export(**given))


REFUSED_FOR_ZIP = [
    ({"metadata": "msgpack"}, "--metadata msgpack has no effect with --format zip. It is for --format wds"),
    (
        {"picture": PictureOptions(image="raw")},
        "--image raw is not for --format zip. Use keep, png, fast-png, stor",
    ),
    (
        {"picture": PictureOptions(resolution=500)},
        "--resolution 500 is not for --format zip; its trainers require power",
    ),
    ({"shards": ShardOptions(shards=2)}, "--shards has no effect with --format zip, which writes one archive a split."),
    ({"shards": ShardOptions(shard_size=9)}, "--shard-size has no effect with --format zip"),
    ({"shards": ShardOptions(samples_per_shard=9)}, "--samples-per-shard has no effect with --format zip"),
    ({"shards": ShardOptions(shuffle=True)}, "--shuffle has no effect with --format zip. Leave it out: trainers"),
    ({"shards": ShardOptions(seed=3)}, "--seed has no effect with --format zip. It is for --rebalance uniform here"),
    ({"name": "dataset"}, "--name dataset is not for --format zip, where dataset.json holds the cameras. Use another"),
]
REFUSED = [
    (
        SourceOptions,
        {},
        "no source was given. Give --lpff, --unsplash-pexels, --ffhq, --demo or --dataset; they combine",
    ),
    (SourceOptions, {"demo": 0}, "--demo 0 is out of range. It takes a whole number from 1 to 10000000"),
    (SourceOptions, {"demo": 10_000_001}, "--demo 10000001 is out of range"),
    (SourceOptions, {"demo": 1, "alignment": "crop"}, "--alignment 'crop' is not known. It is one of: eg3d, stylegan,"),
    (SourceOptions, {"demo": 1, "alignment": "raw"}, "--demo has no raw pictures. Use --alignment eg3d or --alignment"),
    (SourceOptions, {"ffhq": "F", "alignment": "realign2400"}, "--ffhq has no realign2400 pictures"),
    (SourceOptions, {"lpff": "L", "ffhq": "F", "alignment": "raw"}, "--ffhq has no raw pictures"),
    (SourceOptions, {"lpff": "L", "ffhq_cameras": "c"}, "--ffhq-cameras was given without --ffhq. It describes FFHQ's"),
    (SourceOptions, {"demo": 1, "ffhq_metadata": "m"}, "--ffhq-metadata was given without --ffhq"),
    (SourceOptions, {"ffhq_metadata": "m"}, "no source was given"),
    (
        PictureOptions,
        {"image": "gif"},
        "--image 'gif' is not known. It is one of: keep, png, fast-png, stored-png, jpeg, webp, raw",
    ),
    (PictureOptions, {"resolution": 3}, "--resolution 3 is out of range. It takes a whole number from 4 to 8192"),
    (PictureOptions, {"resolution": 8193}, "--resolution 8193 is out of range"),
    (PictureOptions, {"image": "jpeg", "quality": 0}, "--quality 0 is out of range. It takes a whole number from 1 to"),
    (PictureOptions, {"image": "webp", "quality": 101}, "--quality 101 is out of range"),
    (PictureOptions, {"quality": 90}, "--quality has no effect without --image. Use it with --image jpeg or --image"),
    (
        PictureOptions,
        {"image": "keep", "quality": 90},
        "--quality has no effect with --image keep. Use it with --image",
    ),
    (PictureOptions, {"image": "stored-png", "quality": 9}, "--quality has no effect with --image stored-png"),
    (PictureOptions, {"image": "png", "quality": 90}, "--quality has no effect with --image png"),
    (PictureOptions, {"image": "raw", "quality": 90}, "--quality has no effect with --image raw"),
    (
        ShardOptions,
        {"shards": 2, "shard_size": 9},
        "--shard-size and --shards cannot be used together. Give one of them",
    ),
    (ShardOptions, {"shards": 2, "samples_per_shard": 9}, "--samples-per-shard and --shards cannot be used together"),
    (ShardOptions, {"shard_size": 1, "samples_per_shard": 1, "shards": 1}, "--shard-size and --samples-per-shard and"),
    (ShardOptions, {"shard_size": 0}, "--shard-size 0 is out of range. It takes a whole number 1 or more"),
    (ShardOptions, {"samples_per_shard": 0}, "--samples-per-shard 0 is out of range"),
    (ShardOptions, {"shards": 0}, "--shards 0 is out of range"),
    (ShardOptions, {"shards": -5}, "--shards -5 is out of range"),
    (
        export,
        {"shards": ShardOptions(shuffle=False, seed=0)},
        "--seed has no effect with --no-shuffle. Drop one of them",
    ),
    (ShardOptions, {"seed": -1}, "--seed -1 is out of range. It takes a whole number from 0 to 9223372036854775807"),
    (ShardOptions, {"seed": 2**63}, "--seed 9223372036854775808 is out of range"),
    (RunOptions, {"workers": 0}, "--workers 0 is out of range. It takes a whole number from 1 to 512"),
    (RunOptions, {"workers": 513}, "--workers 513 is out of range"),
    (RunOptions, {"checksum": "md5"}, "--checksum 'md5' is not known. It is one of: blake3, sha256"),
    (RunOptions, {"on_error": "warn"}, "--on-error 'warn' is not known. It is one of: fail, skip"),
    (RunOptions, {"on_error": "two\nlines"}, "--on-error 'two\\nlines' is not known"),
    (export, {"format": "rar"}, "--format 'rar' is not known. It is one of: wds, tfrecord, zip"),
    (export, {"metadata": "yaml"}, "--metadata 'yaml' is not known. It is one of: json, msgpack"),
    (export, {"format": "tfrecord", "metadata": "msgpack"}, "--metadata msgpack has no effect with --format tfrecord."),
    *((export, {"format": "zip", **given}, message) for given, message in REFUSED_FOR_ZIP),
    (export, {"name": ""}, "--name '' cannot be used in file names. It starts with a-z, then a-z, 0-9 and _, 40 char"),
    (export, {"name": "Faces"}, "--name 'Faces' cannot be used in file names"),
    (export, {"name": "1st"}, "--name '1st' cannot be used"),
    (export, {"name": "my-faces"}, "--name 'my-faces' cannot be used"),
    (export, {"name": "../faces"}, "--name '../faces' cannot be used"),
    (export, {"name": "faces\n"}, "--name 'faces\\n' cannot be used"),
    (export, {"name": "f" * 41}, f"--name '{'f' * 41}' cannot be used"),
    (
        export,
        {"out": "hdfs://name/faces"},
        "--out hdfs://name/faces is not supported. Use a local path, s3://... or gs://...",
    ),
]


@pytest.mark.parametrize(("make", "given", "message"), REFUSED)
def test_bad_options_are_refused_in_one_line(make, given, message):
    with pytest.raises(ShardsError) as caught:
        make(**given)
    error = caught.value
    assert str(error).startswith(message)
    assert "\n" not in str(error)
    assert error.exit_status == EXIT_BAD_INPUT
    assert error.message and error.hint and not error.message.endswith(".")


def test_a_bucket_of_two_lines_is_refused_in_one():
    with pytest.raises(ShardsError) as caught:
        export(out="s3://bucket/a\nb")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (SourceOptions, {"demo": 10_000_000, "alignment": "stylegan"}),
        (SourceOptions, {"lpff": "L", "unsplash_pexels": "U", "alignment": "realign2400"}),
        (SourceOptions, {"ffhq": "F", "ffhq_cameras": "c", "ffhq_metadata": "m"}),
        (PictureOptions, {"resolution": 4, "image": "raw"}),
        (PictureOptions, {"resolution": 8192, "image": "jpeg", "quality": 1}),
        (PictureOptions, {"image": "webp", "quality": 100}),
        (ShardOptions, {"shard_size": 1, "seed": 2**63 - 1}),
        (ShardOptions, {"shuffle": False, "shards": 1}),
        (RunOptions, {"workers": 512, "checksum": "sha256", "on_error": "skip"}),
        (export, {"metadata": "msgpack"}),
        (export, {"format": "tfrecord", "name": "f" * 40}),
        (export, {"name": "f"}),
        (export, {"format": "zip", "shards": ShardOptions(shuffle=False), "name": "dataset_"}),
        (
            export,
            {"format": "zip", "shards": ShardOptions(seed=3), "mix": MixOptions(rebalance="uniform")},
        ),
        (export, {"out": "/data/a:b/shards"}),
    ],
)
def test_good_options_are_taken_and_frozen(make, given):
    made = make(**given)
    for name, value in given.items():
        assert getattr(made, name) == value
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, value)


def test_defaults():
    made = export()
    assert (made.name, made.metadata, made.dataset_name) == (None, "json", "demo")
    assert (made.picture, made.shards, made.run) == (PictureOptions(), ShardOptions(), RunOptions())
    assert dataclasses.astuple(PictureOptions()) == (None, None, None)
    assert [export(format=f).resolved_picture.image for f in ("wds", "tfrecord", "zip")] == ["keep"] * 2 + [
        "stored-png"
    ]
    assert [export(format=f).resolved_shards.shuffles for f in ("wds", "tfrecord", "zip")] == [True, True, False]
    assert dataclasses.asdict(ShardOptions()) == {
        **{"shard_size": None, "samples_per_shard": None, "shards": None},
        **{"shuffle": None, "seed": None},
    }
    assert dataclasses.asdict(RunOptions()) == {
        **{"checksum": "blake3", "workers": None, "engine": "local", "ray_address": None, "task": None},
        **{"on_error": "fail", "overwrite": False, "update": False, "allow_missing": False},
    }
    assert dataclasses.astuple(DEMO) == (
        *(None, None, None, None, None, 4, (), (), (), (), (), "eg3d"),
        *(None, None, "exact", None, None, {}, None),
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"demo": 1}, "demo"),
        ({"lpff": "L"}, "lpff"),
        ({"lpff": "L", "ffhq": "F"}, "ffhq_lpff"),
        ({"demo": 1, "unsplash_pexels": "U", "lpff": "L", "ffhq": "F"}, "ffhq_lpff_unsplash_pexels_demo"),
    ],
)
def test_a_data_set_is_named_after_its_sources(given, name):
    sources = SourceOptions(**given)
    assert export(sources=sources).dataset_name == name == "_".join(sources.given)
    assert export(sources=sources, name="mine").dataset_name == "mine"


@pytest.mark.parametrize(
    ("alignment", "mirror", "mirrors"),
    [
        ("eg3d", None, True),
        ("stylegan", None, False),
        ("eg3d", False, False),
        ("raw", True, True),
        ("raw", None, False),
    ],
)
def test_mirrors_are_the_default_where_the_published_sets_have_them(alignment, mirror, mirrors):
    assert SourceOptions(lpff="L", alignment=alignment, mirror=mirror).mirrors is mirrors


def test_what_is_recorded_by_default():
    assert record() == {
        **{"format": "wds", "name": "demo", "metadata": "json", "alignment": "eg3d", "mirror": True},
        **{"lpff": None, "unsplash_pexels": None, "ffhq": None, "ffhq_cameras": None, "ffhq_metadata": None, "demo": 4},
        **{"image": "keep", "resolution": None, "quality": None, "checksum": "blake3", "shuffle": True, "seed": 0},
        **{"shard_size": DEFAULT_SHARD_SIZE, "samples_per_shard": None, "shards": None},
        **{"rebalance": "none", "as": "replicas", "num_replicas": None, "alpha": None, "max_replicas": None},
        **{"target_size": None, "splits": "train", "license": (), "exclude": None},
    }


def test_what_is_recorded_of_a_zip():
    assert record(format="zip") == record() | {
        **{"format": "zip", "image": "stored-png", "shuffle": False, "seed": None, "shard_size": None},
        "zip_copies": "files",
    }
    assert record(format="zip", zip_copies="list")["zip_copies"] == "list"
    # The seed rounds copies, in whatever order they come.
    unshuffled = record(mix=MixOptions(rebalance="uniform"), shards=ShardOptions(shuffle=False, seed=3))
    assert (unshuffled["shuffle"], unshuffled["seed"]) == (False, 3)
    drawn = record(format="zip", mix=MixOptions(rebalance="uniform"), shards=ShardOptions(seed=3))
    assert (drawn["shuffle"], drawn["seed"]) == (False, 3)


PATHS = SourceOptions(
    lpff="/home/jane/secret/LPFF",
    unsplash_pexels="../secret/unsplash pexels.zip",
    ffhq="/home/jane/secret/FFHQ_512.zip",
    ffhq_cameras="/home/jane/secret/eg3d/dataset.json",
    ffhq_metadata="secret/ffhq-dataset-v2.json",
)


def test_no_folder_is_recorded():
    found = record(sources=PATHS, out="/home/jane/secret/out")
    text = json.dumps(found)
    assert not any(part in text for part in ("jane", "secret", "home", "out", "/"))
    assert [found[name] for name in ("lpff", "unsplash_pexels", "ffhq", "ffhq_cameras", "ffhq_metadata")] == [
        *("LPFF", "unsplash pexels.zip", "FFHQ_512.zip", "dataset.json", "ffhq-dataset-v2.json")
    ]


SAME = [
    {"out": "elsewhere"},
    {"run": RunOptions(workers=3, overwrite=True, on_error="skip")},
    {"shards": ShardOptions(seed=0)},
    {"shards": ShardOptions(shard_size=DEFAULT_SHARD_SIZE)},
    {"sources": SourceOptions(demo=4, mirror=True)},
    {"name": "demo"},
    {"picture": PictureOptions(image="keep")},
    {"shards": ShardOptions(shuffle=True)},
]
OTHER = [
    {"format": "tfrecord"},
    {"metadata": "msgpack"},
    {"name": "mine"},
    {"run": RunOptions(checksum="sha256")},
    *({"sources": SourceOptions(**{"demo": 4} | s)} for s in ({"demo": 5}, {"mirror": False}, {"lpff": "L"})),
    {"sources": SourceOptions(demo=4, mirror=True, alignment="stylegan")},
    *(
        {"picture": PictureOptions(**p)}
        for p in ({"image": "png"}, {"resolution": 64}, {"image": "webp", "quality": 9})
    ),
    *({"shards": ShardOptions(**s)} for s in ({"seed": 1}, {"shards": 3}, {"samples_per_shard": 3}, {"shard_size": 9})),
    {"shards": ShardOptions(shuffle=False)},
]


@pytest.mark.parametrize("given", SAME)
def test_what_decides_nothing_is_not_recorded(given):
    assert record(**given) == record()


@pytest.mark.parametrize("given", OTHER)
def test_what_decides_something_is_recorded(given):
    assert record(**given) != record()


@pytest.mark.parametrize(
    ("path", "name"),
    [("LPFF", "LPFF"), ("LPFF/", "LPFF"), ("/a/b/LPFF//", "LPFF"), ("a/x.zip", "x.zip"), (".", "."), ("/", "/")],
)
def test_last_component(path, name):
    assert last_component(path) == name


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/home/jane/LPFF", "/home/jane/LPFF/info.json: no credit", "LPFF/info.json: no credit"),
        ("/home/jane/LPFF.zip", "/home/jane/LPFF.zip:raw/1.jpg: cut short", "LPFF.zip:raw/1.jpg: cut short"),
        ("/home/jane/LPFF/crop/eg3d", "/home/jane/LPFF/info.json: no credit", "LPFF/info.json: no credit"),
        ("/home/jane/LPFF", "/home/jane/LPFF: x and /home/jane/LPFF/raw: y", "LPFF: x and LPFF/raw: y"),
        ("data/LPFF", "data/LPFF/info.json: no credit", "LPFF/info.json: no credit"),
        ("data/LPFF", "{here}/data/info.json: no credit", "data/info.json: no credit"),
        (
            "LPFF",
            "3 of 7 pictures have no author or license record",
            "3 of 7 pictures have no author or license record",
        ),
    ],
)
def test_a_published_text_holds_no_folder_of_the_user(path, text, expected):
    options = export(sources=SourceOptions(lpff=path))
    assert redact_paths(text.format(here=Path.cwd()), published_names(options)) == expected


def test_paths_inside_one_another_are_published_too():
    sources = SourceOptions(ffhq="/home/jane/sets", lpff="/home/jane/sets/LPFF")
    text = "/home/jane/sets/LPFF/info.json and /home/jane/sets/1.png"
    assert redact_paths(text, published_names(export(sources=sources))) == "LPFF/info.json and sets/1.png"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/home/jane/LPFF/", "/home/jane/LPFF/info.json: no credit", "LPFF/info.json: no credit"),
        ("a/LPFF", "data/LPFF/info.json: no credit", "data/LPFF/info.json: no credit"),
    ],
)
def test_a_published_text_keeps_its_words_apart(path, text, expected):
    assert redact_paths(text, published_names(export(sources=SourceOptions(lpff=path)))) == expected


def test_what_decides_bytes_is_recorded_and_nothing_else():
    parts = (ExportOptions, SourceOptions, MixOptions, PictureOptions, ShardOptions, RunOptions)
    declarations = {name.rstrip("_"): one for part in parts for name, one in declared(part).items()}
    decisive = {name for name, one in declarations.items() if one.decides and not one.sparse}
    assert set(recorded(export(format="zip"))) == decisive
    assert set(recorded(export())) == decisive - {"zip_copies"}
    sets = SourceOptions(
        dataset=("a=x/set.zip,mirrored", "b=set"),
        camera_convention=("a=w2c",), license_of=("b=CC0-1.0",), terms_of=("b=x/TERMS.md",),
        channel=("mask=x/masks,optional",),
    )  # fmt: skip
    found = recorded(ExportOptions(format="wds", out="out", sources=sets))
    assert {name: found[name] for name, one in declarations.items() if one.sparse and name in found} == {
        "dataset": ["a=set.zip,mirrored", "b=set"],
        "camera_convention": ("a=w2c",),
        "license_of": ("b=CC0-1.0",),
        "terms_of": ["b=TERMS.md"],
        "channel": ["mask=masks,optional"],
    }


def test_every_field_is_declared():
    # Each of the other packages' data sets is an option of its own, and an export to convert is an argument.
    nested = {"sources", "others", "export", "mix", "picture", "shards", "run"}
    for part in (ExportOptions, SourceOptions, MixOptions, PictureOptions, ShardOptions, RunOptions):
        assert {one.name for one in dataclasses.fields(part)} - set(declared(part)) <= nested
