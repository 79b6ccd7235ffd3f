"""The data-set card, README.md, filled in from the manifest: contents, how it was made, how to load it, licenses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict
from importlib import resources
from typing import Any

import numpy as np
from msgspec import structs

from lpff_shards.formats.base import Format
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.options.sources import ORIGIN
from lpff_shards.schemas.archive import EG3D_SIDES, FORK_LISTS
from lpff_shards.schemas.channels import Channel, Mirror
from lpff_shards.schemas.fields import ARRAYS, DTYPES
from lpff_shards.schemas.license import FLAGS, demands
from lpff_shards.schemas.sources import known_specs, terms_of
from lpff_shards.schemas.text import format_bytes, markdown
from lpff_shards.sidecars.card.command import command, conversions
from lpff_shards.sidecars.template import fenced, render, table_rows

Values = Mapping[str, Any]

_BUCKETS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "image.npy": "raw RGB pixels"}
_RULES = {
    "lpff": "rare poses count more, by pose density, as in LPFF's paper",
    "eg3d": "large yaws count more, as in EG3D's FFHQ",
    "uniform": "drawn towards a flat distribution of poses",
    "back-repeat": "pictures seen from behind, beyond 90 degrees of yaw, count more, as in PanoHead",
    "degree-table": "copies by whole degree of yaw, from a table",
}
_COUNTING = {
    "weights": "each picture once, with how often it counts in `weight`: a loader draws samples in proportion to it",
    "list": "each picture once, and its name in the lists as often as it counts",
    "files": "copies as samples of their own, numbered in `replica`: reading everything once gives the rebalanced set",
}


def card(manifest: Manifest, suffixes: Set[str]) -> str:
    """Return the card as Markdown, with the YAML header that the Hugging Face hub and `datasets` read.

    Args:
        suffixes: suffixes of the pictures in the shards: png, jpg, webp or image.npy.
    """
    format = get_format(manifest.format)
    values = {
        **manifest.options,
        **structs.asdict(manifest),
        **_front_matter(manifest, format),
        **_contents(manifest, format, suffixes),
        **_making(manifest),
        **example_values(manifest, suffixes),
    }
    values["loading"] = render(format.loading(), values).rstrip()
    return render(resources.files(__name__).joinpath("card.md").read_text("utf-8"), values)


def pose_picture() -> bytes:
    """Return the picture of the pose conventions, next to every card; `docs/draw_poses.py` draws it."""
    return resources.files(__name__).joinpath("poses.png").read_bytes()


def _front_matter(manifest: Manifest, format: Format) -> Values:
    # The photos have different licenses, so the card names the data sets' terms.
    names = [name.replace("_", "-") for name in manifest.sources]
    links = {terms.url for terms in terms_of(manifest.sources, follows_eg3d=False, options=manifest.options)}
    listed = not format.for_trainers and len(manifest.kinds) <= 1
    return {
        "pretty_name": json.dumps(manifest.name),
        "license_name": f"{'-and-'.join(names)}-terms",
        "license_link": links.pop() if len(links) == 1 else "",
        "size_category": size_category(manifest.samples),
        "source_tags": "\n".join(f"- {name}" for name in names),
        "tag": format.tag,
        "data_files": "\n".join(_data_files(manifest, format)) if listed else "",
    }


def size_category(samples: int) -> str:
    """Return the hub's category of a number of samples: n<1K, 1K<n<10K, ... n>1T."""
    power = len(str(samples)) - 4
    if power < 0:
        return "n<1K"
    return f"{_BUCKETS[power]}<n<{_BUCKETS[power + 1]}" if power + 1 < len(_BUCKETS) else "n>1T"


def _data_files(manifest: Manifest, format: Format) -> Iterator[str]:
    """Yield the files of each split, without empty ones: `datasets` cannot start with an empty file."""
    for split in manifest.splits:
        own = [shard for shard in manifest.shards if shard.split == split]
        yield f"  - split: {split}"
        if all(shard.samples for shard in own):
            yield f"    path: {json.dumps(f'{manifest.name}-{split}{format.glob}')}"
        else:
            yield from ("    path:", *(f"    - {json.dumps(shard.file)}" for shard in own if shard.samples))


