"""Options of the mix: what is refused and how it is said, names of data sets, fractions, licenses."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards.errors import EXIT_BAD_INPUT, ShardsError
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.license import canonical

UNIFORM = {"rebalance": "uniform"}
EG3D = {"rebalance": "eg3d"}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rebalance": "pose"}, "--rebalance 'pose' is not known. It is one of: none, lpff, eg3d, uniform"),
    ({"rebalance": ""}, "--rebalance '' is not known"),
    ({"rebalance": "LPFF"}, "--rebalance 'LPFF' is not known"),
    ({"rebalance": "lpff", "as_": "copies"}, "--as 'copies' is not known. It is one of: replicas, weights"),
    ({"as_": "weights"}, "--as weights has no effect with --rebalance none. Choose a --rebalance too"),
    ({"num_replicas": "", **EG3D}, "--num-replicas is empty. Give a path; was a shell variable unset?"),
    ({"num_replicas": " \t", **EG3D}, "--num-replicas is empty"),
    ({"num_replicas": os.fsdecode(b"\xff.json"), **EG3D}, "--num-replicas \\udcff.json is not UTF-8"),
    ({"exclude": ""}, "--exclude is empty. Give a path; was a shell variable unset?"),
    ({"exclude": "\n"}, "--exclude is empty"),
    ({"exclude": os.fsdecode(b"\xff")}, "--exclude \\udcff is not UTF-8"),
    ({"alpha": 0.5}, "--alpha is for --rebalance uniform. Give both, or neither"),
    ({"alpha": 0.0, "rebalance": "lpff"}, "--alpha is for --rebalance uniform"),
    ({"max_replicas": 8}, "--max-replicas is for --rebalance uniform. Give both, or neither"),
    ({"max_replicas": 8, **EG3D}, "--max-replicas is for --rebalance uniform"),
    ({"target_size": 100}, "--target-size is for --rebalance uniform. Give both, or neither"),
    ({"target_size": 100, "rebalance": "lpff"}, "--target-size is for --rebalance uniform"),
    ({"alpha": -0.01, **UNIFORM}, "--alpha -0.01 is out of range. It takes a number from 0 to 1"),
    ({"alpha": 1.01, **UNIFORM}, "--alpha 1.01 is out of range"),
    ({"alpha": 2, **UNIFORM}, "--alpha 2 is out of range"),
    ({"alpha": float("nan"), **UNIFORM}, "--alpha nan is out of range"),
    ({"alpha": float("inf"), **UNIFORM}, "--alpha inf is out of range"),
    ({"alpha": float("-inf"), **UNIFORM}, "--alpha -inf is out of range"),
    ({"alpha": True, **UNIFORM}, "--alpha True is out of range"),
    ({"alpha": "0.5", **UNIFORM}, "--alpha 0.5 is out of range"),
    ({"max_replicas": 0, **UNIFORM}, "--max-replicas 0 is out of range. It takes a whole number from 1 to 1000"),
    ({"max_replicas": 1001, **UNIFORM}, "--max-replicas 1001 is out of range"),
    ({"max_replicas": 2.0, **UNIFORM}, "--max-replicas 2.0 is out of range"),
    ({"max_replicas": True, **UNIFORM}, "--max-replicas True is out of range"),
    ({"target_size": 0, **UNIFORM}, "--target-size 0 is out of range. It takes a whole number from 1 to 1000000000"),
    ({"target_size": 10**9 + 1, **UNIFORM}, "--target-size 1000000001 is out of range"),
    ({"target_size": 1e6, **UNIFORM}, "--target-size 1000000.0 is out of range"),
    ({"license": ("CC-BY",)}, "--license 'CC-BY' is not known. Did you mean CC-BY-2.0? It is a short name such as"),
    ({"license": ("CC0-1.0", "MIT")}, "--license 'MIT' is not known"),
    ({"license": ("CC0-1.0,MIT",)}, "--license 'MIT' is not known"),
    ({"license": ("CC0-1.0,",)}, "--license '' is not known"),
    ({"license": ("",)}, "--license '' is not known"),
    ({"license": ("CC0\n1.0",)}, "--license 'CC0\\n1.0' is not known"),
    ({"splits": "val=1", **EG3D}, "--splits val=1 has no train split to rebalance. Name one of them train"),
    ({"splits": "trains=0.5,val=0.5", **UNIFORM}, "--splits trains=0.5,val=0.5 has no train split to rebalance"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardsError) as caught:
        MixOptions(**options)
    error = caught.value
    assert str(error).startswith(message)
    assert str(error).isprintable()
    assert error.exit_status == EXIT_BAD_INPUT
    assert error.message and error.hint and not error.message.endswith(".")


@pytest.mark.parametrize(
    "options",
    [
        {"rebalance": "lpff", "as_": "weights"},
        {"rebalance": "eg3d", "num_replicas": "n.json", "as_": "weights", "splits": "official"},
        {"rebalance": "uniform", "alpha": 0, "max_replicas": 1, "target_size": 1},
        {"rebalance": "uniform", "alpha": 1.0, "max_replicas": 1000, "target_size": 10**9},
        {"rebalance": "lpff", "splits": "val=0.5,train=0.5"},
        {"splits": "val=1", "exclude": "a b/c"},
        {"license": ("CC0-1.0", "unknown")},
    ],
)
def test_good_options_are_taken_and_frozen(options: dict[str, Any]) -> None:
    made = MixOptions(**options)
    for name, value in options.items():
        assert getattr(made, name) == value
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, value)


def test_defaults() -> None:
    assert dataclasses.asdict(MixOptions()) == {
        **{"rebalance": "none", "as_": "replicas", "num_replicas": None, "alpha": None, "max_replicas": None},
        **{"target_size": None, "license": (), "exclude": None, "splits": "train"},
    }
    assert MixOptions().fractions == (("train", Fraction(1)),)


def test_paths_are_kept_as_text() -> None:
    made = MixOptions(rebalance="eg3d", num_replicas=Path("a/n.json"), exclude=Path("b"))  # type: ignore[arg-type]
    assert (made.num_replicas, made.exclude) == ("a/n.json", "b")


# What sources and mix can not give together.

FFHQ, LPFF = {"ffhq": "F"}, {"lpff": "L"}
OFFICIAL = {"splits": "official"}
BY_FILE = {"rebalance": "eg3d", "num_replicas": "n.json"}
STYLEGAN = {"ffhq": "F", "alignment": "stylegan"}


def export(sources: dict[str, Any], mix: dict[str, Any]) -> ExportOptions:
    return ExportOptions(format="wds", out="x", sources=SourceOptions(**sources), mix=MixOptions(**mix))


UNMIXABLE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (LPFF, BY_FILE, "--num-replicas is for FFHQ's pictures only, not of lpff. Give --ffhq alone, or "),
    ({"demo": 3}, BY_FILE, "--num-replicas is for FFHQ's pictures only, not of demo. "),
    (FFHQ | LPFF, BY_FILE, "--num-replicas is for FFHQ's pictures only, not of lpff. "),
    (FFHQ | LPFF | {"unsplash_pexels": "U", "demo": 1}, BY_FILE,
     "--num-replicas is for FFHQ's pictures only, not of lpff, unsplash_pexels, demo. "),
    *((FFHQ, {"num_replicas": "n.json", **rule}, "--num-replicas is for --rebalance eg3d. Give both")
      for rule in ({}, {"rebalance": "lpff"}, UNIFORM)),
    (FFHQ, OFFICIAL, "--splits official is FFHQ's own. Give --ffhq and --ffhq-metadata"),
    (LPFF, OFFICIAL, "--splits official is FFHQ's own"),
    (FFHQ | LPFF | {"ffhq_cameras": "c"}, OFFICIAL, "--splits official is FFHQ's own"),
    *((STYLEGAN, {"rebalance": rule}, f"--rebalance {rule} needs the cameras of --ffhq, and its stylegan-aligned "
       "pictures have none. Give EG3D's dataset.json by --ffhq-cameras") for rule in ("lpff", "eg3d", "uniform")),
    (STYLEGAN, BY_FILE, "--rebalance eg3d needs the cameras of --ffhq"),
    (STYLEGAN | LPFF, {"rebalance": "lpff"}, "--rebalance lpff needs the cameras of --ffhq"),
]  # fmt: skip


@pytest.mark.parametrize(("sources", "mix", "message"), UNMIXABLE)
def test_what_the_sources_cannot_give_is_refused_in_one_line(
    sources: dict[str, Any], mix: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShardsError) as caught:
        export(sources, mix)
    assert str(caught.value).startswith(message)
    assert caught.value.hint and caught.value.exit_status == EXIT_BAD_INPUT


@pytest.mark.parametrize(
    ("sources", "mix"),
    [
        (FFHQ, BY_FILE),
        (FFHQ | {"ffhq_metadata": "m"}, OFFICIAL),
        (FFHQ | LPFF | {"ffhq_metadata": "m"}, OFFICIAL | {"rebalance": "lpff"}),
        (STYLEGAN | {"ffhq_cameras": "c"}, BY_FILE),
        (STYLEGAN | LPFF | {"ffhq_cameras": "c"}, {"rebalance": "lpff"}),
        (STYLEGAN, {}),
        (STYLEGAN, {"splits": "train=0.5,val=0.5", "license": ("unknown",)}),
        (LPFF | {"alignment": "stylegan"}, {"rebalance": "uniform"}),
        (LPFF | {"alignment": "raw"}, {"rebalance": "lpff"}),
    ],
)
def test_what_the_sources_can_give_is_taken(sources: dict[str, Any], mix: dict[str, Any]) -> None:
    assert export(sources, mix).mix == MixOptions(**mix)


# Names of data sets.

GIVEN: dict[str, Any] = {"ffhq": "F", "lpff": "L", "unsplash_pexels": "U", "demo": 3}
RULES = ("lpff", "eg3d", "uniform")
NAMES = [
    # sources, and the name with --rebalance lpff, eg3d and uniform
    ("ffhq", "ffhq_rebalanced_lpff", "ffhq_rebalanced_eg3d", "ffhq_rebalanced_uniform"),
    ("lpff", "lpff_rebalanced_lpff", "lpff_rebalanced_eg3d", "lpff_rebalanced_uniform"),
    ("ffhq_lpff", "ffhq_lpff_rebalanced", "ffhq_lpff_rebalanced_eg3d", "ffhq_lpff_rebalanced_uniform"),
    ("demo", "demo_rebalanced_lpff", "demo_rebalanced_eg3d", "demo_rebalanced_uniform"),
    (
        *("unsplash_pexels", "unsplash_pexels_rebalanced_lpff"),
        *("unsplash_pexels_rebalanced_eg3d", "unsplash_pexels_rebalanced_uniform"),
    ),
    ("ffhq_demo", "ffhq_demo_rebalanced_lpff", "ffhq_demo_rebalanced_eg3d", "ffhq_demo_rebalanced_uniform"),
    (
        *("ffhq_lpff_unsplash_pexels", "ffhq_lpff_unsplash_pexels_rebalanced_lpff"),
        *("ffhq_lpff_unsplash_pexels_rebalanced_eg3d", "ffhq_lpff_unsplash_pexels_rebalanced_uniform"),
    ),
]


def _sources(name: str) -> dict[str, Any]:
    return {source: value for source, value in GIVEN.items() if source in name}


@pytest.mark.parametrize(("plain", "lpff", "eg3d", "uniform"), NAMES)
def test_a_rebalanced_set_is_named_by_its_rule_but_where_it_is_published(
    plain: str, lpff: str, eg3d: str, uniform: str
) -> None:
    assert export(_sources(plain), {}).dataset_name == plain
    for rule, name in zip(RULES, (lpff, eg3d, uniform), strict=True):
        assert export(_sources(plain), {"rebalance": rule}).dataset_name == name
        weighted = export(_sources(plain), {"rebalance": rule, "as_": "weights"}).dataset_name
        assert weighted == name.replace("rebalanced", "weighted")


@pytest.mark.parametrize(
    "mix", [{"splits": "train=0.5,val=0.5"}, {"license": ("CC0-1.0",)}, {"exclude": "x.txt"}, BY_FILE]
)
def test_no_filter_or_split_or_file_changes_a_plain_name(mix: dict[str, Any]) -> None:
    assert export(FFHQ, mix).dataset_name == ("ffhq_rebalanced" if "rebalance" in mix else "ffhq")


BOTH = {"ffhq": "F", "lpff": "L", "ffhq_cameras": "C"}


@pytest.mark.parametrize(
    ("sources", "mix", "name"),
    [
        (BOTH, {"rebalance": "lpff"}, "ffhq_lpff_rebalanced"),
        (BOTH, {"rebalance": "lpff", "as_": "weights"}, "ffhq_lpff_weighted"),
        (BOTH, {"rebalance": "lpff", "exclude": "withdrawn.txt"}, "ffhq_lpff_rebalanced"),
        (BOTH | {"alignment": "stylegan"}, {"rebalance": "lpff"}, "ffhq_lpff_rebalanced"),
        (BOTH | {"mirror": True}, {"rebalance": "lpff"}, "ffhq_lpff_rebalanced"),
        (BOTH | {"mirror": False}, {"rebalance": "lpff"}, "ffhq_lpff_rebalanced_lpff"),
        (BOTH | {"alignment": "stylegan", "mirror": True}, {"rebalance": "lpff"}, "ffhq_lpff_rebalanced_lpff"),
        (BOTH, {"rebalance": "lpff", "license": ("CC0-1.0",)}, "ffhq_lpff_rebalanced_lpff"),
        (BOTH, {"rebalance": "lpff", "splits": "train=0.5,val=0.5"}, "ffhq_lpff_rebalanced_lpff"),
        (FFHQ, {"rebalance": "eg3d"}, "ffhq_rebalanced_eg3d"),
        (FFHQ, BY_FILE, "ffhq_rebalanced"),
        (FFHQ | {"alignment": "stylegan", "ffhq_cameras": "C"}, BY_FILE, "ffhq_rebalanced_eg3d"),
    ],
)
def test_a_published_name_is_the_published_set_s(sources: dict[str, Any], mix: dict[str, Any], name: str) -> None:
    assert export(sources, mix).dataset_name == name


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_a_name_that_is_given_stays(alignment: str) -> None:
    sources = SourceOptions(lpff="L", alignment=alignment)  # type: ignore[arg-type]
    options = ExportOptions(format="wds", out="x", name="mine", sources=sources, mix=MixOptions(rebalance="lpff"))
    assert options.dataset_name == "mine"


# Fractions.


def fractions(spec: str) -> tuple[tuple[str, Fraction], ...]:
    return MixOptions(splits=spec).fractions


@pytest.mark.parametrize(
    ("spec", "shares"),
    [
        ("train", {"train": 1}),
        ("train=1", {"train": 1}),
        ("train=1.0", {"train": 1}),
        ("a=1", {"a": 1}),
        ("train=0.96,val=0.02,test=0.02", {"train": "24/25", "val": "1/50", "test": "1/50"}),
        ("train=.5,val=0.5", {"train": "1/2", "val": "1/2"}),
        ("val=.9,train=.1", {"val": "9/10", "train": "1/10"}),
        ("a=0.1,b=0.2,c=0.7", {"a": "1/10", "b": "1/5", "c": "7/10"}),
        ("a=0.7,b=0.2,c=0.1", {"a": "7/10", "b": "1/5", "c": "1/10"}),
        (" train=0.5 , val=0.5 ", {"train": "1/2", "val": "1/2"}),
        ("train=0.999999999999999999999,val=0.000000000000000000001",
         {"train": 1 - Fraction(1, 10**21), "val": Fraction(1, 10**21)}),
        ("a0z9=0.25,official=0.75", {"a0z9": "1/4", "official": "3/4"}),
        (f"{'n' * 20}=1", {"n" * 20: 1}),
    ],
)  # fmt: skip
def test_fractions_are_exact_and_in_order(spec: str, shares: dict[str, str | int | Fraction]) -> None:
    assert fractions(spec) == tuple((name, Fraction(share)) for name, share in shares.items())


def test_official_has_no_fractions() -> None:
    assert fractions("official") == ()


HINT = "It is train, official, or fractions such as train=0.96,val=0.02,test=0.02"


@pytest.mark.parametrize(
    "spec",
    ["", " ", ",", "val", "Train", "train=", "=1", "train=1,", ",train=1", "train=0.5,,val=0.5", "train=0.5;val=0.5",
     "train=0.5 val=0.5", "train = 1", "train=1.", "train=.", "train=-1", "train=+1", "train=1e0", "train=1/1",
     "train=50%,val=50%", "train=0,5,val=0,5", "train=nan", "train=inf", "train=1_0", "train=١", "train=0.5,Val=0.5",
     "train=0.5,1st=0.5", "train=0.5,my_val=0.5", "train=0.5,my-val=0.5", "train=0.5,../val=0.5", "train=0.5,é=0.5",
     f"{'n' * 21}=1", "train,val", "official,train=1", "train:0.5,val:0.5"],
)  # fmt: skip
def test_a_spec_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(ShardsError) as caught:
        fractions(spec)
    assert str(caught.value) == f"--splits {spec!r} is not understood. {HINT}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("train=0.96,val=0.02", f"--splits train=0.96,val=0.02 adds up to 0.98, not 1. {HINT}"),
        ("train=0.9,val=0.2", f"--splits train=0.9,val=0.2 adds up to 1.1, not 1. {HINT}"),
        ("train=96,val=4", f"--splits train=96,val=4 adds up to 100, not 1. {HINT}"),
        ("train=0.5", f"--splits train=0.5 adds up to 0.5, not 1. {HINT}"),
        ("a=0.333,b=0.333,c=0.333", f"--splits a=0.333,b=0.333,c=0.333 adds up to 0.999, not 1. {HINT}"),
        ("train=0.5,train=0.5", f"--splits train=0.5,train=0.5 names a split twice. {HINT}"),
        ("train=0.5,val=0.2,train=0.3", f"--splits train=0.5,val=0.2,train=0.3 names a split twice. {HINT}"),
        ("train=1,val=0", "--splits train=1,val=0 has an empty split. Leave it out"),
        ("train=1,val=0.000", "--splits train=1,val=0.000 has an empty split. Leave it out"),
        ("train=.0", "--splits train=.0 has an empty split. Leave it out"),
    ],
)
def test_fractions_that_are_no_parts_of_a_whole_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ShardsError) as caught:
        fractions(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize("rule", ["lpff", "eg3d", "uniform"])
@pytest.mark.parametrize("spec", ["train=0.5", "nonsense", "train=1,train=1", "train=1,val=0"])
def test_with_rebalancing_bad_fractions_are_refused_at_once(rule: str, spec: str) -> None:
    with pytest.raises(ShardsError, match="--splits"):
        MixOptions(rebalance=rule, splits=spec)  # type: ignore[arg-type]


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(1, 18).flatmap(lambda digits: st.tuples(
    st.just(digits), st.lists(st.integers(1, 10**digits - 1), max_size=6, unique=True))))  # fmt: skip
def test_any_decimals_that_add_up_to_one_are_taken_and_no_others(drawn: tuple[int, list[int]]) -> None:
    digits, cuts = drawn
    edges = [0, *sorted(cuts), 10**digits]
    parts = [high - low for low, high in pairwise(edges)]
    texts = [f"{part // 10**digits}.{part % 10**digits:0{digits}d}" for part in parts]
    spec = ",".join(f"s{n}={text}" for n, text in enumerate(texts))
    assert fractions(spec) == tuple((f"s{n}", Fraction(part, 10**digits)) for n, part in enumerate(parts))
    with pytest.raises(ShardsError, match="adds up to"):
        fractions(f"{spec}1")


# Licenses.


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ((), ()),
        (("CC-BY-2.0",), ("CC-BY-2.0",)),
        (("cc-by-nc-sa-4.0",), ("CC-BY-NC-SA-4.0",)),
        (("PDM-1.0,CC0-1.0",), ("CC0-1.0", "PDM-1.0")),
        (("pdm-1.0", "cc0-1.0"), ("CC0-1.0", "PDM-1.0")),
        (("us-gov-works", "UNSPLASH", "pexels", "Unknown"), ("Pexels", "US-Gov-Works", "Unsplash", "unknown")),
        (("CC0-1.0", "cc0-1.0,CC0-1.0"), ("CC0-1.0",)),
        ((" CC0-1.0 ,\tPDM-1.0",), ("CC0-1.0", "PDM-1.0")),
        (["CC0-1.0"], ("CC0-1.0",)),
        ("cc0-1.0,pdm-1.0", ("CC0-1.0", "PDM-1.0")),
    ],
)
def test_licenses_are_kept_by_their_usual_spelling_sorted_each_once(given_: Any, names: tuple[str, ...]) -> None:
    assert MixOptions(license=given_).license == names


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        *((name, name) for name in ("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0", "CC-BY-ND-2.0", "CC-BY-NC-ND-3.0")),
        *((name, name) for name in ("CC0-1.0", "PDM-1.0", "US-Gov-Works", "Unsplash", "Pexels", "unknown")),
        ("cC-bY-2.0", "CC-BY-2.0"),
        ("PEXELS", "Pexels"),
        *((name, None) for name in ("", "CC", "CC-BY", "CC-BY-2", "CC-BY-2.0.", "CC-BY-SA-NC-2.0", "CC-BY-ND-SA-2.0")),
        *((name, None) for name in ("CC-BY-٢.٠", "CC-BY-2.0\n", "xCC-BY-2.0", "CC0", "CC0-2.0", "PDM", "all", "none")),
    ],
)
def test_canonical(name: str, usual: str | None) -> None:
    assert canonical(name) == usual


@pytest.mark.parametrize("module", ["lpff_shards.options.mix", "lpff_shards.options.export"])
def test_options_import_nothing_heavy(module: str) -> None:
    heavy = {"numpy", "PIL", "msgspec", "msgpack", "blake3", "google_crc32c", "click"}
    script = f"import sys, {module}; print({heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("garbage", "--splits 'garbage' is not understood"),
        (None, "--splits None is not text"),
        (",".join(f"s{n}=0.005" for n in range(200)), "--splits has 200 parts; at most 20 are taken"),
        (f"train=0.{'9' * 5000}", f"--splits 'train=0.{'9' * 52}...' is not understood"),
        ("9" * 400, f"--splits '{'9' * 60}...' is not understood"),
        ("train=0.9999999,val=0.00000001", "adds up to 0.99999991, not 1"),
    ],
)
def test_splits_are_looked_at_when_options_are_made(spec: str, message: str) -> None:
    with pytest.raises(ShardsError) as caught:
        MixOptions(splits=spec)
    assert message in str(caught.value)
