"""`--rebalance back-repeat:N` and `degree-table:FILE`: copies by yaw alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import picture
from hypothesis import given
from hypothesis import strategies as st

from lpff_shards import MixOptions, ShardsError, SourceOptions, compare_rules, export, plan_export
from lpff_shards.options.export import ExportOptions
from lpff_shards.planning.rebalance import degree_replicas
from lpff_shards.sources.demo import look_at

YAWS = (0.0, 45.4, 89.9, 90.1, 135.6, -120.0, 180.0)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Pictures whose ids are their yaws in degrees."""
    root = tmp_path / "heads"
    root.mkdir()
    for yaw in YAWS:
        (root / f"{yaw}.png").write_bytes(picture(str(yaw)))
    cameras = {f"{yaw}": look_at(np.radians(yaw), 0.1).tolist() for yaw in YAWS}
    (root / "cameras.json").write_text(json.dumps(cameras))
    return root


def counts(heads: Path, rule: str, **more: Any) -> dict[float, int]:
    """How often each yaw is in the plan, mirrors aside."""
    options = ExportOptions(
        format="wds", out=str(heads.parent / "out"), mix=MixOptions(rebalance=rule, **more),
        sources=SourceOptions(dataset=(f"heads={heads}",)),
    )  # fmt: skip
    plan = plan_export(options)
    found = dict.fromkeys(YAWS, 0)
    for entry in (entry for number in range(len(plan)) for entry in plan.task(number).entries):
        found[float(entry.record.id)] += not entry.flip
    return found


def test_pictures_from_behind_repeat(heads: Path) -> None:
    assert counts(heads, "back-repeat:4") == {yaw: 4 if abs(yaw) > 90 else 1 for yaw in YAWS}
    assert set(counts(heads, "back-repeat:1").values()) == {1}


def test_a_table_of_both_sides(heads: Path) -> None:
    table = heads.parent / "table.json"
    table.write_text(json.dumps({str(degree): 1 + degree // 45 for degree in range(181)}))
    expected = {yaw: 1 + round(abs(yaw)) // 45 for yaw in YAWS}
    assert counts(heads, f"degree-table:{table}") == expected


def test_a_table_of_signed_degrees_and_a_degree_it_lacks(heads: Path) -> None:
    table = heads.parent / "table.json"
    table.write_text(json.dumps({str(degree): 3 if degree < 0 else 1 for degree in range(-180, 181)}))
    # A mirror has the other sign, and its own count.
    assert counts(heads, f"degree-table:{table}") == {yaw: 3 if yaw < 0 else 1 for yaw in YAWS}
    table.write_text(json.dumps({"0": 1, "45": 2}))
    with pytest.raises(ShardsError, match=r"--rebalance degree-table lacks -120 degrees, the yaw of 1 picture\b"):
        counts(heads, f"degree-table:{table}")


@given(st.lists(st.floats(-180, 180), min_size=1), st.lists(st.integers(1, 9), min_size=361, max_size=361))
def test_the_nearest_degree_counts(yaws: list[float], table: list[int]) -> None:
    found = degree_replicas(np.radians(yaws), np.array(table))
    for yaw, count in zip(yaws, found.tolist(), strict=True):
        near = {table[180 + degree] for degree in range(-180, 181) if abs(degree - yaw) <= 0.5 + 1e-9}
        assert count in near


BAD = {
    "[]": "does not contain copies by whole degree of yaw",
    '{"a": 1}': "'a' is no whole degree from -180 to 180",
    '{"181": 1}': "'181' is no whole degree",
    '{"1.5": 1}': "'1.5' is no whole degree",
    '{"1": 0}': "degree 1 has 0 copies, not 1 to 1000",
    '{"1": "x"}': "degree 1: its record cannot be read",
    '{"1": 1, "1": 2}': "degree 1: the id is in the file twice",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_table_is_named(heads: Path, text: str) -> None:
    table = heads.parent / "table.json"
    table.write_text(text)
    with pytest.raises(ShardsError, match=BAD[text]) as raised:
        counts(heads, f"degree-table:{table}")
    assert "table.json" in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "message"),
    {
        "back-repeat": "has no number", "back-repeat:": "has no number", "back-repeat:x": "has no number",
        "back-repeat:0": "0 is out of range", "back-repeat:1001": "1001 is out of range",
        "degree-table": "has no file", "degree-table:": "has no file", "degree-table: ": "is empty",
        "eg3d:2": "is not known", "backrepeat:2": "Did you mean back-repeat:N", "unifrom": "Did you mean uniform",
    }.items(),
)  # fmt: skip
def test_a_wrong_rule_is_refused(rule: str, message: str) -> None:
    with pytest.raises(ShardsError, match=message):
        MixOptions(rebalance=rule)


def test_what_is_recorded_and_named(heads: Path) -> None:
    table = heads.parent / "table.json"
    table.write_text(json.dumps({str(degree): 1 + (degree > 90) for degree in range(181)}))
    sources = SourceOptions(dataset=(f"heads={heads}",), license_of=("heads=CC0-1.0",))
    for rule, name in (("back-repeat:2", "back_repeat_2"), (f"degree-table:{table}", "degree_table")):
        out = heads.parent / name
        mix = MixOptions(rebalance=rule)
        options = ExportOptions(format="wds", out=str(out), sources=sources, mix=mix)
        manifest = export(options)
        assert manifest.name == f"heads_rebalanced_{name}"
        card = (out / "README.md").read_text()
        assert f"--rebalance {manifest.options['rebalance']}" in card and str(heads.parent) not in card
        balances = compare_rules(plan_export(options), options)
        assert balances is not None
        assert balances.chosen.rule == rule and balances.chosen.samples == manifest.samples and len(balances.rules) == 5


def test_weights_in_place_of_copies(heads: Path) -> None:
    assert set(counts(heads, "back-repeat:4", as_="weights").values()) == {1}
