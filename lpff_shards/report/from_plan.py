"""The facts of a plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lpff_shards._version import __version__
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rule_comparison import Balances
from lpff_shards.report.facts import Facts, Labels, Losses, Pictures, ShardFact
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.sidecars.sample_index.pose_histogram import count_poses
from lpff_shards.sources.inventory import Inventory


def plan_facts(plan: Plan, balances: Balances | None) -> Facts:
    """What a report tells of a plan.

    Args:
        balances: the rules of rebalancing side by side, see `api.compare_rules`.
    """
    entries = plan.entries
    centers, known = entries.centers()
    poses = np.where(known[:, None], yaw_pitch(centers), 0.0).astype(np.float32)
    sizes = np.array([_size(plan, inventory) for inventory in plan.inventories], np.int64).reshape(-1, 2)
    return Facts(
        name=plan.name,
        format=plan.settings.format,
        generator=f"lpff-shards {__version__}",
        plan=plan.digest,
        planned=True,
        options=plan.options,
        dataset=Labels(entries.source.astype(np.int32), tuple(i.source for i in plan.inventories)),
        split=Labels(entries.split.astype(np.int32), entries.splits),
        license=_licenses(entries),
        yaw=poses[:, 0],
        pitch=poses[:, 1],
        has_camera=known,
        mirrored=entries.mirrored(),
        replica=entries.replica.astype(np.int64),
        copies=(plan.lists[0].times if plan.lists else np.ones(len(entries))).astype(np.int64),
        weight=entries.weight,
        width=sizes[entries.source, 0],
        height=sizes[entries.source, 1],
        bytes=plan.sizes,
        shard=np.repeat(np.arange(len(plan.outputs)), [len(plan.rows(output.tasks)) for output in plan.outputs]).astype(
            np.int64
        ),
        shards=tuple(_shards(plan)),
        pool=_pool(plan.mix),
        losses=Losses(plan.samples, 0, 0, len(plan.problems), plan.mix.filtered, plan.problems, plan.tombstones),
        notes=plan.notes,
        balances=balances,
    )


def _size(plan: Plan, inventory: Inventory) -> tuple[int, int]:
    """Width and height that pictures of a source will have, by its first one."""
    side = plan.settings.picture.resolution or plan.settings.side
    return (side, side) if side else inventory.typical_size


def _shards(plan: Plan) -> Sequence[ShardFact]:
    rows = [plan.rows(output.tasks) for output in plan.outputs]
    return [
        ShardFact(output.file, output.split, len(own), int(plan.sizes[own.start : own.stop].sum()))
        for output, own in zip(plan.outputs, rows, strict=True)
    ]


def _licenses(entries: Entries) -> Labels:
    numbers: dict[str, int] = {}
    columns = [
        np.array(
            [numbers.setdefault(credit.license.short or UNKNOWN_LICENSE, len(numbers)) for credit in inventory.credits],
            np.int32,
        )
        for inventory in entries.inventories
    ]
    return Labels(entries.gather(columns), tuple(numbers))


def _pool(mix: Mix) -> Pictures:
    """The training pictures that are written, before any is copied or left undrawn."""
    entries = mix.pool.entries.take(mix.pool.written)
    centers, known = entries.centers()
    found = count_poses(
        tuple(inventory.source for inventory in entries.inventories),
        entries.source[known].astype(np.int64),
        yaw_pitch(centers[known]),
    )
    return Pictures(Labels(found.dataset, found.datasets), found.yaw, found.pitch, found.pictures)
