"""The built-in demo: portraits rendered from known cameras, with landmarks, licenses and authors."""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.formats.pictures import png
from lpff_shards.schemas.keys import photo_and_face
from lpff_shards.schemas.license import license
from lpff_shards.schemas.record import Credit
from lpff_shards.sources import demo_render
from lpff_shards.sources.build import ScannedImage, build
from lpff_shards.sources.inventory import Inventory

RADIUS = 2.7
FOCAL = 4.2647
SIZES = {"eg3d": 256, "stylegan": 512}
FACES_A_PHOTO = 3
PHOTOS_AN_AUTHOR = 4

_LICENSES = (
    ("Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/"),
    ("Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    ("Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
)


def look_at(yaw: float, pitch: float, roll: float = 0.0) -> NDArray[np.float64]:
    """Return a camera in the published form that faces the head, float64 [25].

    Args:
        yaw, pitch: position of the camera in radians (see `schemas.camera`).
        roll: radians about the viewing axis.
    """
    x, y, z = math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)
    forward = np.array([-x, -y, -z])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
    pose[:3, 3] = RADIUS * np.array([x, y, z])
    intrinsics = np.array([[FOCAL, 0.0, 0.5], [0.0, FOCAL, 0.5], [0.0, 0.0, 1.0]])
    return np.concatenate([pose.ravel(), intrinsics.ravel()])


class RenderedBlob(Struct, frozen=True, gc=False):
    """A portrait that is rendered and encoded as PNG when it is read."""

    number: int
    camera: tuple[float, ...]
    pixels: int

    @property
    def where(self) -> str:
        return f"demo:{self.number}"

    @property
    def size(self) -> int:
        # An estimate: the renders are smooth and compress well.
        return self.pixels * self.pixels // 3

    @property
    def stamp(self) -> int:
        return 0

    def head(self, most: int) -> bytes:
        # The start of every PNG of this size: rendering would take longer than the rest of the plan.
        return png.beginning(self.pixels, self.pixels)[:most]

    def read(self) -> bytes:
        from PIL import Image

        pixels = demo_render.render(np.array(self.camera), demo_render.person(self.number), self.pixels)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=1)
        return out.getvalue()


@dataclass(frozen=True)
class Demo:
    """`count` portraits: half near-frontal, half large-pose; photos of up to three faces, authors of four photos."""

    count: int
    alignment: str

    def inventory(self) -> Inventory:
        return build("demo", self.alignment, map(self._picture, range(self.count), _ids(self.count)), cameras="demo")

    def _picture(self, number: int, id: str) -> ScannedImage:
        size, camera = SIZES[self.alignment], _camera(number)
        blob = RenderedBlob(number, tuple(camera.tolist()), size)
        points = demo_render.landmarks(camera, demo_render.person(number), size)
        photo, face = photo_and_face(id)
        return ScannedImage(id, blob, camera, face, points=points, credit=_credit(photo))


def _ids(count: int) -> list[str]:
    """Return ids in LPFF's form, <user>_<photo>_<face>, in order."""
    ids: list[str] = []
    photo = 0
    while len(ids) < count:
        faces = photo % FACES_A_PHOTO + 1 if photo % 4 == 0 else 1
        user = 10_000 + photo // PHOTOS_AN_AUTHOR
        ids += [f"{user}@N00_{photo:08d}_{face:02d}" for face in range(1, faces + 1)]
        photo += 1
    return ids[:count]


def _credit(photo: str) -> Credit:
    user, _, number = photo.partition("_")
    return Credit(
        photo_id=number,
        author=f"Demo author {user.partition('@')[0]}",
        author_id=user,
        title=f"Demo photo {int(number)}",
        source_url=f"https://example.org/photos/{user}/{number}/",
        license=license(*_LICENSES[int(number) % len(_LICENSES)]),
    )


def _camera(number: int) -> NDArray[np.float64]:
    # Of Python's generators only random.Random.random() gives the same numbers in every version.
    draw = random.Random(number).random
    reach = math.radians(20 if number % 2 == 0 else 75)
    yaw = (2 * draw() - 1) * reach
    pitch = (2 * draw() - 1) * math.radians(30)
    roll = (2 * draw() - 1) * math.radians(8)
    return look_at(yaw, pitch, roll)
