"""A data set of the user's own, `--dataset NAME=PATH`: folders of pictures, with tables of cameras and credits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.sources import OwnSet
from lpff_shards.schemas import camera, landmarks
from lpff_shards.schemas.archive import LABELS, SAMPLES
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.fields import FIELDS, TAKEN
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.license import UNKNOWN, parse_license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.build import ScannedImage, build
from lpff_shards.sources.inventory import Extra, Inventory
from lpff_shards.sources.io.camera_tables import CAMERA_COLUMNS, WORDS, Size, is_camera, is_word, read_camera_rows
from lpff_shards.sources.io.files import sizes_of
from lpff_shards.sources.io.json_files import TWICE, Fault
from lpff_shards.sources.io.parquet_files import read_parquet
from lpff_shards.sources.io.picture_tables import (
    PictureTable,
    Row,
    column_of,
    is_missing,
    picture_id,
    read_picture_table,
)
from lpff_shards.sources.io.tree import FolderTree, Tree, open_tree, walk
from lpff_shards.storage.path import is_folder

TABLES = (
    *("metadata.jsonl", "metadata.csv", SAMPLES, LABELS),
    *("cameras.json", "cameras.jsonl", "cameras.csv", "opencv_cameras.json"),
    *(f"transforms{part}.json" for part in ("", "_train", "_val", "_test")),
)
"""Names of the tables that are read, in any folder; the first one with a column decides it."""
CREDIT = (*(name for name in Credit.__struct_fields__ if name != "category"), "license_url")
"""Columns of the credit, named like the fields of samples."""
READ = {*CREDIT, *CAMERA_COLUMNS}
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MANY = 20
"""Fewest cameras of a set that should be on both sides of the head."""
_LENS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Coefficients of lens distortion, as OpenCV and nerfstudio name them."""
SHOWN = 20
_PAIRS = "Without `,mirrored` the export makes mirrors itself"


