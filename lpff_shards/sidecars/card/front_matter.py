"""The YAML head of the card, as the Hugging Face hub reads it and `datasets` finds the shards by it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.schemas.sources import terms_of

_BUCKETS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def head(manifest: Manifest) -> str:
    """The head between its lines of dashes."""
    return "".join(f"{line}\n" for line in ("---", *_lines(manifest), "---"))


def size_category(samples: int) -> str:
    """The hub's name for a number of samples: n<1K, 1K<n<10K, ... n>1T."""
    if samples < 1000:
        return "n<1K"
    power = (len(str(samples)) - 1) - 3
    return f"{_BUCKETS[power]}<n<{_BUCKETS[power + 1]}" if power + 1 < len(_BUCKETS) else "n>1T"


def pattern(manifest: Manifest, split: str) -> str:
    """The files of a split, as shells and `datasets` match them."""
    return f"{manifest.name}-{split}{get_format(manifest.format).glob}"


def _lines(manifest: Manifest) -> Iterator[str]:
    yield f"pretty_name: {json.dumps(manifest.name)}"
    yield from _license(manifest)
    tasks = ["unconditional-image-generation", *(["image-to-3d"] if manifest.layout.camera else [])]
    yield from ("task_categories:", *(f"- {task}" for task in tasks))
    yield from ("size_categories:", f"- {size_category(manifest.samples)}")
    yield from ("tags:", *(f"- {tag}" for tag in _tags(manifest)))
    if not get_format(manifest.format).for_trainers and len(manifest.kinds) <= 1:
        yield from ("configs:", "- config_name: default", "  data_files:")
        for split in manifest.splits:
            yield f"  - split: {split}"
            yield from _paths(manifest, split)


def _paths(manifest: Manifest, split: str) -> Iterator[str]:
    """A split's files; `datasets` cannot begin with one that holds no sample."""
    own = [shard for shard in manifest.shards if shard.split == split]
    if all(shard.samples for shard in own):
        yield f"    path: {json.dumps(pattern(manifest, split))}"
        return
    yield "    path:"
    yield from (f"    - {json.dumps(shard.file)}" for shard in own if shard.samples)


def _license(manifest: Manifest) -> Iterator[str]:
    """The photos have licenses of their own, so the hub's name for the whole is `other`, named after the terms."""
    names = [name.replace("_", "-") for name in manifest.sources]
    yield "license: other"
    yield f"license_name: {'-and-'.join(names)}-terms"
    links = {terms.url for terms in terms_of(manifest.sources, follows_eg3d=False)}
    if len(links) == 1 and "" not in links:
        yield f"license_link: {links.pop()}"


def _tags(manifest: Manifest) -> Iterator[str]:
    yield from ("faces", "portraits")
    yield from (name.replace("_", "-") for name in manifest.sources)
    if manifest.layout.camera:
        yield "camera-poses"
    if manifest.layout.landmarks:
        yield "landmarks"
    yield get_format(manifest.format).tag
