"""The page of a sweep, from its two tables: for a browser, and as Markdown for readers of a repository."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.errors import ParameterError
from pipeline.params import TrainParams
from pipeline.reporting import markdown, sweep_page
from pipeline.reporting import page as reporting
from pipeline.reporting.page import Page
from pipeline.sweeps import columns, grid, network, tables
from pipeline.sweeps.runner import Plan


def write(plan: Plan) -> Path:
    """Write the page of the cells that are done, and return its place; raise ArtifactError if there is none."""
    atomic.write_text(plan.folder.page, reporting.render(make(plan)))
    return plan.folder.page


def publish(plan: Plan, place: Path) -> list[Path]:
    """Write page, tables, and the page as Markdown with its line charts into a folder, and return the files.

    Raises ArtifactError if no cell is done, ParameterError if the folder cannot be made.
    """
    made = make(plan)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(f"no folder can be made: {error.strerror}", place, "name another folder") from None
    text, pictures = markdown.render(made, plan.folder.page.name)
    texts = {plan.folder.page.name: reporting.render(made), "README.md": text, **pictures}
    for name, text in texts.items():
        atomic.write_text(place / name, text)
    kept = (plan.folder.results, plan.folder.curves, plan.folder.network)
    for table in kept:
        with atomic.replacing(place / table.name) as temporary:
            shutil.copyfile(table, temporary)
    return [place / name for name in (*texts, *(table.name for table in kept))]


def make(plan: Plan) -> Page:
    """Return the page of the cells that are done; raise ArtifactError if there is none."""
    with plan.folder.locked():
        tables.write(plan.sweep, plan.folder, plan.cells)
        results, curves = tables.load(plan.folder)
        times = network.table(plan)
        with atomic.replacing(plan.folder.network) as temporary:
            pq.write_table(times, temporary, compression="zstd")
    made = list(plan.cells)
    return sweep_page.make(
        name=plan.sweep.name,
        about=plan.sweep.about,
        axes=grid.shown_axes(plan.sweep, made),
        results=as_named(results, made[0].params.train),
        curves=as_named(curves, made[0].params.train),
        fill=made[0].params.report.fill,
        settings=settings(plan),
        network=as_named(times, made[0].params.train),
    )


def as_named(table: pa.Table, params: TrainParams) -> pa.Table:
    """Return the table with algorithms and fills in the order of the parameters, the cells of each in their order.

    The page's verdict is about the first algorithm, as that of a report is.
    """
    algorithms, fills = list(params.algorithms), list(params.all_fills())

    def place(row: int) -> tuple[int, int, int]:
        ranks = [
            names.index(value) if value in names else len(names)
            for names, value in ((algorithms, lines[row]["algorithm"]), (fills, lines[row]["fill"]))
        ]
        return ranks[0], lines[row]["cell"], ranks[1]

    lines = table.select(["algorithm", "cell", "fill"]).to_pylist()
    return table.take(sorted(range(len(lines)), key=place))


def settings(plan: Plan) -> dict[str, str]:
    """Return what readers must know to repeat the sweep: command, what all cells have, code and arithmetic."""
    counts = plan.counts()
    found = {
        "command": f"gen-fedsd sweep run {plan.sweep.path.as_posix()}",
        "cells": f"{counts['done']} of {len(plan.cells)} done",
        **{name: columns.text(value) for name, value in plan.sweep.common.items()},
    }
    return found | {name: str(value) for name, value in plan.folder.read().get("environment", {}).items()}
