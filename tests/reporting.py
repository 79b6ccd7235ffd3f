"""Facts of made-up data sets for the tests of reports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.manifest import MANIFEST_VERSION, Counts, Manifest, Shard
from lpff_shards.report.contact_sheet import Rows, Shown
from lpff_shards.report.facts import Facts, Labels
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout


def shard(file: str, split: str = "train", samples: int = 15, bytes: int = 1) -> Shard:
    """A shard without checksums."""
    return Shard(file, split, samples, bytes, "", "")


def facts(n: int = 60, *, shards: int = 4, seed: int = 0, **other: Any) -> Facts:
    """A data set of n samples of two sources, in shards of one split, each picture twice or once."""
    draw = np.random.default_rng(seed)
    held = np.bincount(np.arange(n) % shards, minlength=shards).tolist()
    replica = np.arange(n) % 3 // 2
    about: dict[str, Any] = {
        "version": MANIFEST_VERSION,
        "schema": SCHEMA_VERSION,
        "generator": "lpff-shards 0",
        "name": "set",
        "format": "wds",
        "samples": n,
        "plan": "0123456789abcdef" * 4,
        "checksum": "blake3",
        "options": {"format": "wds", "rebalance": "lpff", "as": "replicas"},
        "layout": Layout(raw=False, camera=True, landmarks=True),
        "counts": Counts(n, n, 0, 0),
        "sources": {},
        "licenses": {},
        "splits": {},
        "filtered": {},
        "shards": tuple(shard(f"set-train-{i:06d}.tar", "train", held[i], 5000 * i) for i in range(shards)),
    }
    manifest = Manifest(**about | {name: other.pop(name) for name in Manifest.__struct_fields__ if name in other})
    given: dict[str, Any] = {
        "manifest": manifest,
        "planned": False,
        "dataset": Labels((np.arange(n) % 2).astype(np.int32), ("ffhq", "lpff")),
        "split": Labels(np.zeros(n, np.int32), ("train",)),
        "license": Labels((np.arange(n) % 3).astype(np.int32), ("CC-BY-2.0", "CC-BY-NC-SA-2.0", "unknown")),
        "yaw": np.radians(draw.uniform(-80, 80, n)).astype(np.float32),
        "pitch": np.radians(draw.uniform(-40, 40, n)).astype(np.float32),
        "has_camera": np.ones(n, np.bool_),
        "mirrored": np.arange(n) % 2 == 1,
        "replica": replica,
        "copies": np.ones(n, np.int64),
        "weight": np.ones(n, np.float32),
        "width": np.full(n, 64),
        "height": np.full(n, 64),
        "pool": None,
    }
    return Facts(**given | other)


def pool(made: Facts) -> NDArray[np.int64]:
    """The pictures of some facts before they were copied."""
    first = (made.replica == 0) & made.has_camera & made.training
    yaw, pitch = (np.rint(angles[first]).astype(np.int64) for angles in made.degrees)
    return np.stack([yaw, pitch, np.ones(len(yaw), np.int64)], axis=1)


def gray(rows: Rows) -> list[Shown]:
    """Pictures for a contact sheet."""
    return [Shown(f"key_{row}", Image.new("RGB", (8, 8), (row % 256,) * 3)) for row in rows]
