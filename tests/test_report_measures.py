"""The arithmetic of reports: effective sizes, entropies, the evenness of shards, the choice of the contact sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reporting import facts, pool

from lpff_shards.planning import poses
from lpff_shards.report import sheet as sheets
from lpff_shards.report.evenness import divergence, pose_bins
from lpff_shards.report.facts import Labels, ShardFact
from lpff_shards.report.measures import after, before, effective_size
from lpff_shards.report.tables import uneven_shards
from lpff_shards.schemas.camera import yaw_pitch

SOME = st.integers(0, 2**31)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), SOME)
def test_the_effective_size_of_copies_is_that_of_their_numbers(copies: list[int], seed: int) -> None:
    replica = np.concatenate([np.arange(times) for times in copies])
    np.random.default_rng(seed).shuffle(replica)
    expected = poses.effective_size(np.array(copies, np.float64))
    assert effective_size(replica, np.ones(len(replica))) == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=60))
def test_the_effective_size_of_weights_is_kish_s(weights: list[float]) -> None:
    counted = np.array(weights)
    assert effective_size(np.zeros(len(weights), np.int64), counted) == pytest.approx(poses.effective_size(counted))


def test_pose_bins_part_poses_as_those_of_the_plan_do() -> None:
    draw = np.random.default_rng(0)
    centers = draw.normal(size=(500, 3))
    yaw, pitch = np.degrees(yaw_pitch(centers)).T
    ours, plans = pose_bins(yaw, pitch), poses.pose_bins(centers)
    assert len(np.unique(ours)) == len(np.unique(plans)) == len(np.unique(np.stack([ours, plans]), axis=1).T)


def test_before_and_after_of_a_set_that_is_not_rebalanced_agree() -> None:
    made = facts(400, replica=np.zeros(400, np.int64), yaw=np.radians(np.arange(400) % 120 - 60.0).astype(np.float32))
    made = replace(made, pitch=np.radians(np.arange(400) % 7 * 5.0 + 1).astype(np.float32))
    earlier = before(replace(made, pool=pool(made)))
    now = after(made)
    assert earlier == now
    assert now.count == now.effective == 400


def test_before_counts_pictures_without_cameras_as_after_does() -> None:
    made = facts(400, replica=np.zeros(400, np.int64), has_camera=np.arange(400) % 10 > 0)
    earlier = before(replace(made, pool=pool(made)))
    assert earlier == after(made)
    assert earlier is not None and earlier.count == 400


def test_before_is_of_whole_degrees_where_pictures_are_undrawn() -> None:
    made = facts(4000, replica=np.zeros(4000, np.int64))
    drawn = facts(40, replica=np.zeros(40, np.int64))
    earlier = before(replace(drawn, pool=pool(made)))
    assert earlier is not None and earlier.count == 4000
    assert earlier.entropy == pytest.approx(after(made).entropy, abs=0.1)
    assert earlier.large == pytest.approx(after(made).large, abs=0.02)


def test_large_poses_are_those_beyond_45_degrees_either_way() -> None:
    made = facts(4, yaw=np.radians([-46, -44, 44, 46]).astype(np.float32), replica=np.zeros(4, np.int64))
    assert after(made).large == 0.5


@given(st.integers(1, 6), st.integers(1, 20), SOME)
def test_divergence_is_symmetric_and_from_0_to_1(rows: int, bins: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    p, q = draw.dirichlet(np.full(bins, 0.2), (2, rows))
    found = divergence(p, q)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, divergence(q, p), atol=1e-12)
    np.testing.assert_array_equal(divergence(p, p), 0)


def test_divergence_of_disjoint_mixes_is_1_bit() -> None:
    assert divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == pytest.approx([1.0])


def test_shards_that_are_dealt_at_random_are_as_even_as_chance_has_it() -> None:
    found = facts(8000, shards=16).evenness
    assert len(found.shards) == 16
    assert found.divergence.mean() == pytest.approx(found.chance.mean(), rel=0.1)
    assert len(set(found.chance.tolist())) == 1


def test_a_shard_of_one_pose_stands_out() -> None:
    made = facts(4000, shards=8)
    yaw = np.where(made.shard == 5, np.float32(np.radians(70)), made.yaw)
    found = replace(made, yaw=yaw.astype(np.float32)).evenness
    assert int(found.shards[np.argmax(found.divergence)]) == 5
    assert found.divergence[5] > 5 * found.chance[5]
    assert found.large[5] == 1.0
    assert found.whole[5] < 0.6


def test_only_shards_that_chance_does_not_explain_are_named() -> None:
    made = facts(4000, shards=8)
    assert uneven_shards(made) is None
    yaw = np.where(made.shard == 5, np.float32(np.radians(70)), made.yaw)
    table = uneven_shards(replace(made, yaw=yaw.astype(np.float32)))
    assert table is not None
    assert table.rows[0][0].text == made.shards[5].file


def test_shards_are_compared_with_their_own_split() -> None:
    """Splits of different poses do not make their shards uneven; a split of one shard has nothing to compare."""
    made = facts(3000, shards=5)
    names = ("train", "train", "val", "val", "test")
    shards = tuple(ShardFact(f"{i}", name, 600, 1) for i, name in enumerate(names))
    split = Labels(np.array([0, 0, 1, 1, 2], np.int32)[made.shard], ("train", "val", "test"))
    yaw = np.where(made.shard < 2, np.abs(made.yaw), -np.abs(made.yaw))
    found = replace(made, shards=shards, split=split, yaw=yaw).evenness
    assert found.shards.tolist() == [0, 1, 2, 3]
    assert (found.divergence < 3 * found.chance).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), SOME, st.floats(1, 180), st.floats(1, 90))
def test_the_sheet_shows_of_each_cell_the_sample_nearest_to_its_middle(
    n: int, seed: int, wide: float, high: float
) -> None:
    draw = np.random.default_rng(seed)
    yaw, pitch = draw.uniform(-wide, wide, n), draw.uniform(-high, high, n)
    seen = draw.random(n) < 0.8
    seen[0] = True
    made = facts(n, yaw=np.radians(yaw).astype("f4"), pitch=np.radians(pitch).astype("f4"), has_camera=seen)
    found = sheets.sheet(made)
    assert len(found.cells) <= sheets.MOST
    across, down = np.rint(made.degrees[0] / found.step), np.rint(-made.degrees[1] / found.step)
    off = np.hypot(made.degrees[0] - across * found.step, made.degrees[1] + down * found.step)
    assert len({(cell.across, cell.down) for cell in found.cells}) == len(found.cells)
    assert len(found.cells) == len({*zip(across[seen].tolist(), down[seen].tolist(), strict=True)})
    for cell in found.cells:
        here = seen & (across == across[cell.row]) & (down == down[cell.row])
        assert cell.row == np.flatnonzero(here)[np.argmin(off[here])]
        assert found.yaws[cell.across] == across[cell.row] * found.step
        assert found.pitches[cell.down] == -down[cell.row] * found.step
    assert list(found.yaws) == sorted(found.yaws)
    assert list(found.pitches) == sorted(found.pitches, reverse=True)


def test_a_sheet_without_cameras_shows_samples_of_all_shards_in_order() -> None:
    found = sheets.sheet(facts(1000, has_camera=np.zeros(1000, np.bool_)))
    rows = [cell.row for cell in found.cells]
    assert (found.step, len(rows)) == (0, sheets.WITHOUT_CAMERAS)
    assert rows == sorted(set(rows)) and rows[0] == 0 and rows[-1] > 950
