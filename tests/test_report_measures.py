"""The arithmetic of reports: effective sizes, entropies, the choice of the contact sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reporting import facts, pool

from lpff_shards.planning import rebalance as rules
from lpff_shards.report import contact_sheet as sheets
from lpff_shards.report.facts import after, before, effective_size

SOME = st.integers(0, 2**31)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), SOME)
def test_the_effective_size_of_copies_is_that_of_their_numbers(copies: list[int], seed: int) -> None:
    replica = np.concatenate([np.arange(times) for times in copies])
    np.random.default_rng(seed).shuffle(replica)
    expected = rules.effective_size(np.array(copies, np.float64))
    assert effective_size(replica, np.ones(len(replica))) == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=60))
def test_the_effective_size_of_weights_is_kish_s(weights: list[float]) -> None:
    counted = np.array(weights)
    assert effective_size(np.zeros(len(weights), np.int64), counted) == pytest.approx(rules.effective_size(counted))


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
