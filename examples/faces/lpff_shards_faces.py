"""A data set of another package: a folder of pictures with faces.csv, a line a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.license import license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.schemas.sources import SourceSpec, Terms

if TYPE_CHECKING:
    from lpff_shards.sources.build import ScannedImage
    from lpff_shards.sources.inventory import Inventory

TABLE = "faces.csv"
"""Columns: file, photo, author, url, license, and camera, 25 numbers with spaces between them."""


@dataclass(frozen=True)
class Faces:
    """The pictures at a path, in one alignment."""

    spec: ClassVar[SourceSpec] = SourceSpec(
        name="faces",
        title="Faces",
        help="Faces: a folder or zip of pictures with faces.csv.",
        terms=Terms("Faces (made up for the documentation)", "https://example.org/faces", "For tests only."),
        color="#b3447f",
    )

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        # Help and other commands load this module too, so what needs numpy is imported here.
        from lpff_shards.sources.build import build
        from lpff_shards.sources.io.tree import only_folder, open_tree, read_whole

        # A folder, a zip, or a prefix of a bucket; an archive may hold all in one folder.
        files = only_folder(open_tree("--faces", self.path)).files()
        if TABLE not in files:
            raise ShardsError(f"--faces {self.path} has no {TABLE}", f"Put {TABLE} beside the pictures")
        table = files[TABLE]
        lines = csv.DictReader(read_whole(table).decode("utf-8-sig", "replace").splitlines())
        rows = {line["file"]: line for line in lines if line.get("file")}
        found = [_found(name, blob, rows.get(name, {}), table.where) for name, blob in files.pictures().pairs()]
        return build("faces", self.alignment, found, cameras=table.where)


def _found(name: str, blob: Blob, row: Mapping[str, str], where: str) -> ScannedImage:
    from lpff_shards.sources.build import ScannedImage

    text = {key: (value or "").strip() for key, value in row.items() if isinstance(value, str)}
    credit = Credit(
        photo_id=text.get("photo", ""),
        author=text.get("author", ""),
        source_url=text.get("url", ""),
        license=license("", text.get("license", "")),
    )
    id = name.rpartition(".")[0]
    try:
        camera = [float(number) for number in text.get("camera", "").split()]
    except ValueError as error:
        return ScannedImage(id, blob, credit=credit, fault=(where, f"camera: {error}"))
    return ScannedImage(id, blob, camera or None, credit=credit)
