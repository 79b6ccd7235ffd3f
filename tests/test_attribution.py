"""ATTRIBUTION: exactly one line for the picture of every sample, with licence and author, or `unknown` and counted."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import LPFF_IDS, UNSPLASH_IDS, write_eg3d_zip, write_ffhq_metadata, write_lpff, write_unsplash
from running import run

from lpff_shards import ExportOptions, MixOptions, PictureOptions, RunOptions, ShardsError, SourceOptions, export
from lpff_shards.attribution.lines import merged
from lpff_shards.manifest import Manifest, read_manifest
from lpff_shards.readers.catalogue import get_reader
from lpff_shards.readers.mapped import mapped
from lpff_shards.schemas.demands import demands
