"""How the rules of rebalancing would change a set, side by side, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.options.mix import REBALANCE, MixOptions, Rebalance
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.poses import effective_size, entropy
from lpff_shards.planning.rebalance import Weights


@dataclass(frozen=True, slots=True)
class Balance:
    """What a rule makes of the training split.

    Attributes:
        rule: of rebalancing.
        samples: with replicas.
        effective: Kish's effective sample size, of the pictures with their weights or numbers of copies.
        entropy: of the poses in bits, over bins of 10 degrees of yaw by 10 of pitch, pictures with known cameras only.
        problem: why the rule cannot be used here; the numbers are zero then.
    """

    rule: Rebalance
    samples: int
    effective: float
    entropy: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Balances:
    """The rules side by side.

    Attributes:
        bins: pose bins that are not empty; log2 of it is the entropy of a flat distribution.
        chosen: of the plan itself, with its options.
        rules: all of them, with default options where they were not chosen.
    """

    bins: int
    chosen: Balance
    rules: tuple[Balance, ...]


def compare(mix: Mix, options: MixOptions) -> Balances | None:
    """All rules on the same training pictures; None where no camera is known."""
    pool = mix.pool
    known = pool.cameras[1][pool.written]
    if not known.any():
        return None
    bins = pool.bins[known]

    def measure(rule: Rebalance, weights: Weights) -> Balance:
        return Balance(rule, round(weights.sum()), effective_size(weights), entropy(bins, weights[known]))

    def attempt(rule: Rebalance) -> Balance:
        try:
            weights = pool.weigh(rule, MixOptions())
            if options.as_ == "replicas":
                weights = pool.copies(weights, mix.seed).astype(np.float64)
            return measure(rule, weights)
        except ShardsError as error:
            return Balance(rule, 0, 0.0, 0.0, error.message)

    chosen = measure(options.rebalance, mix.weights)
    found = tuple(chosen if rule == options.rebalance else attempt(rule) for rule in REBALANCE)
    return Balances(len(np.unique(bins)), chosen, found)
