"""The command that a manifest tells makes the same data set: parsed by the command line it records the same options."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lpff_shards import ExportOptions, MixOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, api, cli
from lpff_shards.errors import ShardsError
from lpff_shards.exporters.record_options import published_names, recorded, redact_paths
from lpff_shards.formats.registry import NAMES as FORMATS
from lpff_shards.options.export import IMAGE_KINDS
from lpff_shards.options.sources import Alignment
from lpff_shards.sidecars.card.command import WIDTH, command


class Parsed(ShardsError):
    """What the command line made of a command; carries it out of the program."""

    def __init__(self, options: ExportOptions) -> None:
        super().__init__("parsed", "")
        self.options = options


def _words(line: str) -> list[str]:
    """The words that a shell makes of a command."""
    assert line.startswith("lpff-shards ")
    script = "printf '%s\\0' " + line.removeprefix("lpff-shards ")
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().split("\0")[:-1]


def _parsed(line: str) -> ExportOptions:
    """The options that the real command line makes of a command."""
    words = _words(line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "export", lambda options, *_: (_ for _ in ()).throw(Parsed(options)))
        with pytest.raises(Parsed) as caught:
            cli.cli.main(words, standalone_mode=False)
    return caught.value.options


URIS = ("s3://b/data/LPFF", "gs://b/FFHQ.zip", "s3://b", "gs://b/-x/")
ODD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12)
PATHS = st.one_of(
    st.sampled_from(
        ["LPFF", "/data/LPFF", "a b/c d.zip", "-x", "--out", "$HOME", "it's", '"', "```", "a\nb", " ", "..", *URIS]
    ),
    ODD.filter(lambda text: bool(text.strip())),
    ODD.map(lambda text: f"/tmp/{text}"),
)
SPLITS = st.sampled_from(["train", "official", "train=0.9,val=0.1", "a=0.5, train=0.5", "val=0.4,test=0.6"])
SIZES = st.one_of(st.integers(1, 10**15 - 1), st.integers(1, 10**5).map(lambda n: n * 10**6))


def _perhaps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


@st.composite
def _options(draw: st.DrawFn) -> ExportOptions:
    """Any options that an export takes."""
    alignment = draw(st.sampled_from(get_args(Alignment)))
    sources: dict[str, Any] = {name: draw(_perhaps(PATHS)) for name in ("lpff", "unsplash_pexels")}
    if alignment in ("eg3d", "stylegan"):
        sources |= {"ffhq": draw(_perhaps(PATHS)), "demo": draw(_perhaps(st.integers(1, 99)))}
    if sources.get("ffhq"):
        sources |= {name: draw(_perhaps(PATHS)) for name in ("ffhq_cameras", "ffhq_metadata")}
    rebalance = draw(st.sampled_from(["none", "lpff", "eg3d", "uniform"]))
    mix: dict[str, Any] = {"rebalance": rebalance, "splits": draw(SPLITS), "exclude": draw(_perhaps(PATHS))}
    mix["license"] = draw(st.sampled_from([(), ("CC-BY-2.0",), ("cc0-1.0,PDM-1.0", "unknown")]))
    if rebalance != "none":
        mix["as_"] = draw(st.sampled_from(["replicas", "weights"]))
    if rebalance == "eg3d":
        mix["num_replicas"] = draw(_perhaps(PATHS))
    if rebalance == "uniform":
        mix |= {"alpha": draw(_perhaps(st.floats(0, 1))), "max_replicas": draw(_perhaps(st.integers(1, 1000)))}
        mix["target_size"] = draw(_perhaps(st.integers(1, 10**9)))
    image = draw(_perhaps(st.sampled_from(IMAGE_KINDS)))
    picture: dict[str, Any] = {"image": image, "resolution": draw(_perhaps(st.sampled_from([64, 100, 512])))}
    if image in ("jpeg", "webp"):
        picture["quality"] = draw(_perhaps(st.integers(1, 100)))
    format = draw(st.sampled_from(FORMATS))
    shards: dict[str, Any] = {"shuffle": draw(st.sampled_from([None, False, True])), "seed": draw(_perhaps(SIZES))}
    if size := draw(_perhaps(st.sampled_from(["shard_size", "samples_per_shard", "shards"]))):
        shards[size] = draw(SIZES)
    metadata = draw(st.sampled_from(["json", "msgpack"])) if format == "wds" else "json"
    try:
        return ExportOptions(
            format=format,
            out="out",
            sources=SourceOptions(alignment=alignment, mirror=draw(st.sampled_from([None, False, True])), **sources),
            name=draw(_perhaps(st.sampled_from(["mine", "ffhq", "demo"]))),
            metadata=metadata,
            mix=MixOptions(**mix),
            picture=PictureOptions(**picture),
            shards=ShardOptions(**shards),
            run=RunOptions(checksum=draw(st.sampled_from(["blake3", "sha256"]))),
        )
    except ShardsError:
        assume(False)
        raise


DEMO = ExportOptions(format="wds", out="x", sources=SourceOptions(demo=24))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@example(DEMO, "out")
@example(ExportOptions(format="zip", out="x", sources=SourceOptions(lpff="/data/ ", mirror=False)), "-o")
@given(_options(), PATHS)
def test_the_command_makes_the_same_data_set(options: ExportOptions, out: str) -> None:
    expected = recorded(options)
    parsed = _parsed(command(expected, out))
    assert recorded(parsed) == expected
    # As a manifest holds them, after a trip through JSON.
    assert command(json.loads(json.dumps(expected)), out) == command(expected, out)
    assert parsed.run.on_error == "fail"
    assert Path(parsed.out) == Path(out)


def test_of_uris_the_last_part_is_told() -> None:
    given = {"lpff": "s3://my-bucket/mine/LPFF/", "ffhq": "gs://my-bucket", "ffhq_cameras": "s3://my-bucket/d.json"}
    options = ExportOptions(format="wds", out="s3://my-bucket/x", sources=SourceOptions(**given))
    line = command(recorded(options), "x")
    assert line == "lpff-shards export --format wds --ffhq . --lpff LPFF --ffhq-cameras d.json --out x"
    names = published_names(options)
    for text, expected in (
        ("s3://my-bucket/mine/LPFF: info.json was not found", "LPFF: info.json was not found"),
        ("s3://my-bucket/mine/LPFF/crop/x.png", "LPFF/crop/x.png"),
        ("--lpff s3://my-bucket/mine/LPFF/: 2 cameras", "--lpff LPFF/: 2 cameras"),
        ("s3://my-bucket/mine/camera_parameters.json: 2 cameras", "mine/camera_parameters.json: 2 cameras"),
        ("s3://my-bucket/info.json: none", "./info.json: none"),
        ("gs://my-bucket/00000/x.png", "./00000/x.png"),
        ("s3://my-bucket/d.json has no labels", "d.json has no labels"),
    ):
        assert redact_paths(text, names) == expected


def test_only_what_differs_from_the_defaults_is_told() -> None:
    assert command(recorded(DEMO), "demo") == "lpff-shards export --format wds --demo 24 --out demo"
    skipping = command(recorded(DEMO), "demo", skips=True)
    assert skipping == "lpff-shards export --format wds --demo 24 --on-error skip --out demo"
    assert _parsed(skipping).run.on_error == "skip"
    stylegan = ExportOptions(
        format="zip", out="x", sources=SourceOptions(lpff="/data/my LPFF", alignment="stylegan", mirror=False)
    )
    assert command(recorded(stylegan), "zips") == (
        "lpff-shards export --format zip --lpff 'my LPFF' --alignment stylegan --out zips"
    )


def test_a_published_set_keeps_its_name_by_itself() -> None:
    published = ExportOptions(
        format="wds",
        out="x",
        sources=SourceOptions(lpff="LPFF", ffhq="FFHQ_512.zip"),
        mix=MixOptions(rebalance="lpff"),
        shards=ShardOptions(shard_size=10**9),
    )
    assert command(recorded(published), "shards") == (
        "lpff-shards export --format wds --ffhq FFHQ_512.zip --lpff LPFF --rebalance lpff --shard-size 1GB \\\n"
        "  --out shards"
    )


def test_long_commands_are_wrapped() -> None:
    options = ExportOptions(
        format="tfrecord",
        out="x",
        sources=SourceOptions(lpff="it's $HOME", ffhq="ffhq", ffhq_cameras="dataset.json", ffhq_metadata="v2.json"),
        mix=MixOptions(rebalance="uniform", alpha=0.25, target_size=100_000, splits="train=0.9,val=0.1"),
        picture=PictureOptions(image="jpeg", quality=90, resolution=256),
        name="a_name_that_is_not_the_usual_one",
    )
    line = command(recorded(options), "out")
    assert all(len(part) <= WIDTH for part in line.splitlines())
    assert len(line.splitlines()) > 2
    assert all(part.endswith(" \\") for part in line.splitlines()[:-1])
    assert recorded(_parsed(line)) == recorded(options)


def test_a_terminal_obeys_no_name_in_the_command() -> None:
    options = ExportOptions(format="wds", out="x", sources=SourceOptions(lpff="es\x1b]0;OWNED\x07'\\c"))
    assert "\x1b" not in (told := command(recorded(options), out="x"))
    assert r"$'es\x1b]0;OWNED\x07\x27\x5cc'" in told
