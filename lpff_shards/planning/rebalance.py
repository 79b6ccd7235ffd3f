"""Rebalancing: how often each training picture counts by the chosen rule, and a comparison of all rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, REBALANCE, TRAIN, MixOptions, Rebalance
from lpff_shards.planning import density, rules
from lpff_shards.planning.entries import Entries
from lpff_shards.schemas.camera import centers, yaw_pitch
from lpff_shards.schemas.sources import known_specs
from lpff_shards.sources.inventory import Inventory

Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingPool:
    """The input of the rules: all training pictures with their mirrors, even if mirrors are not written.

    Attributes:
        entries: entries of the training split, each once.
        written: bool [n], entries that are written.
        num_replicas: int64, replicas by index in EG3D's FFHQ, or None.
    """

    entries: Entries
    written: NDArray[np.bool_]
    num_replicas: NDArray[np.int64] | None = None

    @cached_property
    def cameras(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Centers of the cameras, float64 [n, 3], and whether they are known."""
        return self.entries.centers()

    @cached_property
    def density(self) -> NDArray[np.float64]:
        """Pose densities, float64 [n], 0 if the camera is unknown; anonymous cameras contribute to them.

        Raises:
            ShardsError: the cameras are all at one pose or on one line.
        """
        positions, known = self.cameras
        others = [centers(inventory.anonymous_cameras) for inventory in self.entries.inventories]
        every = np.concatenate([positions[known], *others])
        found = np.zeros(len(known))
        found[known] = density.density(rules.angles(every), rules.LPFF_THRESHOLDS)[: int(known.sum())]
        return found

    @cached_property
    def bins(self) -> NDArray[np.int64]:
        """Pose bin of each written picture, int64 [written]."""
        return rules.pose_bins(self.cameras[0][self.written])

    def copies(self, weights: Weights, seed: int) -> NDArray[np.int64]:
        """Return each written picture's number of copies: its weight as a whole number, see `rules.whole`."""
        order = np.argsort(self.bins, kind="stable")
        copies = np.empty(len(weights), np.int64)
        copies[order] = rules.whole(weights[order], seed)
        return copies

    def weigh(self, rule: Rebalance, options: MixOptions) -> Weights:
        """Return how often each written picture counts, float64 [written].

        Raises:
            ShardsError: the rule cannot be applied to these pictures.
        """
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
            return rules.uniform_weights(self.density[self.written], alpha, cap, options.target_size)
        return (self._lpff() if rule == "lpff" else self._arcs())[self.written]

    def _lpff(self) -> Weights:
        rare = self.density > 0
        counts = np.ones(len(rare))
        for number, inventory in enumerate(self.entries.inventories):
            if counts_once(inventory):
                rare &= self.entries.source != number
        counts[rare] = rules.lpff_replicas(self.density[rare])
        return counts

    def _arcs(self) -> Weights:
        positions, known = self.cameras
        counts = np.ones(len(known))
        yaw = yaw_pitch(positions[known])[:, 0]
        counts[known] = rules.arc_replicas(yaw, yaw.min(initial=np.inf), yaw.max(initial=-np.inf))
        return counts

    def _from_file(self, counts: NDArray[np.int64], file: str | None) -> Weights:
        places = self.entries.places()
        counted_in = max(inventory.places_of for inventory in self.entries.inventories)
        if counted_in and counted_in != len(counts):
            raise ShardsError(
                f"--num-replicas {file} has {len(counts)} images, EG3D's dataset.json {counted_in}: they do not match",
                "Give the whole dataset.json, or leave --num-replicas out to compute replicas from the cameras",
            )
        lacking = np.flatnonzero(self.written & (places >= len(counts)))
        if len(lacking):
            id = self.entries.entry(int(lacking[0]), "").record.id
            raise ShardsError(
                f"--num-replicas {file} ends at index {len(counts) - 1} and lacks {places[lacking[0]]}, picture {id}",
                "Give EG3D's published file, image index to replicas",
            )
        # FFHQ's StyleGAN-aligned pictures that EG3D left out have no index; they count once.
        return np.where(places >= 0, counts[np.minimum(places, len(counts) - 1)], 1).astype(np.float64)


def counts_once(inventory: Inventory) -> bool:
    """Return whether LPFF's rule skips a source: as published, of the StyleGAN-aligned sets only LPFF is replicated."""
    return any(inventory.alignment in spec.counts_once for spec in known_specs([inventory.source]))


@dataclass(frozen=True, slots=True)
class Balance:
    """The training split rebalanced by one rule.

    Attributes:
        rule: the rule.
        samples: number of samples, with replicas.
        effective: Kish's effective sample size of the pictures, by their weights or numbers of copies.
        entropy: entropy of known poses in bits, over bins of 10 degrees of yaw by 10 of pitch.
        problem: why the rule cannot be used; the numbers are zero then.
    """

    rule: Rebalance
    samples: int
    effective: float
    entropy: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Balances:
    """A comparison of the rules.

    Attributes:
        bins: number of non-empty pose bins; its log2 is the entropy of a flat distribution.
        chosen: the plan's own rule, with its options.
        rules: all rules; those not chosen have default options.
    """

    bins: int
    chosen: Balance
    rules: tuple[Balance, ...]


def compare(pool: TrainingPool, weights: Weights, options: MixOptions, seed: int) -> Balances | None:
    """Apply all rules to the same training pictures; return None if no camera is known.

    Args:
        weights: float64 [written], how often each counts by the chosen rule.
        seed: seed of rounding weights to copies.
    """
    known = pool.cameras[1][pool.written]
    if not known.any():
        return None
    bins = pool.bins[known]

    def measure(rule: Rebalance, weights: Weights) -> Balance:
        return Balance(rule, round(weights.sum()), rules.effective_size(weights), rules.entropy(bins, weights[known]))

    def attempt(rule: Rebalance) -> Balance:
        try:
            weights = pool.weigh(rule, MixOptions())
            if options.as_ == "replicas":
                weights = pool.copies(weights, seed).astype(np.float64)
            return measure(rule, weights)
        except ShardsError as error:
            return Balance(rule, 0, 0.0, 0.0, error.message)

    chosen = measure(options.rebalance, weights)
    found = tuple(chosen if rule == options.rebalance else attempt(rule) for rule in REBALANCE)
    return Balances(len(np.unique(bins)), chosen, found)
