"""The result tables of the last report."""

from dataclasses import dataclass

from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Results:
    """What the last report says about accuracy."""

    manifest: str
    """SHA-256 of the manifest of the synthetic images that the report is about."""
    caption: str
    tables: dict[str, list[list[str]]]
    """Rows of cells by title, the head first."""


def results(workspace: Workspace) -> Results:
    """Return the results of the last report; raise ArtifactError if there is none."""
    raise NotImplementedError