@dataclass(frozen=True)
class Own:
    """The pictures of a set, in the order of their ids: paths without suffix."""

    own: OwnSet
    alignment: str
    unpack_to: str | None = None

    def inventory(self) -> Inventory:
        where = f"--dataset {self.own.name}={self.own.path}"
        pictures: list[tuple[str, Blob]] = []
        tables: list[PictureTable] = []
        for folder, tree in walk(self._root()):
            files = tree.files()
            pictures += ((picture_id(folder + name), blob) for name, blob in files.pictures().pairs())
            tables += (read_picture_table(files[name], name, folder) for name in TABLES if name in files)
            for name in (name for name in files if name.endswith(".parquet")):
                inside, table = read_parquet(files[name], name, folder)
                pictures += inside
                tables.append(table)
        if not pictures:
            raise ShardsError(f"{where} contains no pictures", "Their names end in .png, .jpg, .jpeg or .webp")
        pictures.sort(key=lambda picture: picture[0])
        cameras, faults, files_of_cameras = self._cameras(pictures, tables)
        rows: dict[str, list[Row]] = defaultdict(list)
        for table in tables:
            faults |= dict.fromkeys(table.twice, (table.where, TWICE))
            for id, row in table.rows.items():
                rows[id].append(row)
        found = [self._scanned(id, blob, cameras.get(id), rows.get(id, ()), faults.get(id)) for id, blob in pictures]
        ids = [id for id, _ in pictures]
        if self.own.mirrored:
            found = list(self._paired(f"{where},mirrored", found))
            # What is said of one of a pair is true for both.
            for one, other in zip(ids[::2], ids[1::2], strict=True):
                rows[one], rows[other] = [*rows[one], *rows[other]], [*rows[other], *rows[one]]
        extra, unused = _extra_columns(ids, tables, rows)
        notes = [*_unmatched(pictures, tables), *_distorted(tables), *unused, *self._unknown(found)]
        return build(self.own.name, self.alignment, found, files_of_cameras, notes, not cameras, extra)

    def _root(self) -> Tree:
        """Return the tree, or that of the folder in which an archive wraps its files: with tables, or of its name."""
        tree, path = open_tree("--dataset", self.own.path, self.unpack_to), PurePath(self.own.path)
        if isinstance(tree, FolderTree) and is_folder(tree.path / STATE_FOLDER):
            raise ShardsError(f"--dataset {self.own.name}={self.own.path} is an export", "Give what it was made from")
        folders = tree.folders()
        if path.suffix.lower() not in (".zip", ".rar") or len(folders) != 1 or tree.files():
            return tree
        inner = tree.sub(folders[0]) or tree
        is_wrapper = folders[0] == path.stem or any(name in inner.files() for name in TABLES)
        return inner if is_wrapper else tree

    def _cameras(
        self, pictures: Sequence[tuple[str, Blob]], tables: Sequence[PictureTable]
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, Fault], str]:
        """Return cameras and faults by the id of their picture, and the names of their files."""

        @cache
        def sizes() -> Mapping[str, Size]:
            found = sizes_of([blob for _, blob in pictures]).tolist()
            return {id: (width, height) for (id, _), (width, height) in zip(pictures, found, strict=True)}

        cameras: dict[str, NDArray[np.float64]] = {}
        faults: dict[str, Fault] = {}
        home: dict[str, str] = {}
        for table in tables:
            read, wrong = read_camera_rows(table, self.own.convention, lambda id: sizes().get(id, (0, 0)))
            if both := sorted(read.keys() & cameras.keys()):
                message = f"{home[both[0]]} and {table.where} both have a camera of {both[0]}"
                raise ShardsError(message, "Take one of the files out of the data set")
            cameras |= read
            home |= dict.fromkeys(read, table.where)
            faults |= {id: (table.where, reason) for id, reason in wrong.items()}
        return cameras, faults, " and ".join(sorted(set(home.values()))[:2])

    def _scanned(
        self, id: str, blob: Blob, pose: NDArray[np.float64] | None, rows: Sequence[Row], fault: Fault | None
    ) -> ScannedImage:
        points, credit = None, Credit(license=self.own.license)
        try:
            text = {name: next(filter(None, (_text(name, row) for row in rows)), "") for name in CREDIT}
            found = parse_license(text.pop("license"), text.pop("license_url"))
            credit = Credit(**text, license=self.own.license if found == UNKNOWN else found)
            points = next((_points(row) for row in rows if _has_points(row)), None)
        except ValueError as error:
            fault = fault or (self.own.path, str(error))
        return ScannedImage(id, blob, pose, points=points, credit=credit, fault=fault)

    def _paired(self, where: str, found: Sequence[ScannedImage]) -> Iterator[ScannedImage]:
        """Yield pictures of which every second is the mirror of the one before it; both have the credit of either.

        Raises:
            ShardsError: a picture has no mirror, or the cameras of a pair are not mirrored.
        """
        if len(found) % 2:
            message = f"{where}: it has {len(found):,} pictures, an odd number"
            raise ShardsError(message, "Each picture must be followed by its mirror, in the order of names")
        nobody = Credit(license=self.own.license)
        for own, other in zip(found[::2], found[1::2], strict=True):
            if own.fault is None and other.fault is None and (own.camera is not None or other.camera is not None):
                if own.camera is None or other.camera is None:
                    lone = own.id if own.camera is None else other.id
                    raise ShardsError(f"{where}: {lone} has no camera, and the other of its pair has", _PAIRS)
                off = np.abs(camera.mirror(np.array([own.camera]))[0] - other.camera).max()
                if not off <= camera.TOLERANCE:
                    message = f"{where}: the cameras of {own.id} and {other.id} are not mirrored: off by {off:.3g}"
                    raise ShardsError(message, _PAIRS)
            credit = own.credit if own.credit != nobody else other.credit
            yield structs.replace(own, credit=credit)
            yield structs.replace(other, id=own.id, is_mirror=True, credit=credit)

    def _unknown(self, found: Sequence[ScannedImage]) -> Iterator[str]:
        """Yield what is not known of the pictures, and cameras that are on one side of the head."""
        unknown = sum(not picture.credit.license.short for picture in found)
        name = self.own.name
        if unknown:
            remedy = f"give a column license in metadata.csv, or --license-of {name}=NAME"
            yield f"{name}: the license of {unknown:,} of {len(found):,} pictures is unknown: {remedy}"
        if lacking := sum(picture.camera is None for picture in found):
            some = "its" if lacking == len(found) else f"{lacking:,} of its {len(found):,}"
            yield f"{name}: {some} pictures have no cameras, so rules of rebalancing count each of them once"
        cameras = [picture.camera for picture in found if picture.camera is not None and picture.fault is None]
        if len(cameras) < MANY:
            return
        yaws = np.degrees(camera.yaw_pitch(camera.centers(np.array(cameras)))[:, 0])
        if not yaws.min() < 0 < yaws.max() or np.abs(yaws).min() > 90:
            yield (
                f"{name}: all {len(yaws):,} cameras are on one side, at yaws from {yaws.min():.0f} to {yaws.max():.0f} "
                "degrees: in the world of cameras y is up, and the head at the origin looks along +z; with other axes "
                "yaw, pitch and rebalancing by pose are wrong"
            )


