"""Record: one picture of one source, nothing decoded; Entry: that picture as one sample of a data set."""

from __future__ import annotations

from typing import ClassVar, Protocol

from msgspec import Struct, field

from lpff_shards.schemas.camera import Camera
from lpff_shards.schemas.landmarks import Points
from lpff_shards.schemas.license import UNKNOWN, License


class Blob(Protocol):
    """Where the bytes of a picture are. Picklable; reading it keeps no file open."""

    @property
    def where(self) -> str:
        """The file, or `archive.zip:member`, as errors name it."""

    @property
    def size(self) -> int:
        """Length in bytes, an estimate where the bytes are yet to be made."""

    @property
    def stamp(self) -> int:
        """A number that changes when the bytes do: a file's time, a zip member's CRC-32."""

    def head(self, most: int) -> bytes:
        """The first bytes of the picture's file, `most` of them or a few more; all where it is shorter.

        Raises:
            BlobError: it is gone or unreadable.
        """

    def read(self) -> bytes:
        """The picture's file, whole.

        Raises:
            BlobError: it is gone, unreadable, or no longer as long as it was.
        """


class Credit(Struct, frozen=True, gc=False):
    """Whose photo it is; unknown is an empty string.

    Attributes:
        photo_id: of the photo at its host; faces of one photo share it.
        author, author_id: the photographer's name, and id at the host.
        title: of the photo.
        source_url: the photo's page or file at its host.
        low_resolution_download_url, high_resolution_download_url: files of the photo at its host.
        license: of the photo.
        category: FFHQ's `training` or `validation`.
    """

    FEW: ClassVar[tuple[str, ...]] = ("category",)

    photo_id: str = ""
    author: str = ""
    author_id: str = ""
    title: str = ""
    source_url: str = ""
    low_resolution_download_url: str = ""
    high_resolution_download_url: str = ""
    # Plans seal credits by these names, so the name that older exports have stays.
    license: License = field(name="licence", default=UNKNOWN)
    category: str = ""


class Record(Struct, frozen=True, eq=False):
    """One picture of one source.

    Attributes:
        source: name of the source: lpff, unsplash_pexels, ffhq, demo.
        id: the source's own id of the picture, unchanged; a picture and its mirror share it.
        face: number of the face in its photo, from 1; 0 where unknown.
        alignment: how the picture was cropped.
        is_mirror: the source's picture is itself a mirrored one.
        blob: where its bytes are.
        camera: of this picture or, as `camera_alignment` says, of another crop of the same photo; None where unknown.
        camera_alignment: which crop the camera's intrinsics and roll are of.
        landmarks: of this picture; None where unknown.
        landmarks_size: width and height in pixels of the picture that the landmarks are of, 0 for this very file's.
        landmarks_source: `published` with the data set, or `computed` from those of another crop.
        credit: author, license and photo.
    """

    source: str
    id: str
    face: int
    alignment: str
    is_mirror: bool
    blob: Blob
    camera: Camera | None
    landmarks: Points | None
    credit: Credit
    camera_alignment: str = ""
    landmarks_size: tuple[int, int] = (0, 0)
    landmarks_source: str = ""


class Entry(Struct, frozen=True, eq=False):
    """One sample to write.

    Attributes:
        key: unique in the data set.
        record: the picture.
        flip: mirror picture, camera and landmarks on writing.
        replica: 0 for the first copy, then 1, 2, ...
        split: that it belongs to.
        density: of its pose, per square radian, 0 where not computed.
        weight: for loaders that resample.
        must_decode: another entry of the plan is the same file mirrored: one that does not decode is left out with it.
    """

    key: str
    record: Record
    flip: bool = False
    replica: int = 0
    split: str = "train"
    density: float = 0.0
    weight: float = 1.0
    must_decode: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the sample's picture is a mirrored one, by the source or by us."""
        return self.record.is_mirror != self.flip
