"""Readers of an export: random access (`ShardSource`), and data loaders for PyTorch, TensorFlow and JAX.

Each loader is in a module that imports its library: `lpff_shards.loaders.torch`, `.tensorflow`, `.jax`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lpff_shards.loaders.source import ShardSource

__all__ = ["ShardSource"]


def __getattr__(name: str) -> object:
    if name != "ShardSource":
        raise AttributeError(f"module 'lpff_shards.loaders' has no attribute {name!r}")
    from lpff_shards.loaders.source import ShardSource

    return ShardSource