def _text(name: str, row: Row) -> str:
    value = row.get(name)
    if is_missing(value):
        return ""
    if not isinstance(value, str | int | float):
        raise ValueError(f"its {name} is no text: {value!r:.60}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _has_points(row: Row) -> bool:
    return isinstance(points := row.get("landmarks"), list) and len(points) == LANDMARKS


def _points(row: Row) -> Points:
    try:
        points = np.array(row["landmarks"], np.float32).reshape(LANDMARKS, 2)
    except (TypeError, ValueError):
        raise ValueError("its landmarks are not pairs of numbers") from None
    if reason := landmarks.fault(points):
        raise ValueError(reason)
    return points


def _unmatched(pictures: Sequence[tuple[str, Blob]], tables: Sequence[PictureTable]) -> Iterator[str]:
    """Yield which rows are of no picture; there may be a table a folder."""
    ids = {id for id, _ in pictures}
    if lone := [(table.where, id) for table in tables for id in table.rows if id not in ids]:
        yield f"{lone[0][0]}: {len(lone):,} rows are of no picture in the data set, such as {lone[0][1]}"


def _distorted(tables: Sequence[PictureTable]) -> Iterator[str]:
    """Yield that cameras have a lens distortion, which the 25 numbers of a camera do not express."""
    for table in tables:
        values = ((name, row.get(name)) for row in (table.common, *table.rows.values()) for name in _LENS)
        if odd := next((name for name, value in values if value not in (None, "", 0, "0", "0.0")), None):
            yield f"{table.where}: the lens distortion ({odd}) is not used: undistort the pictures first"
            return


def _extra_columns(
    ids: Sequence[str], tables: Sequence[PictureTable], rows: Mapping[str, Sequence[Row]]
) -> tuple[dict[str, Extra], list[str]]:
    """Return the columns of the tables that are not in the schema, in the order of `ids`; and notes on others."""
    homes = {
        column: table.where for table in tables if not _is_ours(table) for row in table.rows.values() for column in row
    }
    found: dict[str, Extra] = {}
    unused: list[str] = []
    words = {name for name in WORDS for some in rows.values() for row in some if is_word(row.get(name))}
    for name in sorted(homes.keys() - (READ - words).union(*(table.naming for table in tables))):
        values = (next((row[name] for row in rows.get(id, ()) if not is_missing(row.get(name))), None) for id in ids)
        column = column_of([None if name == "label" and is_camera(value) else value for value in values])
        if isinstance(column, Texts) and not any(column):
            continue
        if column is None or name in TAKEN or not _FIELD.fullmatch(name):
            unused.append(name or "''")
        else:
            found[name] = column
    names = ", ".join(unused[:SHOWN])
    return found, [f"{homes[unused[0]]}: columns that cannot be fields and are not used: {names}"] if unused else []


def _is_ours(table: PictureTable) -> bool:
    """Return whether an export wrote the table, whose further columns an export writes anew."""
    return {field.name for field in FIELDS} <= next(iter(table.rows.values()), {}).keys()
