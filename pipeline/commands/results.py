"""Command ``results``: the result tables of the last report."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting import summary, tables, verdict
from pipeline.reporting.tables import Table
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Results:
    """What the last report says about the accuracy on the test images."""

    manifest: str
    """SHA-256 of the manifest of the synthetic images that the report is about."""
    verdict: str
    """The difference from the best control in one sentence; empty if there is none."""
    tables: tuple[Table, ...]
    """Accuracies in percent, with 95 % intervals over seeds."""
    details: tuple[Table, ...]
    """Bytes until the target, accuracy over clients, clients that train alone: those that have a row."""
    remarks: tuple[str, ...]
    page: Path


def results(workspace: Workspace) -> Results:
    """Return the results of the last report; raise ArtifactError if there is none."""
    numbers = summary.load(workspace.report_metrics)
    more = (tables.costs(numbers), tables.over_clients(numbers), tables.alone(numbers))
    return Results(
        numbers.manifest,
        verdict.headline(numbers),
        tuple(tables.results(numbers)),
        tuple(table for table in more if table.rows),
        numbers.remarks,
        workspace.report_page,
    )
