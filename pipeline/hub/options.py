"""The choices of a push, and what it needs from other rooms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DrawSheet = Callable[[Sequence[Path], Path], None]
"""Writes a contact sheet of the images in some Parquet files to a place, as a PNG."""

SHEET_IMAGES = 8
"""Images of each class on a contact sheet."""


@dataclass(frozen=True)
class PushOptions:
    """How to publish."""

    repo_id: str
    clients: tuple[int, ...] = ()
    """Only these; empty: all."""
    public: bool = False
    anonymous: bool = False
    tag: str | None = None
    licence: str | None = None
    """The Hub's short name of it; None: as published, or ``unknown``."""
    dry_run: bool = False
    refused: bool = False
    """With the images that the gate refused."""


@dataclass(frozen=True)
class ResultTables:
    """The results of the last report, for the card."""

    manifest: str
    """SHA-256 of the manifest of the images that the results are about."""
    tables: Mapping[str, Sequence[Sequence[str]]]
    """Rows of cells by title, the head first."""
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a publication shows beside the images."""

    draw_sheet: DrawSheet
    results: ResultTables | None
    params: str | None = None
    """The params.yaml that the images were made with; None if it is not published. Never part of merged images."""
