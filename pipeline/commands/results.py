"""Command ``results``: the result tables of the last report."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting import summary
from pipeline.reporting.summary import Table
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Results:
    """What the last report says about the accuracy on the test images after the last round."""

    manifest: str
    """SHA-256 of the manifest of the synthetic images that the report is about."""
    tables: tuple[Table, ...]
    """Percent, with 95 % intervals over seeds."""
    remarks: tuple[str, ...]
    page: Path


def results(workspace: Workspace) -> Results:
    """Return the results of the last report; raise ArtifactError if there is none."""
    numbers = summary.load(workspace.report_metrics)
    tables = tuple(summary.result_tables(numbers))
    return Results(numbers.manifest, tables, numbers.remarks, workspace.report_page)
