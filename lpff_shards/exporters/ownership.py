"""Whose shards a folder holds: the plan that owns it, what sets two plans apart, and files that are nobody's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import blake3
from msgspec import Struct

from lpff_shards.manifest import from_json, to_json
from lpff_shards.plan import Plan

SHARD_NAME = re.compile(r"[a-z][a-z0-9_]*-[a-z0-9]+(-[0-9]{6,}\.tar|\.tfrecord-[0-9]{5,}-of-[0-9]{5,}|\.zip)")


class Owner(Struct, frozen=True):
    """plan.json: the plan whose shards a folder holds, `marks` of what --exclude named then, and in updates since."""

    plan: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]
    exclusions: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    def forgotten(self, withdrawn: Iterable[str]) -> int:
        """How many ids were taken out by updates that these do not name."""
        return len(set(self.withdrawn).difference(marks(withdrawn)))


def marks(exclusions: Iterable[str]) -> tuple[str, ...]:
    """Hashes of excluded ids, by which an export knows them again without publishing whose photos were withdrawn."""
    return tuple(sorted(blake3.blake3(name.encode()).hexdigest(length=8) for name in exclusions))


def strangers(there: Iterable[str], name: str, known: Collection[str]) -> list[str]:
    """Of the names in a folder those that readers would take for shards of a data set, and that are not known ones."""
    ours = re.compile(rf"{re.escape(name)}-[a-z][a-z0-9]*(-[0-9]+\.tar|\.tfrecord-[0-9]+-of-[0-9]+|\.zip)")
    return sorted(one for one in there if ours.fullmatch(one) and one not in known)


def difference(owner: Owner, plan: Plan) -> str:
    """What sets two plans apart, in words."""
    mine: dict[str, Any] = from_json(to_json(plan.options), dict[str, Any]) or {}
    names = [name for name in {**owner.options, **mine} if owner.options.get(name) != mine.get(name)]
    if not names:
        files = [f"--{name.replace('_', '-')}" for name in ("exclude", "num_replicas") if mine.get(name)]
        return f"the contents of {' or '.join(['the sources', *files])} differ"
    return ", ".join(f"{name} was {owner.options.get(name)}, now {mine.get(name)}" for name in names)
