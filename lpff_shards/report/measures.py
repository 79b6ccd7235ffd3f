"""How even the training poses are, before and after rebalancing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpff_shards.planning.poses import entropy
from lpff_shards.report.evenness import LARGE_YAW, Counts, Floats, pose_bins
from lpff_shards.report.facts import Facts


@dataclass(frozen=True, slots=True)
class Spread:
    """How training samples spread over the poses.

    Attributes:
        count: samples, or pictures, or the sum of their weights.
        effective: Kish's effective sample size, of the pictures by how often they count.
        entropy: bits, over bins of 10 degrees of yaw by 10 of pitch, of samples with known cameras.
        large: share of these whose yaw is beyond `LARGE_YAW`.
    """

    count: float
    effective: float
    entropy: float
    large: float


def effective_size(replica: Counts, counted: Floats) -> float:
    """Kish's effective number of pictures, (sum c)^2 / sum c^2, where c is how often a picture counts in all.

    Args:
        replica: of each sample, numbered from 0 within its picture; counted: how often the sample itself counts.

    A picture of c copies has replicas 0 to c - 1, whose 2 * replica + 1 add up to c^2.
    """
    total = float((np.square(counted) * (2 * replica + 1)).sum())
    return float(counted.sum()) ** 2 / total if total else 0.0


def after(facts: Facts) -> Spread:
    """The training samples as they count."""
    train = facts.training
    counted = facts.counted[train]
    seen = train & facts.has_camera
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    return _spread(counted.sum(), effective_size(facts.replica[train], counted), yaw, pitch, facts.counted[seen])


def before(facts: Facts) -> Spread | None:
    """The training pictures before rebalancing; None where not known.

    Their poses are rounded to whole degrees only where some of them are not in the data set, such as undrawn ones.
    """
    if facts.pool is None:
        return None
    pool, pictures = facts.pool, facts.pool.pictures.astype(np.float64)
    total = float(pictures.sum())
    first = facts.training & (facts.replica == 0)
    seen = first & facts.has_camera
    if np.count_nonzero(seen) == total:
        yaw, pitch = (angles[seen] for angles in facts.degrees)
        every = float(np.count_nonzero(first))
        return _spread(every, every, yaw, pitch, np.ones(len(yaw)))
    return _spread(total, total, pool.yaw.astype(np.float64), pool.pitch.astype(np.float64), pictures)


def _spread(count: float, effective: float, yaw: Floats, pitch: Floats, counted: Floats) -> Spread:
    total = float(counted.sum())
    if not total:
        return Spread(float(count), effective, 0.0, 0.0)
    large = float(counted[np.abs(yaw) > LARGE_YAW].sum()) / total
    return Spread(float(count), effective, entropy(pose_bins(yaw, pitch), counted), large)
