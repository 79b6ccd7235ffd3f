"""How each reader loads a data set: which examples a card shows, and those of our own loaders."""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpff_shards.manifest import Manifest
from lpff_shards.options.mix import TRAIN
from lpff_shards.sidecars.card import record_examples, tar_examples, zip_examples
from lpff_shards.sidecars.card.names import Example, Names, fenced, names_of


def examples(names: Names) -> Iterator[Example]:
    """ShardSource, and a pipeline for each framework."""
    split = f', split="{names.split}"' if names.split != TRAIN else ""
    shown = '\nprint(sample["camera"])' if names.camera else ""
    yield Example(
        "Any sample by its number",
        f"""from lpff_shards.loaders import ShardSource

source = ShardSource("."{split})
sample = source[0]
print(len(source), sample["image"].shape, sample["metadata"]["key"], sample["metadata"]["license"]){shown}
""",
    )
    yield Example("PyTorch", _pipeline(names, "torch"))
    if "tensorflow" in names.format.readers:
        yield Example(
            "TensorFlow",
            f"""from lpff_shards.loaders.tensorflow import dataset

for batch in dataset({_options(names)}):
    print(batch["image"].shape, {names.shown})
""",
        )
    yield Example(
        "JAX",
        f"""from lpff_shards.loaders.jax import loader

batches = iter(loader({_options(names)}, workers=0))
batch = next(batches)
print(batch["image"].shape, {names.shown})
""",
    )


def _pipeline(names: Names, framework: str) -> str:
    return f"""from lpff_shards.loaders.{framework} import loader

for batch in loader({_options(names)}):
    print(batch["image"].shape, {names.shown})
"""


def _options(names: Names) -> str:
    given = ['"."', f"batch_size={names.batch}"]
    if names.split != TRAIN:
        given.append(f'split="{names.split}"')
    if names.mirrors:
        given.append("mirror=True")
    if names.weighted:
        given.append("weights=True")
    return ", ".join(given)


def loading(manifest: Manifest, suffixes: Set[str]) -> str:
    """An example for each reader, with the data set's own names; they run in its folder."""
    names = names_of(manifest, suffixes)
    parts = [f"### {one.title}\n\n{_code(one)}{one.words}" for one in _examples(names)]
    return "## Loading\n\nThe examples run in this folder.\n\n" + "\n".join(parts)


def _code(one: Example) -> str:
    return fenced(one.code, one.language) if one.code else ""


def _examples(names: Names) -> Iterator[Example]:
    if names.format.spans():
        yield from examples(names)
    if "webdataset" in names.format.readers:
        yield from tar_examples.examples(names)
    if "tensorflow" in names.format.readers:
        yield from record_examples.examples(names)
    if names.format.for_trainers:
        yield from zip_examples.examples(names)
    for title, code in names.format.loading:
        yield Example(title, code.format(name=names.name, split=names.split))
