"""The data-set card, README.md beside the shards: what is inside, whose it is, how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files

from lpff_shards.manifest import Manifest
from lpff_shards.mix_options import TRAIN
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.schemas.sample import SUFFIXES
from lpff_shards.schemas.terms import terms_of

_KEPT = "png (jpg, webp: as the pictures are)"
_WDS = """import webdataset as wds

dataset = wds.WebDataset("{pattern}", shardshuffle=False).decode("rgb8")
sample = next(iter(dataset))  # {members}"""

_TFRECORD = """import tensorflow as tf

features = {{"image": tf.io.FixedLenFeature([], tf.string){camera}}}
dataset = tf.data.TFRecordDataset(tf.data.Dataset.list_files("{pattern}"))
dataset = dataset.map(lambda record: tf.io.parse_single_example(record, features))"""

_ZIP = """# EG3D, and LPFF's fork of it
python train.py --outdir=runs --cfg=ffhq --data={file} --gpus=8 --batch=32 --gamma=1 --gen_pose_cond=True
# StyleGAN2-ada, StyleGAN3
python train.py --outdir=runs --cfg=stylegan2 --data={file} --gpus=8 --batch=32 --gamma=10"""
_INSIDE = (
    "A zip holds the pictures by number, `dataset.json` with the cameras, `samples.jsonl` with the fields below, a "
    "line a picture, and lists of names such as `FFHQ_LPFF_rebalanced.json`, in which a picture stands as often as it "
    "counts. LPFF's trainers take the list of their set out of the zip.\n"
)


def pose_picture() -> bytes:
    """The picture of the pose conventions that lies beside every card; `docs/draw_poses.py` draws it."""
    return files(__name__).joinpath("poses.png").read_bytes()


def card(manifest: Manifest) -> str:
    """The card as Markdown with the YAML head that Hugging Face's `datasets` reads."""
    parts = [
        _head(manifest),
        f"# {manifest.name}\n\n{manifest.samples:,} samples in {len(manifest.shards)} {manifest.format} shards, "
        f"written by {manifest.generator}.\n",
        _table("Sources", "samples", manifest.sources),
        _mix(manifest),
        _table("Splits", "samples", manifest.splits) if len(manifest.splits) > 1 else "",
        _table("Licences of the photos", "samples", manifest.licenses),
        "Each sample names its author, licence and source; licences that ask for attribution (CC BY, BY-SA, BY-NC) "
        "need the author's name, the licence and the `changes` field wherever a picture is shown. Photos whose authors "
        "withdraw them must be dropped.\n",
        _terms(manifest),
        _loading(manifest),
        _fields(manifest),
        _skipped(manifest),
    ]
    return "\n".join(part for part in parts if part)


def _head(manifest: Manifest) -> str:
    files = "".join(f'  - split: {split}\n    path: "{_pattern(manifest, split)}"\n' for split in manifest.splits)
    configs = f"configs:\n- config_name: default\n  data_files:\n{files}" if manifest.format != "zip" else ""
    return f'---\npretty_name: "{manifest.name}"\nlicense: other\n{configs}---\n'


def _mix(manifest: Manifest) -> str:
    """How often pictures count, in words."""
    rule = manifest.options.get("rebalance")
    if rule == "none":
        return ""
    train = f"the split {TRAIN} is " if len(manifest.splits) > 1 else ""
    how = (
        "each picture once, with how often it counts in `weight`: a loader draws samples in proportion to it"
        if manifest.options.get("as") == "weights"
        else "each picture once, and its name in the lists as often as it counts"
        if manifest.format == "zip"
        else "copies as samples of their own, numbered in `replica`: reading everything once gives the rebalanced set"
    )
    return f"Poses: {train}rebalanced by the rule `{rule}`, {how}.\n"


def _pattern(manifest: Manifest, split: str) -> str:
    return f"{manifest.name}-{split}" + ("-*.tar" if manifest.format == "wds" else ".tfrecord-*")


def _terms(manifest: Manifest) -> str:
    terms = terms_of(manifest.sources, manifest.options.get("alignment") == "eg3d")
    return "## Terms of the data sets\n\n" + "".join(f"- {t.name}: {t.terms} {t.url}".rstrip() + "\n" for t in terms)


def _loading(manifest: Manifest) -> str:
    if manifest.format == "zip":
        return f"## Training\n\n```sh\n{_ZIP.format(file=manifest.shards[0].file)}\n```\n\n{_INSIDE}"
    return f"## Loading\n\n```python\n{_code(manifest)}\n```\n"


def _code(manifest: Manifest) -> str:
    split = next(iter(manifest.splits))
    if manifest.format == "tfrecord":
        camera = ', "camera": tf.io.FixedLenFeature([25], tf.float32)' if manifest.layout.camera else ""
        return _TFRECORD.format(pattern=_pattern(manifest, split), camera=camera)
    last = sum(shard.split == split for shard in manifest.shards) - 1
    pattern = f"{manifest.name}-{split}-{{000000..{last:06d}}}.tar"
    members = [SUFFIXES.get(str(manifest.options.get("image")).removeprefix("stored-"), _KEPT)]
    if manifest.layout.packed:
        members.append("mp")
    else:
        members += [f"{name}.npy" for name in ("camera", "landmarks") if getattr(manifest.layout, name)] + ["json"]
    return _WDS.format(pattern=pattern, members=", ".join(members))


def _table(title: str, unit: str, counts: Mapping[str, int]) -> str:
    return f"## {title}\n\n| | {unit} |\n|---|---|\n" + "".join(f"| {k} | {v:,} |\n" for k, v in counts.items())


def _fields(manifest: Manifest) -> str:
    arrays = []
    if manifest.layout.camera:
        arrays.append(
            ("camera", "float32 [25]", "camera-to-world 4x4 row-major (OpenCV axes), then 3x3 intrinsics / size")
        )
    if manifest.layout.landmarks:
        arrays.append(
            ("landmarks", "float32 [68, 2]", "x, y in pixels of the stored picture, pixel centres at integers")
        )
    return "## Fields\n\n" + field_table(arrays)


def field_table(arrays: Iterable[tuple[str, str, str]] = ()) -> str:
    """The field table as Markdown, as the documentation shows it too."""
    rows = [*arrays, *((f.name, f.kind, f.doc) for f in FIELDS)]
    return "| field | type | meaning |\n|---|---|---|\n" + "".join(f"| `{n}` | {k} | {d} |\n" for n, k, d in rows)


def _skipped(manifest: Manifest) -> str:
    counts = manifest.counts
    lines = [f"- {reason}: {count:,}\n" for reason, count in manifest.filtered.items()]
    if counts.skipped or counts.left_out:
        lines.append(
            f"- {counts.left_out} unusable pictures before planning and {counts.skipped} of {counts.planned} planned "
            "samples; `manifest.json` lists them with their reasons\n"
        )
    return "## Left out\n\n" + "".join(lines) if lines else ""
