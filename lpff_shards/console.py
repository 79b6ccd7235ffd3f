"""What the command line prints: plans, manifests and verdicts, as text or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec

from lpff_shards.manifest import Manifest
from lpff_shards.plan import Plan
from lpff_shards.progress import plan_notes, size
from lpff_shards.verify import Verdict


def plan_text(plan: Plan) -> str:
    """A plan for people."""
    lines = [
        f"{plan.name}: {plan.samples:,} samples in {len(plan)} {plan.settings.format} shards, "
        f"about {size(int(plan.sizes.sum()))}",
        f"  {plan.filenames[0]}" + (f" ... {plan.filenames[-1]}" if len(plan) > 1 else ""),
        *_counts("sources", plan.by_source()),
        *_counts("licences", plan.by_licence()),
        f"  plan {plan.digest[:16]}",
    ]
    return "\n".join([*lines, *plan_notes(plan)])


def plan_json(plan: Plan) -> str:
    """A plan for machines."""
    per_shard = [int(plan.sizes[a:b].sum()) for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True)]
    counts = (plan.bounds[1:] - plan.bounds[:-1]).tolist()
    return _json(
        {
            "name": plan.name,
            "format": plan.settings.format,
            "plan": plan.digest,
            "samples": plan.samples,
            "bytes": int(plan.sizes.sum()),
            "sources": plan.by_source(),
            "licenses": plan.by_licence(),
            "options": dict(plan.options),
            "shards": [
                {"file": file, "samples": count, "bytes": size}
                for file, count, size in zip(plan.filenames, counts, per_shard, strict=True)
            ],
            "left_out": [asdict(problem) for problem in plan.problems],
            "notes": list(plan.notes),
        }
    )


def manifest_text(manifest: Manifest, out: str) -> str:
    """What an export says at its end."""
    total = sum(shard.bytes for shard in manifest.shards)
    lines = [f"{manifest.name}: {manifest.samples:,} samples in {len(manifest.shards)} shards, {size(total)}, in {out}"]
    left = manifest.counts.left_out + manifest.counts.skipped
    if left:
        lines.append(f"  left out: {left} (listed with reasons in {Path(out) / 'manifest.json'})")
        lines += [f"    {s.file}: {s.id}: {s.reason}" for s in manifest.skipped[:10]]
        lines += [f"    and {left - 10} more"] if left > 10 else []
    return "\n".join(lines)


def manifest_json(manifest: Manifest) -> str:
    """The manifest itself."""
    return _json(manifest)


def verdict_text(verdict: Verdict) -> str:
    """What `verify` found, a line a fault."""
    shards = f"{verdict.shards} {verdict.format} shards"
    what = f"{verdict.name}: {verdict.samples:,} samples in {shards}, {size(verdict.bytes)}"
    if verdict.ok:
        return f"{what}: all whole"
    return "\n".join([*map(str, verdict.faults), f"{what}: {len(verdict.faults)} faults"])


def verdict_json(verdict: Verdict) -> str:
    """What `verify` found, for machines."""
    return _json({"ok": verdict.ok, **asdict(verdict)})


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield f"  {title}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()