def _contents(manifest: Manifest, format: Format, suffixes: Set[str]) -> Values:
    options, layout = manifest.options, manifest.layout
    carried = ["camera"] * layout.camera + ["68 landmarks"] * layout.landmarks + ["license"]
    counting = "weights" if options.get("as") == "weights" else options.get("zip_copies")
    arrays = (array for array in ARRAYS if array.name == "image" or getattr(layout, array.name))
    fields = [(format.array(a.name, layout, suffixes), a.dtype, a.shape, a.unit, a.doc) for a in arrays]
    fields += [_channel(channel) for channel in layout.channels or ()]
    fields += [(f"`{f.name}`", DTYPES[f.kind], "", f.unit, f.doc) for f in layout.fields]
    sides = (cropping["side"] for cropping in options.get("croppings", {}).values())
    side, quality = options.get("resolution") or next(sides, None), options.get("quality")
    encodings = {
        "keep": "" if side else "files unchanged, mirrors made anew" if options.get("mirror") else "unchanged",
        "fast-png": "for fast decoding",
        "stored-png": "without compression",
        "webp": "lossless",
    }
    how = f"quality {quality}" if quality else encodings.get(str(options.get("image")))
    made = f"cropped from the {options['from']} pictures" if "crop" in options else "resized"
    pixels = f"{made} to {side} x {side} pixels" if side else "size in the fields `width` and `height`"
    kinds = " and ".join(_KINDS[suffix] for suffix in sorted(suffixes))
    return {
        "samples": f"{manifest.samples:,}",
        "carries": f"{', '.join(carried)} and author",
        "sources": _listed(manifest.sources),
        "splits": _listed(manifest.splits),
        "eg3d": options.get("alignment") == "eg3d",
        "pictures": ", ".join(filter(None, (kinds, how, pixels))),
        "title": format.title,
        "shards": f"{len(manifest.shards):,}",
        "bytes": format_bytes(sum(shard.bytes for shard in manifest.shards)),
        "holds": format.holds(layout, suffixes),
        "for_trainers": format.for_trainers,
        "rebalanced": options.get("rebalance") != "none",
        "which": f"the split {TRAIN} is " if len(manifest.splits) > 1 else "",
        "rule_words": _RULES.get(str(options.get("rebalance")).partition(":")[0]),
        "counting": _COUNTING.get(str(counting), _COUNTING["files"]),
        "fields": table_rows(fields),
        "note": format.note.rstrip(),
    }


def _making(manifest: Manifest) -> Values:
    counts, options = manifest.counts, manifest.options
    skips = bool(counts.skipped or counts.left_out)
    left_out = [f"- {markdown(reason)}: {count:,}" for reason, count in manifest.filtered.items()]
    if skips:
        left_out.append(
            f"- {counts.left_out:,} unusable pictures before planning and {counts.skipped:,} of {counts.planned:,} "
            "planned samples; `manifest.json` lists them with their reasons"
        )
    if manifest.tombstones:
        left_out.append(f"- {len(manifest.tombstones):,} samples, withdrawn after the shards had been written")
    borrows = manifest.layout.camera and any(spec.has_eg3d_cameras for spec in known_specs(manifest.sources))
    terms = terms_of(manifest.sources, borrows or options.get("alignment") == "eg3d", options)
    links = [f"[{one.name}]({one.url})" if one.url else one.name for one in terms]
    unlicensed = sum(count for name, count in manifest.licenses.items() if not demands(name).known)
    first, folder, converted = conversions(options, manifest.name)
    cited = dict.fromkeys(one.citation for one in terms if one.citation)
    return {
        "command": fenced(command(first, folder, skips=skips), "sh"),
        "converted": fenced(converted, "sh") if converted else "",
        "converted_plan": options.get(ORIGIN, {}).get("plan"),
        "withdrawn": f"{len(manifest.tombstones):,}" if manifest.tombstones else "",
        "exclude": markdown(str(options.get("exclude"))),
        "left_out": "\n".join(left_out),
        "notes": "\n".join(f"- {markdown(note)}" for note in manifest.notes),
        "licenses": table_rows(_license(name, count) for name, count in manifest.licenses.items()),
        "unlicensed": f"{unlicensed:,}" if unlicensed else "",
        "terms": "\n".join(f"- **{link}**: {one.terms}" for link, one in zip(links, terms, strict=True)),
        "citation": fenced("\n".join(cited), "bibtex") if cited else "",
    }


