"""How the trainers' zip is used, and read without them."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.exporters.card.names import Example, Names

_INSIDE = (
    "\nA zip holds the pictures by number, `dataset.json` with the cameras, `samples.jsonl` with the fields below, a "
    "line a picture, and lists of names such as `FFHQ_LPFF_rebalanced.json`, in which a picture stands as often as it "
    "counts. LPFF's trainers take the list of their set out of the zip.\n"
)


def examples(names: Names) -> Iterator[Example]:
    """The trainers' commands, and reading the members."""
    if names.camera:
        yield Example("EG3D, and LPFF's fork of it", _train(names, "ffhq", "--gamma=1 --gen_pose_cond=True"), "sh")
    yield Example("StyleGAN2-ada", _train(names, "stylegan2", "--gamma=10"), "sh")
    yield Example("StyleGAN3", _train(names, "stylegan3-t", "--gamma=10"), "sh", _INSIDE)
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
    )


def _train(names: Names, config: str, more: str) -> str:
    return f"python train.py --outdir=runs --cfg={config} --data={names.files[0]} --gpus=8 --batch=32 {more}"
