"""Where the pictures of an export come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import check, declared, file_options, flag, option, recordable_path, word
from lpff_shards.schemas.sources import ADDED, DEMO_PICTURES, SPECS, known_specs
from lpff_shards.schemas.text import alternatives
from lpff_shards.schemas.uris import is_uri

Alignment = Literal["eg3d", "stylegan", "realign2400", "raw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where the pictures come from; what is given is combined. Paths may be URIs: `s3://bucket/prefix`, `gs://...`."""

    lpff: str | None = option(SPECS["lpff"].help, "file", metavar="PATH")
    unsplash_pexels: str | None = option(SPECS["unsplash_pexels"].help, "file", metavar="PATH")
    ffhq: str | None = option(SPECS["ffhq"].help, "file", metavar="PATH")
    ffhq_cameras: str | None = option("EG3D's dataset.json, where it is not inside --ffhq.", "file")
    ffhq_metadata: str | None = option("ffhq-dataset-v2.json: licenses, authors, landmarks.", "file")
    demo: int | None = option(SPECS["demo"].help, "whole", metavar="[N]", most=10_000_000, bare=DEMO_PICTURES)
    alignment: Alignment = word(
        "Which crops; realign2400 and raw are LPFF's and Unsplash-Pexels'.", Alignment, default="eg3d"
    )
    mirror: bool | None = option("Write each picture's mirror beside it.  [default: yes for eg3d]", "switch")
    others: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Paths of data sets that other packages add, by name: `--NAME PATH` on the command line."""

    def __post_init__(self) -> None:
        check(self)
        others = {name: recordable_path(flag(name), path) for name, path in sorted(self.others.items())}
        object.__setattr__(self, "others", others)
        if not self.given:
            names = alternatives(map(flag, (*(name for name in declared(self) if name in SPECS), *ADDED)))
            raise ShardsError("no source was given", f"Give {names}; they combine")
        for spec in known_specs(self.given):
            if self.alignment not in spec.alignments:
                fitting = alternatives(f"--alignment {one}" for one in spec.alignments)
                raise ShardsError(f"{flag(spec.name)} has no {self.alignment} pictures", f"Use {fitting}")
        for name, spec in SPECS.items():
            if name not in self.given and (lone := next((file for file in spec.files if file in self.paths), None)):
                hint = f"It describes {spec.title}'s pictures: give {flag(name)} too"
                raise ShardsError(f"{flag(lone)} was given without {flag(name)}", hint)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the given sources, in the order in which they are combined."""
        return (*(name for name in SPECS if getattr(self, name) is not None), *self.others)

    @property
    def paths(self) -> Mapping[str, str]:
        """Paths and URIs of data sets and of the files beside them, by the name of their option."""
        own = ((name, getattr(self, name)) for name in file_options(SourceOptions))
        return {**{name: path for name, path in own if path is not None}, **self.others}

    @property
    def on_disk(self) -> tuple[str, ...]:
        """Paths of the given data sets that are not in a bucket."""
        return tuple(path for name, path in self.paths.items() if name in self.given and not is_uri(path))

    @property
    def mirrors(self) -> bool:
        """Whether mirrors are written, the default resolved."""
        return self.alignment == "eg3d" if self.mirror is None else self.mirror
