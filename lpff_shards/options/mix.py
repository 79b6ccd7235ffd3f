"""What a user can ask of the mix: rebalancing, filters, splits. Frozen, validated on creation, nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import check, flag, in_range, one_of, option, recordable_path, shortened, word
from lpff_shards.schemas.license import SHORT_NAMES, USUAL_NAMES, canonical
from lpff_shards.schemas.text import did_you_mean

Rebalance = Literal["none", "lpff", "eg3d", "uniform"]
As = Literal["replicas", "weights"]

REBALANCE: tuple[Rebalance, ...] = get_args(Rebalance)
BACK_REPEAT, DEGREE_TABLE = "back-repeat", "degree-table"
"""Rules with an argument: a number of copies, and a file."""

TRAIN = "train"
VALIDATION = "val"
OFFICIAL = "official"
DEFAULT_ALPHA = 0.5
DEFAULT_MAX_REPLICAS = 8
MAX_REPLICAS = 1000
MAX_TARGET = 10**9
MAX_SPLITS = 20
_SPLIT = re.compile(r"([a-z][a-z0-9]{0,19})=([0-9]{0,3}\.[0-9]{1,30}|[0-9]{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class MixOptions:
    """Which pictures become samples, how often, and in which split.

    A license is kept with its ports (CC-BY-2.1-JP with CC-BY-2.1).
    """

    rebalance: str = option(
        "By pose: lpff as LPFF's paper, eg3d as EG3D, uniform towards a flat distribution, back-repeat:N as PanoHead "
        "(N copies beyond 90 degrees of yaw), degree-table:FILE (JSON: copies by whole degree of yaw), or none.",
        "text", default="none", metavar="RULE", shown=True, offered=REBALANCE,
    )  # fmt: skip
    as_: As = word("Copies as samples of their own, or each picture once with its weight.", As, default="replicas")
    num_replicas: str | None = option(
        "EG3D's replica file: for eg3d  [default: from the cameras], and for a zip's list FFHQ_rebalanced.", "file"
    )
    alpha: float | None = option(
        f"uniform: weights go by density^-A, 0 to 1.  [default: {DEFAULT_ALPHA}]",
        "number", metavar="A", least=0, most=1,
    )  # fmt: skip
    max_replicas: int | None = option(
        f"uniform: the most a picture counts.  [default: {DEFAULT_MAX_REPLICAS}]", "whole", most=MAX_REPLICAS
    )
    target_size: int | None = option(
        "uniform: total training samples.  [default: pictures of the commonest pose are kept once]",
        "whole", most=MAX_TARGET,
    )  # fmt: skip
    license: tuple[str, ...] = option(
        "Keep these only, such as CC-BY-2.0 or CC0-1.0,PDM-1.0; repeatable.",
        "text", default=(), metavar="NAME", repeated=True, offered=USUAL_NAMES,
    )  # fmt: skip
    exclude: str | None = option("Photos to leave out, one a line, by any name that `trace` takes.", "file")
    splits: str = option(
        "train; official (FFHQ's); or fractions such as train=0.96,val=0.02,test=0.02.",
        "text", default=TRAIN, metavar="SPEC", shown=True, offered=(TRAIN, OFFICIAL),
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not isinstance(self.splits, str):
            raise ShardsError(f"--splits {self.splits!r} is not text", f"It is {TRAIN}, {OFFICIAL}, or fractions")
        check(self)
        self._check_rule()
        if self.as_ == "weights" and self.rebalance == "none":
            raise ShardsError("--as weights has no effect with --rebalance none", "Choose a --rebalance too")
        for name in ("alpha", "max_replicas", "target_size"):
            if getattr(self, name) is not None and self.rebalance != "uniform":
                raise ShardsError(f"{flag(name)} is for --rebalance uniform", "Give both, or neither")
        object.__setattr__(self, "license", _licenses(self.license))
        names = dict(self.fractions)
        if self.rebalance != "none" and self.splits != OFFICIAL and TRAIN not in names:
            raise ShardsError(f"--splits {self.splits} has no train split to rebalance", f"Name one of them {TRAIN}")

    def _check_rule(self) -> None:
        rule, _, argument = str(self.rebalance).partition(":")
        if rule == BACK_REPEAT and re.fullmatch("[0-9]{1,9}", argument):
            in_range("--rebalance back-repeat", int(argument), 1, MAX_REPLICAS)
        elif rule == DEGREE_TABLE and argument:
            recordable_path("--rebalance degree-table", argument)
        elif rule in (BACK_REPEAT, DEGREE_TABLE):
            what, hint = "number" if rule == BACK_REPEAT else "file", "Write it as back-repeat:4, or degree-table:FILE"
            raise ShardsError(f"--rebalance {self.rebalance} has no {what}", hint)
        elif self.rebalance not in REBALANCE:
            one_of("--rebalance", self.rebalance, (*REBALANCE, f"{BACK_REPEAT}:N", f"{DEGREE_TABLE}:FILE"))

    @property
    def degree_table(self) -> str | None:
        """The file of --rebalance degree-table:FILE."""
        rule, _, argument = self.rebalance.partition(":")
        return argument if rule == DEGREE_TABLE else None

    @property
    def draws_copies(self) -> bool:
        """Whether the number of a picture's copies is drawn, and may be none."""
        return self.rebalance == "uniform" and self.as_ == "replicas"

    @property
    def fractions(self) -> tuple[tuple[str, Fraction], ...]:
        """Splits by name with their shares, which add up to 1; none for `official`."""
        return () if self.splits == OFFICIAL else _fractions(self.splits)


def _licenses(given: Iterable[str]) -> tuple[str, ...]:
    """Licenses by their usual spelling, sorted, each once."""
    if isinstance(given, str):
        given = (given,)
    names = [name.strip() for text in given for name in text.split(",")]
    for name in names:
        if canonical(name) is None:
            raise ShardsError(
                f"--license {shortened(name)!r} is not known",
                f"{did_you_mean(name, SHORT_NAMES)}It is a short name such as {', '.join(USUAL_NAMES[:-1])}, "
                f"or {USUAL_NAMES[-1]}",
            )
    return tuple(sorted({canonical(name) or "" for name in names}))


def _fractions(spec: str) -> tuple[tuple[str, Fraction], ...]:
    if spec == TRAIN:
        return ((TRAIN, Fraction(1)),)
    hint = f"It is {TRAIN}, {OFFICIAL}, or fractions such as train=0.96,val=0.02,test=0.02"
    parts = spec.split(",")
    if len(parts) > MAX_SPLITS:
        raise ShardsError(f"--splits has {len(parts)} parts; at most {MAX_SPLITS} are taken", hint)
    matches = [_SPLIT.fullmatch(part.strip()) for part in parts]
    found = [(match[1], Fraction(match[2])) for match in matches if match]
    if len(found) < len(matches):
        raise ShardsError(f"--splits {shortened(spec)!r} is not understood", hint)
    if len({name for name, _ in found}) < len(found):
        raise ShardsError(f"--splits {spec} names a split twice", hint)
    if any(share == 0 for _, share in found):
        raise ShardsError(f"--splits {spec} has an empty split", "Leave it out")
    total = sum(share for _, share in found)
    if total != 1:
        raise ShardsError(f"--splits {spec} adds up to {float(total):.13g}, not 1", hint)
    return tuple(found)
