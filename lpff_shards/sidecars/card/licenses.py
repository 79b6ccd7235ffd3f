"""Whose the photos are, under which terms the data sets come, and what to cite."""

from __future__ import annotations

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.demands import demands
from lpff_shards.schemas.terms import Terms, citations, terms_of
from lpff_shards.sidecars.card.markdown import fenced, table


def licences(manifest: Manifest) -> str:
    """A table of the photos' licences with what they ask for."""
    rows = [_row(name, count) for name, count in manifest.licenses.items()]
    unknown = sum(count for name, count in manifest.licenses.items() if not demands(name).known)
    columns = ("licence", "samples", "attribution", "share-alike", "non-commercial", "no derivatives")
    asked = (
        "Every sample names its licence, author and source in the fields `license`, `license_url`, `author` and "
        "`source_url`, as far as its data set tells them. Attribution means the author's name, the licence and the "
        "note in `changes` wherever a picture is shown or shared; [ATTRIBUTION.csv](ATTRIBUTION.csv) has them all in a "
        "line a picture, [ATTRIBUTION.md](ATTRIBUTION.md) is the summary. Photos that their authors withdraw must be "
        "dropped: `lpff-shards export --update --exclude FILE` takes them out.\n"
    )
    if unknown:
        asked += (
            f"\nOf {unknown:,} samples the licence is unknown: the sources do not tell it, and it is not guessed.\n"
        )
    return f"## Licences of the photos\n\n{table(columns, rows)}\n{asked}"


def terms(manifest: Manifest) -> str:
    """The data sets' own terms."""
    entries = (f"- **{_linked(one)}**: {one.terms}\n" for one in _terms(manifest))
    return f"## Terms of the data sets\n\n{''.join(entries)}"


def citation(manifest: Manifest) -> str:
    """What to cite, as BibTeX; empty where there is nothing to cite."""
    entries = citations(_terms(manifest))
    return f"## Citation\n\n{fenced(chr(10).join(entries), 'bibtex')}" if entries else ""


def _terms(manifest: Manifest) -> tuple[Terms, ...]:
    """FFHQ's cameras are EG3D's whatever the alignment."""
    aligned = manifest.options.get("alignment") == "eg3d"
    return terms_of(manifest.sources, aligned or ("ffhq" in manifest.sources and manifest.layout.camera))


def _linked(one: Terms) -> str:
    return f"[{one.name}]({one.url})" if one.url else one.name


def _row(name: str, count: int) -> tuple[object, ...]:
    asks = demands(name)
    if not asks.known:
        return (name, f"{count:,}", "?", "?", "?", "?")
    flags = (asks.attribution, asks.share_alike, asks.non_commercial, asks.no_derivatives)
    return (f"[{name}]({asks.url})", f"{count:,}", *("yes" if flag else "" for flag in flags))
