"""What a data set holds in numbers and words: fields, poses, what was left out, licenses, terms, citations."""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.schemas.demands import demands
from lpff_shards.schemas.escaping import markdown
from lpff_shards.schemas.fields import ARRAYS, DTYPES, FIELDS
from lpff_shards.schemas.sources import Terms, citations, known_specs, terms_of
from lpff_shards.schemas.units import size
from lpff_shards.sidecars.card.names import fenced, listed, table

_KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "image.npy": "raw RGB pixels"}


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
    return f"{', '.join([*what, 'license'])} and author"


def _rows(manifest: Manifest, suffixes: Set[str]) -> Iterator[tuple[str, str]]:
    options, total = manifest.options, sum(shard.bytes for shard in manifest.shards)
    format = get_format(manifest.format)
    yield "samples", f"{manifest.samples:,}"
    yield "sources", listed(manifest.sources.items())
    yield "splits", listed(manifest.splits.items())
    mirrors = ", each picture and its mirror" if options.get("mirror") else ", no mirrors"
    yield "alignment", f"{options.get('alignment')}{mirrors}"
    yield "pictures", _pictures(manifest, suffixes)
    yield "files", f"{format.title}: {len(manifest.shards):,}, {size(total)} in all"
    yield "a sample", format.holds(manifest.layout, suffixes)
    if not format.for_trainers:
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


def licenses(manifest: Manifest) -> str:
    """A table of the photos' licenses with what they ask for."""
    rows = [_row(name, count) for name, count in manifest.licenses.items()]
    unknown = sum(count for name, count in manifest.licenses.items() if not demands(name).known)
    columns = ("license", "samples", "attribution", "share-alike", "non-commercial", "no derivatives")
    asked = (
        "Every sample names its license, author and source in the fields `license`, `license_url`, `author` and "
        "`source_url`, as far as its data set tells them. Attribution means the author's name, the license and the "
        "note in `changes` wherever a picture is shown or shared; [ATTRIBUTION.csv](ATTRIBUTION.csv) has them all in a "
        "line a picture, [ATTRIBUTION.md](ATTRIBUTION.md) is the summary. Photos that their authors withdraw must be "
        "dropped: `lpff-shards export --update --exclude FILE` takes them out.\n"
    )
    if unknown:
        asked += (
            f"\nOf {unknown:,} samples the license is unknown: the sources do not tell it, and it is not guessed.\n"
        )
    return f"## Licenses of the photos\n\n{table(columns, rows)}\n{asked}"


def terms(manifest: Manifest) -> str:
    """The data sets' own terms."""
    entries = (f"- **{_linked(one)}**: {one.terms}\n" for one in _terms(manifest))
    return f"## Terms of the data sets\n\n{''.join(entries)}"


def citation(manifest: Manifest) -> str:
    """What to cite, as BibTeX; empty where there is nothing to cite."""
    entries = citations(_terms(manifest))
    return f"## Citation\n\n{fenced(chr(10).join(entries), 'bibtex')}" if entries else ""


def _terms(manifest: Manifest) -> tuple[Terms, ...]:
    aligned = manifest.options.get("alignment") == "eg3d"
    borrows = manifest.layout.camera and any(spec.has_eg3d_cameras for spec in known_specs(manifest.sources))
    return terms_of(manifest.sources, aligned or borrows)


def _linked(one: Terms) -> str:
    return f"[{one.name}]({one.url})" if one.url else one.name


def _row(name: str, count: int) -> tuple[object, ...]:
    asks = demands(name)
    if not asks.known:
        return (name, f"{count:,}", "?", "?", "?", "?")
    flags = (asks.attribution, asks.share_alike, asks.non_commercial, asks.no_derivatives)
    return (f"[{name}]({asks.url})", f"{count:,}", *("yes" if flag else "" for flag in flags))


_CAMERA = """The 25 numbers of `camera`, row by row:

| numbers | hold |
|---|---|
| 0-3 | r00 r01 r02 **tx** |
| 4-7 | r10 r11 r12 **ty** |
| 8-11 | r20 r21 r22 **tz** |
| 12-15 | 0 0 0 1 |
| 16-18 | **fx** skew **cx** |
| 19-21 | 0 **fy** **cy** |
| 22-24 | 0 0 1 |

The first sixteen are the camera-to-world matrix: the columns of r are the camera's x, y and z axes in the world, t is \
where it stands. The last nine are the intrinsics, divided by the picture's size: times width (fx, skew, cx) and \
height (fy, cy) they are pixels.
"""
_POSES = """## Poses

![World and camera axes, the signs of yaw and pitch, and heads seen from such cameras](poses.png)

- World: the head at the origin, looking along +z; y is up, x points to the right of a frontal picture, which is the \
person's left. Published cameras stand 2.7 units away.
- Camera: OpenCV's axes, x right, y down, z forward.
- `yaw` = atan2(tx, tz): positive where the camera stands towards +x and sees the person's left cheek.
- `pitch` = atan2(ty, hypot(tx, tz)): positive where the camera stands above and looks down on the head.
- The mirrored picture has yaw -yaw and the same pitch; numbers 1, 2, 3, 4 and 8 of its camera change \
sign, cx becomes 1 - cx.
"""
_OTHER_CROPS = """- The published cameras are of the EG3D crops. `camera_alignment` says which crop a camera is of. \
Where it is `eg3d`, yaw and pitch hold for the picture, and the focal length, the principal point and the roll do not.
"""


def fields(manifest: Manifest, suffixes: Set[str]) -> str:
    """A table of arrays and fields, and the camera's numbers spelled out."""
    rows = [*_arrays(manifest, suffixes)]
    rows += [(f"`{f.name}`", DTYPES[f.kind], "", f.unit, f.doc) for f in FIELDS]
    unknown = "Where there is no shape, it is a single value. Unknown text is empty, and nothing is ever NaN.\n"
    unknown += get_format(manifest.format).note
    camera = f"\n{_CAMERA}" if manifest.layout.camera else ""
    return f"## Fields\n\n{table(('field', 'dtype', 'shape', 'unit', 'meaning'), rows)}\n{unknown}{camera}"


def poses(manifest: Manifest) -> str:
    """The pose conventions, where there are cameras."""
    if not manifest.layout.camera:
        return ""
    return _POSES + ("" if manifest.options.get("alignment") == "eg3d" else _OTHER_CROPS)


def field_table() -> str:
    """The field table as Markdown, as the documentation shows it."""
    rows = ((f"`{f.name}`", f.kind, f"{f.unit}, {f.doc}" if f.unit else f.doc) for f in FIELDS)
    return table(("field", "type", "meaning"), rows)


def _arrays(manifest: Manifest, suffixes: Set[str]) -> Iterator[tuple[str, ...]]:
    """The rows of what a sample holds beside its fields, under the names that the format gives."""
    format = get_format(manifest.format)
    for array in ARRAYS:
        if array.name == "image" or getattr(manifest.layout, array.name):
            yield format.array(array.name, manifest.layout, suffixes), array.dtype, array.shape, array.unit, array.doc
