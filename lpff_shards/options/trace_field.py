"""What a name can be looked up by; light, for help and completion."""

from __future__ import annotations

from typing import Literal, get_args

By = Literal["key", "id", "photo", "author", "url"]
BY: tuple[str, ...] = get_args(By)
