"""What a data set holds, in numbers and words, and what was left out of it."""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.schemas.escaping import markdown
from lpff_shards.schemas.units import size
from lpff_shards.sidecars.card.markdown import listed, table

_KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "image.npy": "raw RGB pixels"}
_FILES = {"wds": "WebDataset tars", "tfrecord": "TFRecords", "zip": "zips for EG3D's and StyleGAN's trainers"}


def contents(manifest: Manifest, suffixes: Set[str]) -> str:
    """The title, and a table of what is inside."""
    return (
        f"# {manifest.name}\n\n{manifest.samples:,} samples of faces with {_carries(manifest)}.\n\n"
        f"## What is inside\n\n{table(('', ''), _rows(manifest, suffixes))}\n{_mix(manifest)}"
    )


def left_out(manifest: Manifest) -> str:
    """What is not inside, and what else the user should know."""
    counts = manifest.counts
    lines = [f"- {markdown(reason)}: {count:,}\n" for reason, count in manifest.filtered.items()]
    if counts.skipped or counts.left_out:
        lines.append(
            f"- {counts.left_out:,} unusable pictures before planning and {counts.skipped:,} of {counts.planned:,} "
            "planned samples; `manifest.json` lists them with their reasons\n"
        )
    if manifest.tombstones:
        lines.append(f"- {len(manifest.tombstones):,} samples, withdrawn after the shards had been written\n")
    notes = "".join(f"- {markdown(note)}\n" for note in manifest.notes)
    return ("## Left out\n\n" + "".join(lines) if lines else "") + (f"\n## Notes\n\n{notes}" if notes else "")


def _carries(manifest: Manifest) -> str:
    what = ["camera"] * manifest.layout.camera + ["68 landmarks"] * manifest.layout.landmarks
    return f"{', '.join([*what, 'licence'])} and author"


def _rows(manifest: Manifest, suffixes: Set[str]) -> Iterator[tuple[str, str]]:
    options, total = manifest.options, sum(shard.bytes for shard in manifest.shards)
    yield "samples", f"{manifest.samples:,}"
    yield "sources", listed(manifest.sources.items())
    yield "splits", listed(manifest.splits.items())
    mirrors = ", each picture and its mirror" if options.get("mirror") else ", no mirrors"
    yield "alignment", f"{options.get('alignment')}{mirrors}"
    yield "pictures", _pictures(manifest, suffixes)
    yield "files", f"{_FILES[manifest.format]}: {len(manifest.shards):,}, {size(total)} in all"
    yield "a sample", _members(manifest, suffixes)
    if manifest.format != "zip":
        yield "order", f"shuffled, seed {options.get('seed')}" if options.get("shuffle") else "the sources' own"


def _pictures(manifest: Manifest, suffixes: Set[str]) -> str:
    kinds = " and ".join(_KINDS[suffix] for suffix in sorted(suffixes))
    image, quality = manifest.options.get("image"), manifest.options.get("quality")
    side = manifest.options.get("resolution")
    how = {
        "keep": "" if side else "files unchanged, mirrors made anew" if manifest.options.get("mirror") else "unchanged",
        "stored-png": "without compression",
        "webp": "lossless",
    }.get(str(image), "")
    if quality:
        how = f"quality {quality}"
    pixels = f"resized to {side} x {side} pixels" if side else "size in the fields `width` and `height`"
    return ", ".join(filter(None, (kinds, how, pixels)))


def _members(manifest: Manifest, suffixes: Set[str]) -> str:
    layout = manifest.layout
    arrays = [name for name in ("camera", "landmarks") if getattr(layout, name)]
    if manifest.format == "zip":
        suffix = "/".join(sorted(suffixes))
        camera = ", its camera in `dataset.json`" if layout.camera else ""
        return f"`00000/img00000000.{suffix}`{camera}, all else in a line of `samples.jsonl`"
    if manifest.format == "tfrecord":
        features = ["image", *(["image/shape"] if layout.raw else []), *arrays]
        return f"a `tf.train.Example`: {', '.join(f'`{name}`' for name in features)}, and a feature a field"
    picture = "/".join(f"`KEY.{suffix}`" for suffix in sorted(suffixes))
    if layout.packed:
        return f"{picture}, `KEY.mp` ({', '.join([*arrays, 'all fields'])})"
    return ", ".join((picture, *(f"`KEY.{name}.npy`" for name in arrays), "`KEY.json` (all fields)"))


def _mix(manifest: Manifest) -> str:
    """How often pictures count, in words."""
    rule = manifest.options.get("rebalance")
    if rule == "none":
        return "Poses: as the sources have them; every picture counts once.\n"
    train = f"the split {TRAIN} is " if len(manifest.splits) > 1 else ""
    how = (
        "each picture once, with how often it counts in `weight`: a loader draws samples in proportion to it"
        if manifest.options.get("as") == "weights"
        else "each picture once, and its name in the lists as often as it counts"
        if manifest.options.get("zip_copies") == "list"
        else "copies as samples of their own, numbered in `replica`: reading everything once gives the rebalanced set"
    )
    return f"Poses: {train}rebalanced by the rule `{rule}` ({_RULES[str(rule)]}), {how}.\n"


_RULES = {
    "lpff": "rare poses count more, by pose density, as in LPFF's paper",
    "eg3d": "large yaws count more, as in EG3D's FFHQ",
    "uniform": "drawn towards a flat distribution of poses",
}
