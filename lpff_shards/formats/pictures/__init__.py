"""Picture files: headers, decoding, and an encoder for PNG."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray


def decode_by_pillow(data: bytes, kind: str) -> NDArray[np.uint8]:
    """Return the pixels of a png, jpeg or webp file, uint8 [height, width, 3], RGB; raise Pillow's errors."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures; their size is checked already.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            if image.mode.startswith("I"):
                # libspng keeps the high byte of 16-bit gray; Pillow does the same only for 16-bit color.
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image.convert("RGB"))
