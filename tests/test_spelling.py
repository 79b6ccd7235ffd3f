"""Did you mean: wrong names of commands, options, words, licenses, splits, loaders and fields get the right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import call, run

from lpff_shards import ShardsError
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.sampler import EpochSampler
from lpff_shards.options.export import PictureOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.schemas.license import SHORT_NAMES, canonical
from lpff_shards.schemas.text import choice_hint, did_you_mean

DEMO = ("export", "--demo", "2", "--out", "x")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("spelling") / "out"
    made = run("export", "--format", "wds", "--demo", 4, "--resolution", 16, "--image", "raw", "--out", out)
    assert made.returncode == 0
    return out


@pytest.mark.parametrize(
    ("given", "found"),
    [("lppf", "lpff"), ("LPFF", "lpff"), ("EG3", "eg3d"), ("uni", "uniform"), ("x", ""), ("", ""), ("none at all", "")],
)
def test_the_closest_word(given: str, found: str) -> None:
    assert did_you_mean(given, ["none", "lpff", "eg3d", "uniform"]) == (f"Did you mean {found}? " if found else "")


def test_the_first_of_equals_is_meant() -> None:
    assert did_you_mean("weight", ["weights", "weighty"]) == "Did you mean weights? "
    assert did_you_mean("cc-by-2", ["CC-BY-2.0", "CC-BY-2.5"]) == "Did you mean CC-BY-2.0? "
    assert did_you_mean("anything", []) == ""


def test_hints() -> None:
    assert did_you_mean("trian", ["val", "train"]) == "Did you mean train? "
    assert choice_hint("trian", ["val", "train"]) == "Did you mean train? It is one of: val, train"
    assert choice_hint("x", ["val", "train"]) == "It is one of: val, train"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["exprt"], "there is no command 'exprt'. Did you mean export? See lpff-shards --help"),
        (["xyz"], "there is no command 'xyz'. See lpff-shards --help"),
        (
            [*DEMO, "--rebalence", "lpff"],
            "there is no option --rebalence. Did you mean --rebalance? See lpff-shards export --help",
        ),
        ([*DEMO, "--reb", "lpff"], "there is no option --reb. Did you mean --rebalance? See lpff-shards export --help"),
        ([*DEMO, "--met", "json"], "there is no option --met. Did you mean --metadata? See lpff-shards export --help"),
        ([*DEMO, "--no-mirrors"], "there is no option --no-mirrors. Did you mean --no-mirror? See lpff-shards export"),
        (
            ["verify", "x", "--seed", "1"],
            "there is no option --seed. It is an option of export. See lpff-shards verify",
        ),
        (
            ["trace", "x", "y", "-q"],
            "there is no option -q. It is an option of export, convert, verify, attach, index and bench. See lpff",
        ),
        ([*DEMO, "--bogus"], "there is no option --bogus. See lpff-shards export --help"),
        (["verify", "x", "-x"], "there is no option -x. See lpff-shards verify --help"),
        (["--versoin"], "there is no option --versoin. Did you mean --version? See lpff-shards --help"),
        (
            [*DEMO, "--format", "tfrecords"],
            "--format 'tfrecords' is not known. Did you mean tfrecord? It is one of: wds, tfrecord, zip",
        ),
        (
            [*DEMO, "--format", "wds", "--rebalance", "lppf"],
            "--rebalance 'lppf' is not known. Did you mean lpff? It is one of: none, lpff, eg3d, uniform",
        ),
        (
            [*DEMO, "--format", "wds", "--license", "CC-BY-2"],
            "--license 'CC-BY-2' is not known. Did you mean CC-BY-2.0? It is a short name such as",
        ),
        (
            ["bench", "x", "--loader", "torch.load"],
            "--loader 'torch.load' is not known. Did you mean torch.loader? It is one of: source, torch.loader,",
        ),
    ],
)
def test_wrong_names_on_the_command_line(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call(capsys, monkeypatch, *args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"lpff-shards: {message}")
    assert done.err.count("\n") == 1


def test_a_wrong_split(shards: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"{shards} has no split 'trian'. Did you mean train? It has: train"
    assert call(capsys, monkeypatch, "bench", shards, "--split", "trian").err == f"lpff-shards: {told}\n"
    with pytest.raises(ShardsError) as caught:
        ShardSource(shards, "trian")
    assert str(caught.value) == told


def test_wrong_names_from_python(shards: Path) -> None:
    with pytest.raises(ShardsError, match=r"field 'licence' is not known\. Did you mean license\? It is one of: key,"):
        ShardSource(shards).column("licence")
    with pytest.raises(ShardsError, match=r"Did you mean first\? It is one of: last, first"):
        ShardSource(shards, order="frist")  # type: ignore[arg-type]
    with pytest.raises(ShardsError, match=r"Did you mean stored-png\?"):
        PictureOptions(image="storedpng")  # type: ignore[arg-type]
    with pytest.raises(ShardsError, match=r"Did you mean drop\? It is one of: None, 'pad', 'drop'"):
        EpochSampler(counts=[8], batch_size=2, equal="dorp")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_every_license_that_is_proposed_is_taken(name: str) -> None:
    assert canonical(name) == name
    assert MixOptions(license=(name.lower(),)).license == (name,)
