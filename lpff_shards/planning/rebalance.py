"""Poses and rebalancing: how often each training picture counts by each rule, and a comparison of all rules."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, REBALANCE, TRAIN, MixOptions
from lpff_shards.planning.density import density as kernel_density
from lpff_shards.planning.entries import Entries
from lpff_shards.schemas.camera import centers, yaw_pitch
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.text import format_count
from lpff_shards.sources.inventory import Inventory

Numbers = NDArray[np.float64]

RAREST, RARE = 0.02, 0.03
COMMON = 0.24
LPFF_THRESHOLDS = (RAREST, RARE, COMMON / 3.5, COMMON / 2.5, COMMON / 1.5)
"""Densities at which the result of `lpff_replicas` changes."""
ARCS = 9
PRECISION = 17
UNIT = 2**20


def angles(centers: Numbers) -> Numbers:
    """Return theta = atan2(hypot(y, z), x) and phi = atan2(z, y) in radians, [n, 3] to [n, 2].

    LPFF's rebalancing script uses y / cos(phi) for hypot(y, z): equal except at y = 0.
    """
    x, y, z = centers.T
    return np.stack([np.arctan2(np.hypot(y, z), x), np.arctan2(z, y)], axis=1)


def angle_bins(degrees: Numbers) -> NDArray[np.int64]:
    """Return the bin of each yaw and pitch in degrees, [n, 2], 10 degrees by 10: int64 [n], in rows of equal yaw."""
    rows: NDArray[np.int64] = np.floor(degrees / 10).astype(np.int64) @ np.array([36, 1])
    return rows


def entropy(bins: NDArray[np.int64], weights: Numbers) -> float:
    """Return the entropy in bits of the weights' distribution over bins; log2 of the number of bins if it is flat."""
    _, place = np.unique(bins, return_inverse=True)
    share = np.bincount(place.reshape(-1), weights)
    share = share[share > 0] / share.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def effective_size(weights: Numbers) -> float:
    """Return Kish's effective sample size, (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0


def lpff_replicas(density: Numbers) -> Numbers:
    """Apply LPFF's rule to densities per square radian of (theta, phi), float64 [n].

    6 below a density of 0.02, else 5 below 0.03, else 0.24 / density, half to even, 1 to 4.
    """
    few = np.clip(np.round(COMMON / density), 1, 4)
    return np.where(density < RAREST, 6.0, np.where(density < RARE, 5.0, few))


def arc_replicas(yaw: Numbers, low: float, high: float) -> Numbers:
    """Apply EG3D's rule: nine equal arcs from smallest to largest yaw; k arcs from the middle count 2^k, 1 to 16.

    Args:
        yaw: float64 [n], radians; low, high: of the whole set; a ShardsError if they are equal.
    """
    if not high > low:
        raise ShardsError("all cameras have one yaw, which makes no arcs", "Use --rebalance none, or add other poses")
    arc = np.clip(np.floor((yaw - low) / (high - low) * ARCS), 0, ARCS - 1)
    counts: Numbers = 2.0 ** np.abs(arc - ARCS // 2)
    return counts


def degree_replicas(yaw: Numbers, degrees: NDArray[np.int64]) -> Numbers:
    """Return the copies of the nearest whole degree, float64 [n], of yaws in radians; see `TrainingPool.degrees`.

    Raises:
        ShardsError: the table lacks a degree.
    """
    nearest = np.rint(np.degrees(yaw)).astype(np.int64)
    counts = degrees[nearest + 180].astype(np.float64)
    if lacking := nearest[counts == 0].tolist():
        count = format_count(lacking.count(lacking[0]), "picture")
        message = f"--rebalance degree-table lacks {lacking[0]} degrees, the yaw of {count}"
        raise ShardsError(message, "Give a number of copies, 1 or more, for every degree of the pictures")
    return counts


def uniform_weights(density: Numbers, alpha: float, cap: int, target: int | None) -> Numbers:
    """Return weights proportional to density^-alpha, none above the cap: float64 [n], multiples of `1 / UNIT`.

    Args:
        density: float64 [n]; zero if unknown, which counts as the largest.
        target: their exact sum; None gives the picture of the largest density a weight of one.

    Raises:
        ShardsError: the target is larger than the cap times the number of pictures.
    """
    largest = density.max(initial=0.0)
    # If no density is known, largest is zero, and all weights are one.
    raw = rounded(np.divide(largest, density, out=np.ones(len(density)), where=density > 0) ** alpha)
    if target is None:
        return np.minimum(raw, float(cap))
    if target > cap * len(raw):
        raise ShardsError(
            f"--target-size {target} is more than {len(raw)} pictures of {cap} replicas each make",
            "Give a smaller target, or raise --max-replicas",
        )
    # The scale with which min(scale * raw, cap) sums to the target, by the number of weights that reach the cap: the
    # fewest. The smallest weight, 1, never has to: the target is at most cap * len(raw).
    ascending = np.sort(raw)
    scales = (target - cap * np.arange(len(raw) - 1, -1, -1)) / np.cumsum(ascending)
    scale = float(scales[np.flatnonzero(scales * ascending <= cap)[-1]])
    units = np.minimum(np.round(raw * scale * UNIT), cap * UNIT).astype(np.int64)
    while lack := target * UNIT - int(units.sum()):
        able = np.flatnonzero(units < cap * UNIT if lack > 0 else units > 0)[: abs(lack)]
        units[able] += 1 if lack > 0 else -1
    return units / UNIT


def whole(weights: Numbers, seed: int) -> NDArray[np.int64]:
    """Round weights, multiples of `1 / UNIT`, to whole numbers of copies by systematic sampling: int64 [n].

    Each weight is rounded down or up, a whole one is kept, any run of neighbors (of similar poses) sums to its weights'
    sum within one, and over seeds a picture's mean number of copies is its weight.
    """
    start = int.from_bytes(hashlib.blake2b(b"copies", digest_size=4, key=seed.to_bytes(8, "little")).digest(), "little")
    ends = (np.cumsum((weights * UNIT).astype(np.int64)) + start % UNIT) // UNIT
    return np.diff(ends, prepend=0)


def rounded(values: Numbers) -> Numbers:
    """Round values to 17 binary digits: equal in float32, and on all machines, whose last digits differ."""
    mantissa, exponent = np.frexp(values)
    short: Numbers = np.ldexp(np.round(np.ldexp(mantissa, PRECISION)), exponent - PRECISION)
    return short


@dataclass(frozen=True, eq=False)
class TrainingPool:
    """The input of the rules: all training pictures with their mirrors, each once.

    Attributes:
        written: bool [n], entries that are written; mirrors need not be.
        num_replicas: int64, replicas by index in EG3D's FFHQ, or None.
        degrees: int64 [361], copies by whole degree of yaw from -180 to 180, 0 where unknown; or None.
    """

    entries: Entries
    written: NDArray[np.bool_]
    num_replicas: NDArray[np.int64] | None = None
    degrees: NDArray[np.int64] | None = None

    @cached_property
    def cameras(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Centers of the cameras, float64 [n, 3], and whether they are known."""
        return self.entries.centers()

    @cached_property
    def density(self) -> NDArray[np.float64]:
        """Pose densities, float64 [n], 0 if the camera is unknown; see `density.density` for its errors."""
        positions, known = self.cameras
        # Anonymous cameras contribute too.
        others = [centers(inventory.anonymous_cameras) for inventory in self.entries.inventories]
        every = np.concatenate([positions[known], *others])
        found = np.zeros(len(known))
        found[known] = kernel_density(angles(every), LPFF_THRESHOLDS)[: int(known.sum())]
        return found

    @cached_property
    def bins(self) -> NDArray[np.int64]:
        """Pose bin of each written picture, int64 [written]."""
        return angle_bins(np.degrees(yaw_pitch(self.cameras[0][self.written])))

    def copies(self, weights: Numbers, seed: int) -> NDArray[np.int64]:
        """Return each written picture's number of copies: its weight as a whole number, see `whole`."""
        order = np.argsort(self.bins, kind="stable")
        copies = np.empty(len(weights), np.int64)
        copies[order] = whole(weights[order], seed)
        return copies

    def weigh(self, rule: str, options: MixOptions) -> Numbers:
        """Return how often each written picture counts, float64 [written]; raise ShardsError if it does not fit."""
        if rule == "none":
            return np.ones(int(self.written.sum()))
        if rule != "lpff" and any(len(inventory.anonymous_cameras) for inventory in self.entries.inventories):
            raise ShardsError(
                f"--rebalance {rule} needs each picture's camera, and the cameras of --ffhq are by position (img%08d)",
                "Give --ffhq-cameras the dataset.json of EG3D's final_crops (00000.png, 00000_mirror.png, ...)",
            )
        if rule == "eg3d" and self.num_replicas is not None:
            return self._from_file(self.num_replicas, options.num_replicas)[self.written]
        if not self.cameras[1].any():
            raise ShardsError(
                f"no picture of the split {TRAIN} has a camera, which rebalancing needs",
                "Use --rebalance none, give the cameras, or make that split larger",
            )
        if rule == "uniform":
            alpha = DEFAULT_ALPHA if options.alpha is None else options.alpha
            cap = options.max_replicas or DEFAULT_MAX_REPLICAS
            return uniform_weights(self.density[self.written], alpha, cap, options.target_size)
        counts = np.ones(len(self.written))
        if rule == "lpff":
            once = np.array([counts_once(inventory) for inventory in self.entries.inventories])
            counted = (self.density > 0) & ~once[self.entries.source]
            counts[counted] = lpff_replicas(self.density[counted])
        else:
            positions, known = self.cameras
            yaw = yaw_pitch(positions[known])[:, 0]
            if rule == "eg3d":
                counts[known] = arc_replicas(yaw, yaw.min(), yaw.max())
            elif self.degrees is not None:
                counts[known] = degree_replicas(yaw, self.degrees)
            else:
                counts[known] = np.where(np.abs(yaw) > np.pi / 2, float(rule.partition(":")[2]), 1.0)
        return counts[self.written]

    def _from_file(self, counts: NDArray[np.int64], file: str | None) -> Numbers:
        # Index in EG3D's FFHQ, -1 if unknown; a mirror follows its original.
        places = self.entries.gather([inventory.places for inventory in self.entries.inventories])
        places += self.entries.flip & (places >= 0)
        counted_in = max(inventory.places_of for inventory in self.entries.inventories)
        if counted_in and counted_in != len(counts):
            raise ShardsError(
                f"--num-replicas {file} has {len(counts)} images, EG3D's dataset.json {counted_in}: they do not match",
                "Give the whole dataset.json, or leave --num-replicas out to compute replicas from the cameras",
            )
        for row in np.flatnonzero(self.written & (places >= len(counts)))[:1].tolist():
            id = self.entries.entry(row, "").record.id
            raise ShardsError(
                f"--num-replicas {file} ends at index {len(counts) - 1} and lacks {places[row]}, picture {id}",
                "Give EG3D's published file, image index to replicas",
            )
        # FFHQ's StyleGAN-aligned pictures that EG3D left out have no index; they count once.
        return np.where(places >= 0, counts[np.minimum(places, len(counts) - 1)], 1).astype(np.float64)


