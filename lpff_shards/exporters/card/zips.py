"""The trainers' commands for a zip, each of which trains on exactly its samples, and reading it without them."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.exporters.card.names import Example, Names
from lpff_shards.schemas.archive import EG3D_SIDES

_INSIDE = (
    "\nA zip holds the pictures by number, copies as `img00000000_01.png` beside `img00000000.png`, `dataset.json` "
    "with the cameras, `samples.jsonl` with the fields below, one line per picture, and for LPFF's forks lists of "
    "names such as `FFHQ_LPFF_rebalanced.json`, each with `_snap_idxs.json`, the 16 names that their snapshots show.\n"
)
_EG3D = "--gamma=1 --gen_pose_cond=True"
_STYLEGAN = "--gamma=10"


def examples(names: Names) -> Iterator[Example]:
    """The trainers' commands, and reading the members."""
    fork = f"--camera_sample_mode={names.mode}"
    if names.camera and names.alignment == "eg3d":
        if names.side in EG3D_SIDES:
            if not names.listed:
                yield Example("EG3D", _train(names, "ffhq", _EG3D), "sh", _files("EG3D"))
            yield Example("LPFF's fork of EG3D", _train(names, "ffhq", f"{_EG3D} {fork}"), "sh", _list(names))
        else:
            yield Example("EG3D", "", "sh", _other_side(names))
    if not names.listed:
        yield Example("StyleGAN2-ada", _train(names, "auto", _STYLEGAN), "sh", _files("StyleGAN2-ada") + _flip(names))
    yield Example(
        "LPFF's fork of StyleGAN2-ada", _train(names, "auto", f"{_STYLEGAN} {fork}"), "sh", _list(names) + _flip(names)
    )
    if not names.listed:
        yield Example("StyleGAN3", _train(names, "stylegan3-t", _STYLEGAN), "sh", _files("StyleGAN3") + _flip(names))
    yield Example(
        "Python alone",
        f"""import io
import json
from zipfile import ZipFile

from PIL import Image

with ZipFile("{names.files[0]}") as archive:
    labels = dict(json.loads(archive.read("dataset.json"))["labels"] or [])
    for line in archive.read("samples.jsonl").splitlines():
        fields = json.loads(line)
        picture = Image.open(io.BytesIO(archive.read(fields["name"])))
        print(fields["key"], picture.size, labels.get(fields["name"]))
""",
        "python",
        _INSIDE + (_UNWEIGHTED if names.weighted else "") + (_ONLY_FORKS if names.listed else ""),
    )


_UNWEIGHTED = "\nNo trainer reads the weights: each counts every picture once. The weights are in `samples.jsonl`.\n"
_ONLY_FORKS = (
    "\nEG3D, StyleGAN2-ada and StyleGAN3 read no lists and would count every picture once, without its copies. For "
    "them, export again with `--zip-copies files`.\n"
)


def _files(trainer: str) -> str:
    return f"\n{trainer} counts every picture file once, and reads no list.\n"


def _list(names: Names) -> str:
    return (
        f"\nThe fork reads the names in `{names.mode}.json`; without the option LPFF's EG3D trains on `FFHQ` alone.\n"
    )


def _flip(names: Names) -> str:
    return "\nAdd `--mirror=1` to flip at random: the zip holds no mirrors.\n" if names.mirrors else ""


def _other_side(names: Names) -> str:
    sizes = ", ".join(map(str, EG3D_SIDES[:-1]))
    return (
        f"EG3D's `--cfg=ffhq` takes pictures of {sizes} or {EG3D_SIDES[-1]} pixels, these have {names.side}. Export "
        f"again with `--resolution {EG3D_SIDES[-1]}`.\n"
    )


def _train(names: Names, config: str, more: str) -> str:
    return f"python train.py --outdir=runs --cfg={config} --data={names.files[0]} --gpus=8 --batch=32 {more}"
