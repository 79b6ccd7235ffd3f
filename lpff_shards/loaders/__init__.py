"""Readers of an export: random access (`ShardSource`), and data loaders for PyTorch, TensorFlow and JAX.

Each loader is in a module that imports its library: `lpff_shards.loaders.torch`, `.tensorflow`, `.jax`.
"""

from __future__ import annotations

from lpff_shards.loaders.source import ShardSource

__all__ = ["ShardSource"]