def counts_once(inventory: Inventory) -> bool:
    """Return whether LPFF's rule skips a source: as published, of the StyleGAN-aligned sets only LPFF is replicated."""
    alignment = inventory.crop or inventory.alignment
    return any(alignment in spec.counts_once for spec in known_specs([inventory.source]))


@dataclass(frozen=True, slots=True)
class Balance:
    """The training split rebalanced by one rule.

    Attributes:
        samples: number of samples, with replicas.
        effective: Kish's effective sample size of the pictures, by their weights or numbers of copies.
        entropy: of known poses in bits, over bins of 10 degrees of yaw by 10 of pitch.
        problem: why the rule cannot be used; the numbers are zero then.
    """

    rule: str
    samples: int = 0
    effective: float = 0.0
    entropy: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Balances:
    """A comparison of all rules; those that the plan has not chosen have default options.

    `bins` is the number of non-empty pose bins; its log2 is the entropy of a flat distribution.
    """

    bins: int
    chosen: Balance
    rules: tuple[Balance, ...]


def compare(pool: TrainingPool, weights: Numbers, options: MixOptions, seed: int) -> Balances | None:
    """Apply all rules to the same training pictures; return None if no camera is known.

    Args:
        weights: float64 [written], how often each counts by the chosen rule; seed: of rounding weights to copies.
    """
    known = pool.cameras[1][pool.written]
    if not known.any():
        return None
    bins = pool.bins[known]
    measured = []
    rules = tuple(dict.fromkeys((*REBALANCE, options.rebalance)))
    for rule in rules:
        try:
            counts = weights if rule == options.rebalance else pool.weigh(rule, MixOptions())
        except ShardsError as error:
            measured.append(Balance(rule, problem=error.message))
            continue
        if rule != options.rebalance and options.as_ == "replicas":
            counts = pool.copies(counts, seed).astype(np.float64)
        measured.append(Balance(rule, round(counts.sum()), effective_size(counts), entropy(bins, counts[known])))
    return Balances(len(np.unique(bins)), measured[rules.index(options.rebalance)], tuple(measured))
