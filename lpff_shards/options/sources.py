"""Where the pictures of an export come from: published data sets, and the user's own, `--dataset NAME=PATH`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lpff_shards.errors import ShardsError
from lpff_shards.options.channels import HELP as CHANNEL_HELP
from lpff_shards.options.channels import GivenChannel, given_channels
from lpff_shards.options.crops import CROPS, CropFrom, CropQuality, crop_name
from lpff_shards.options.declaration import check, declared, file_options, flag, option, recordable_path, word
from lpff_shards.schemas.license import UNKNOWN, USUAL_NAMES, License, parse_license
from lpff_shards.schemas.sources import ADDED, DEMO_PICTURES, NAME_RULE, SPECS, known_specs
from lpff_shards.schemas.text import alternatives
from lpff_shards.schemas.uris import is_uri

EXPORT = "export"
"""Name among `SourceOptions.paths` of an export to convert."""
ORIGIN = "converted_from"
"""Name among the recorded options of what an export was converted from."""
Alignment = Literal["eg3d", "stylegan", "realign2400", "raw"]
MIRRORED = ",mirrored"
_WORDS: Mapping[str, tuple[str, bool]] = {
    "opencv": ("opengl", False),
    "opengl": ("opengl", True),
    "c2w": ("w2c", False),
    "w2c": ("w2c", True),
    "normalized": ("pixels", False),
    "pixels": ("pixels", True),
}


@dataclass(frozen=True, slots=True)
class Convention:
    """How cameras are written; None where the file's layout decides.

    Attributes:
        opengl: axes are OpenGL's (x right, y up, z backward), not OpenCV's (x right, y down, z forward).
        w2c: poses are world-to-camera, not camera-to-world.
        pixels: intrinsics are in pixels, not divided by the picture's width and height.
    """

    opengl: bool | None = None
    w2c: bool | None = None
    pixels: bool | None = None


@dataclass(frozen=True, slots=True)
class OwnSet:
    """A data set of the user's own.

    Attributes:
        name: value of the field `dataset`, and the start of its samples' keys.
        path: a folder or zip, or its URI.
        mirrored: whether every second picture is the mirror of the one before it.
        convention: of its cameras.
        license: of pictures without one of their own.
        terms: the file with the terms of the whole set, or empty.
    """

    name: str
    path: str
    mirrored: bool = False
    convention: Convention = Convention()
    license: License = UNKNOWN
    terms: str = ""


def own_sets(
    dataset: Iterable[str], camera_convention: Iterable[str], license_of: Iterable[str], terms_of: Iterable[str]
) -> tuple[OwnSet, ...]:
    """Return the data sets that these options describe, each option a list of NAME=VALUE.

    Raises:
        ShardsError: a name is taken or given twice, an option is for a set that is not given, or a value is unknown.
    """
    paths = _by_name("--dataset", dataset, "PATH")
    for name in paths:
        if not NAME_RULE.fullmatch(name) or name in SPECS or name in ADDED:
            hint = "It starts with a-z, then a-z, 0-9 and _, 40 characters at most, and no other data set has it"
            raise ShardsError(f"--dataset {name}=... cannot have this name", hint)
    more: dict[str, dict[str, Any]] = {name: {} for name in paths}
    for name_of_option, key, given, such_as in (
        ("--camera-convention", "convention", camera_convention, "opengl,c2w"),
        ("--license-of", "license", license_of, "CC-BY-4.0"),
        ("--terms-of", "terms", terms_of, "FILE"),
    ):
        for name, text in _by_name(name_of_option, given, such_as).items():
            if name not in paths:
                raise ShardsError(
                    f"{name_of_option} {name}=... is for no given --dataset", f"Give --dataset {name}=PATH too"
                )
            more[name][key] = _READ[key](name, text)
    return tuple(
        OwnSet(name, _path("--dataset", text.removesuffix(MIRRORED)), text.endswith(MIRRORED), **more[name])
        for name, text in paths.items()
    )


def _by_name(option: str, given: Iterable[str], such_as: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in (given,) if isinstance(given, str) else given:
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            raise ShardsError(f"{option} {text!r} is not NAME=VALUE", f"Write it as in {option} heads={such_as}")
        if name in found:
            raise ShardsError(f"{option} {name}=... was given twice", "Give it once")
        found[name] = value
    return found


def _path(option: str, text: str) -> str:
    # Shells expand ~ only at the start of a word.
    return recordable_path(option, os.path.expanduser(text))  # noqa: PTH111


def _convention(name: str, text: str) -> Convention:
    found: dict[str, bool] = {}
    for one in text.split(","):
        if one not in _WORDS:
            message = f"--camera-convention {name}={text}: {one!r} is not known"
            raise ShardsError(message, f"Use {alternatives(_WORDS)}")
        key, value = _WORDS[one]
        if found.setdefault(key, value) is not value:
            raise ShardsError(f"--camera-convention {name}={text} contradicts itself", f"Use {alternatives(_WORDS)}")
    return Convention(**found)


def _license(name: str, text: str) -> License:
    found = parse_license(text)
    if not found.short and "://" not in text:
        hint = f"Give a short name such as {', '.join(USUAL_NAMES[:-1])}, or the URL of its text"
        raise ShardsError(f"--license-of {name}={text} is not known", hint)
    return found


_READ: Mapping[str, Any] = {
    "convention": _convention,
    "license": _license,
    "terms": lambda _, text: _path("--terms-of", text),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where the pictures come from; what is given is combined. Paths may be URIs: `s3://bucket/prefix`, `gs://...`."""

    lpff: str | None = option(SPECS["lpff"].help, "file", metavar="PATH")
    unsplash_pexels: str | None = option(SPECS["unsplash_pexels"].help, "file", metavar="PATH")
    ffhq: str | None = option(SPECS["ffhq"].help, "file", metavar="PATH")
    ffhq_cameras: str | None = option("EG3D's dataset.json, where it is not inside --ffhq.", "file")
    ffhq_metadata: str | None = option("ffhq-dataset-v2.json: licenses, authors, landmarks.", "file")
    demo: int | None = option(SPECS["demo"].help, "whole", metavar="[N]", most=10_000_000, bare=DEMO_PICTURES)
    dataset: tuple[str, ...] = option(
        "Pictures of your own, with or without cameras; repeatable. `,mirrored`: each is followed by its mirror.",
        "text", default=(), metavar="NAME=PATH[,mirrored]", repeated=True, sparse=True,
    )  # fmt: skip
    camera_convention: tuple[str, ...] = option(
        "How the cameras of --dataset NAME are written: opencv or opengl, c2w or w2c, normalized or pixels.",
        "text", default=(), metavar="NAME=WORDS", repeated=True, sparse=True,
    )  # fmt: skip
    license_of: tuple[str, ...] = option(
        "License of the pictures of --dataset NAME that have none of their own, such as CC-BY-4.0.",
        "text", default=(), metavar="NAME=LICENSE", repeated=True, sparse=True,
    )  # fmt: skip
    terms_of: tuple[str, ...] = option(
        "A text file with the terms of use of --dataset NAME.",
        "text", default=(), metavar="NAME=FILE", repeated=True, sparse=True,
    )  # fmt: skip
    channel: tuple[str, ...] = option(
        CHANNEL_HELP, "text", default=(), metavar="NAME=PATH[,KIND]", repeated=True, sparse=True
    )
    alignment: str = word(
        "Which crops; realign2400 and raw are LPFF's and Unsplash-Pexels'.  [default: eg3d]", Alignment
    )
    """Of the samples: with `crop` it is the name of that."""
    crop: str | None = option(
        "Crop the pictures of --from by their landmarks, as eg3d, stylegan, realign2400, or as a TOML file says.",
        "text", metavar="ALIGNMENT", sparse=True, offered=CROPS,
    )  # fmt: skip
    from_: CropFrom | None = word(
        "The pictures that --crop crops; FFHQ's raw ones are in-the-wild-images.", CropFrom, sparse=True
    )
    crop_quality: CropQuality = word(
        "exact gives the pixels of the data sets' own scripts, fast nearly the same pixels in less time.",
        CropQuality, default="exact", sparse=True,
    )  # fmt: skip
    mirror: bool | None = option("Write each picture's mirror beside it.  [default: yes for eg3d]", "switch")
    unpack_to: str | None = option(
        "Where RAR archives that cannot be read in place are unpacked.  [default: beside each]",
        "folder", metavar="DIR", decides=False,
    )  # fmt: skip
    others: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Paths of data sets that other packages add, by name: `--NAME PATH` on the command line."""
    export: str | None = None
    """A finished export to convert, in place of data sets: `lpff-shards convert PATH`."""

    def __post_init__(self) -> None:
        # The alignment of crops may be the user's own.
        check(self, *(["alignment"] if self.crop else []))
        others = {name: recordable_path(flag(name), path) for name, path in sorted(self.others.items())}
        object.__setattr__(self, "others", others)
        for name in (name for name, one in declared(self).items() if one.repeated):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.unpack_to is not None and is_uri(self.unpack_to):
            raise ShardsError(f"--unpack-to {self.unpack_to} is in a bucket", "Give a folder on a disk")
        given_channels(self.channel)
        if self.export is not None:
            object.__setattr__(self, "export", recordable_path("PATH", self.export))
        if not self.given:
            names = alternatives(map(flag, (*(name for name in declared(self) if name in SPECS), *ADDED, "dataset")))
            raise ShardsError("no source was given", f"Give {names}; they combine")
        self._resolve_alignment()
        for spec in known_specs(() if self.crop else self.given):
            if self.alignment not in spec.alignments:
                fitting = alternatives(f"--alignment {one}" for one in spec.alignments)
                raise ShardsError(f"{flag(spec.name)} has no {self.alignment} pictures", f"Use {fitting}")
        for name, spec in SPECS.items():
            if name not in self.given and (lone := next((file for file in spec.files if file in self.paths), None)):
                hint = f"It describes {spec.title}'s pictures: give {flag(name)} too"
                raise ShardsError(f"{flag(lone)} was given without {flag(name)}", hint)

    def _resolve_alignment(self) -> None:
        """Fill in the alignment of the samples; refuse crops that the sources cannot give."""
        if self.crop is None:
            if lone := "--from" if self.from_ else "--crop-quality" if self.crop_quality != "exact" else "":
                raise ShardsError(f"{lone} has no effect without --crop", "Give both, or neither")
            object.__setattr__(self, "alignment", self.alignment or "eg3d")
            return
        name = crop_name(self.crop)
        if self.from_ is None:
            raise ShardsError("--crop needs --from", "Give --from raw or --from realign2400: the pictures to crop")
        if name == self.from_:
            raise ShardsError(f"--crop {name} cannot be made --from {name}", "Use --from raw")
        if self.alignment not in (None, name):
            hint = "--from says which pictures are read, and --crop how they are aligned"
            raise ShardsError("--alignment and --crop cannot be used together", hint)
        specs = {spec.name: spec for spec in known_specs(self.given)}
        for source in self.given:
            crops_from = specs[source].crops_from if source in specs else ()
            if not crops_from:
                given = flag(source) if source in specs else f"--dataset {source}"
                raise ShardsError(f"--crop is not for {given}", "Export it without --crop, into a folder of its own")
            if self.from_ not in crops_from:
                fitting = alternatives(f"--from {one}" for one in crops_from)
                raise ShardsError(f"{flag(source)} has no {self.from_} pictures", f"Use {fitting}")
        if self.ffhq is not None and self.ffhq_metadata is None:
            raise ShardsError("--crop needs the landmarks of --ffhq", "Give ffhq-dataset-v2.json by --ffhq-metadata")
        object.__setattr__(self, "alignment", name)

    @property
    def pictures(self) -> str:
        """Alignment of the pictures that are read."""
        return self.from_ or self.alignment

    @property
    def crop_file(self) -> str | None:
        """The TOML file of --crop."""
        return None if self.crop in CROPS else self.crop

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the given sources, in the order in which they are combined."""
        own = (one.name for one in self.own)
        export = () if self.export is None else (EXPORT,)
        return (*(name for name in SPECS if getattr(self, name) is not None), *self.others, *own, *export)

    @property
    def channels(self) -> tuple[GivenChannel, ...]:
        """The channels of --channel."""
        return given_channels(self.channel)

    @property
    def own(self) -> tuple[OwnSet, ...]:
        """The data sets of --dataset."""
        return own_sets(self.dataset, self.camera_convention, self.license_of, self.terms_of)

    @property
    def paths(self) -> Mapping[str, str]:
        """Paths and URIs of data sets and of the files beside them, by their option; without those of --dataset."""
        own = ((name, getattr(self, name)) for name in file_options(SourceOptions))
        export = {} if self.export is None else {EXPORT: self.export}
        return {**{name: path for name, path in own if path is not None}, **self.others, **export}

    @property
    def on_disk(self) -> tuple[str, ...]:
        """Paths of the given data sets and channels that are not in a bucket."""
        own = (*(one.path for one in self.own), *(one.path for one in self.channels))
        paths = (*(path for name, path in self.paths.items() if name in self.given), *own)
        return tuple(path for path in paths if not is_uri(path))

    @property
    def mirrors(self) -> bool:
        """Whether mirrors are written, the default resolved."""
        return self.alignment == "eg3d" if self.mirror is None else self.mirror
