"""How a data set is loaded by each reader: which examples a card shows, by format and by what samples hold."""

from __future__ import annotations

from collections.abc import Iterator, Set

from lpff_shards.manifest import Manifest
from lpff_shards.sidecars.card import examples, record_examples, tar_examples, zip_examples
from lpff_shards.sidecars.card.markdown import fenced
from lpff_shards.sidecars.card.names import Example, Names, names_of


def loading(manifest: Manifest, suffixes: Set[str]) -> str:
    """An example for each reader, with the data set's own names; they run in its folder."""
    names = names_of(manifest, suffixes)
    parts = [f"### {one.title}\n\n{_code(one)}{one.words}" for one in _examples(names)]
    return "## Loading\n\nThe examples run in this folder.\n\n" + "\n".join(parts)


def _code(one: Example) -> str:
    return fenced(one.code, one.language) if one.code else ""


def _examples(names: Names) -> Iterator[Example]:
    if names.format == "zip":
        yield from zip_examples.examples(names)
        return
    yield from examples.examples(names)
    yield from (tar_examples if names.format == "wds" else record_examples).examples(names)