def example_values(manifest: Manifest, suffixes: Set[str]) -> Values:
    """Return the values of a format's examples, see `formats.base.Format.loading`.

    name: of the data set.
    split: of the examples: train, else the first one.
    file, files: the split's first file; all its files as a brace pattern for shells and webdataset.
    suffixes, one_kind, pixels: suffixes of the pictures, joined by semicolons; whether there is only one; whether it is
        that of raw pixels.
    metadata: suffix of the member of a tar with the fields.
    camera, landmarks, packed: see `schemas.fields.Layout`.
    batch: batch size; 1 for pictures of different sizes.
    weighted: whether loaders draw samples by weight.
    flippable: whether loaders may flip pictures, because the data set has no mirrors.
    side, eg3d_size: side of all pictures in pixels, 0 if they differ; whether EG3D accepts it.
    list, lists: of a zip: the list of all samples; rows of the lists for LPFF's forks, with their lengths.
    listed, copied: of a zip: whether copies are names in lists; whether they are files.
    loaders, tensorflow: whether lpff-shards' loaders read the format, and its TensorFlow loader.
    split_option, loader_options, array: arguments of the loaders, and an array of their batches.
    """
    options, layout, lists = manifest.options, manifest.layout, manifest.lists
    split = TRAIN if TRAIN in manifest.splits else next(iter(manifest.splits))
    split_option = f', split="{split}"' if split != TRAIN else ""
    (width, _, height), batch = next(iter(manifest.sizes), "").partition("x"), 1 if len(manifest.sizes) > 1 else 8
    side = int(width) if len(manifest.sizes) == 1 and width == height else 0
    weighted, flippable = options.get("as") == "weights" and split == TRAIN, not options.get("mirror")
    more = ", mirror=True" * flippable + ", weights=True" * weighted
    files = [shard.file for shard in manifest.shards if shard.split == split]
    copies, format = options.get("zip_copies"), get_format(manifest.format)
    # The names of the first and last file differ in a number: a brace pattern such as {000..012}.
    pairs = zip(re.split("([0-9]+)", files[0]), re.split("([0-9]+)", files[-1]), strict=True)
    return {
        "name": manifest.name,
        "split": split,
        "file": files[0],
        "files": "".join(a if a == b else f"{{{a}..{b}}}" for a, b in pairs),
        "suffixes": ";".join(sorted(suffixes)),
        "one_kind": len(suffixes) == 1,
        "pixels": suffixes == {"image.npy"},
        "metadata": "mp" if layout.packed else "json",
        **asdict(layout),
        "batch": batch,
        "weighted": weighted,
        "flippable": flippable,
        "side": side,
        "eg3d_size": side in EG3D_SIDES,
        "list": next(iter(lists), ""),
        "lists": table_rows((f"`{name}`", f"{count:,}") for name, count in lists.items() if name in FORK_LISTS),
        "listed": copies == "list" and manifest.samples < next(iter(lists.values()), 0),
        "copied": copies == "files" and options.get("rebalance") != "none" and options.get("as") == "replicas",
        "loaders": format.spans() is not None,
        "tensorflow": "tensorflow" in format.readers,
        "split_option": split_option,
        "loader_options": f'".", batch_size={batch}{split_option}{more}',
        "array": "camera" if layout.camera else "index",
    }


_OF_MIRRORS: Mapping[Mirror, str] = {
    "flip": "flipped with its picture",
    "same": "a mirror has its original's",
    "flip-last-axis": "the last axis is reversed in mirrors",
    "own": "a mirror has its own",
}


def _channel(channel: Channel) -> tuple[str, str, str, str, str]:
    """Return the row of a channel in the table of fields."""
    array = channel.arrays[0] if channel.kind == "npy" else None
    mirrors = _OF_MIRRORS[channel.mirror]
    shape = " x ".join(map(str, array.shape)) if array else ""
    return f"`{channel.name}`", str(np.dtype(array.dtype)) if array else channel.kind, shape, "", f"channel; {mirrors}"


def _license(name: str, count: int) -> Iterable[str]:
    asks = demands(name)
    if not asks.known:
        return (name, f"{count:,}", "?", "?", "?", "?")
    flags = ("yes" if flag in asks.flags else "" for flag in FLAGS.values())
    return (f"[{name}]({asks.url})", f"{count:,}", *flags)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
