"""Whose shards a folder holds: the plan that owns it, and files of other programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import blake3
from msgspec import Struct

from lpff_shards.formats.registry import is_shard_name
from lpff_shards.manifest import Manifest


class Owner(Struct, frozen=True):
    """plan.json: the plan whose shards a folder holds.

    Attributes:
        rule: that its digest follows, see `planning.plan.DIGEST_RULE`.
        plan: its digest.
        options: as recorded, by which two plans are told apart.
        shards: names of its files.
        exclusions: `marks` of what --exclude named; withdrawn: of what updates took out since.
    """

    rule: int
    plan: str
    options: Mapping[str, Any]
    shards: tuple[str, ...]
    exclusions: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @classmethod
    def told_by(cls, manifest: Manifest) -> Owner:
        """What the manifest of a finished export tells of its plan."""
        files = tuple(shard.file for shard in manifest.shards)
        known = (manifest.rule, manifest.plan, manifest.options, files)
        return cls(*known, manifest.exclusions, manifest.withdrawn)

    def forgotten(self, withdrawn: Iterable[str]) -> int:
        """How many ids were taken out by updates that these do not name."""
        return len(set(self.withdrawn).difference(marks(withdrawn)))


def marks(exclusions: Iterable[str]) -> tuple[str, ...]:
    """Hashes of excluded ids, by which an export knows them again without publishing whose photos were withdrawn."""
    return tuple(sorted(blake3.blake3(name.encode()).hexdigest(length=8) for name in exclusions))


def strangers(there: Iterable[str], name: str, known: Collection[str]) -> list[str]:
    """Of the names in a folder those that readers would take for shards of a data set, and that are not known ones."""
    return sorted(one for one in there if one.startswith(f"{name}-") and is_shard_name(one) and one not in known)
