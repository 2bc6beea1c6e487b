"""The two tables of a sweep: the rows of all finished cells, with what a cell is, in order."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.errors import ArtifactError
from pipeline.sweeps import columns, grid
from pipeline.sweeps.definition import Sweep
from pipeline.sweeps.folder import Place, SweepFolder
from pipeline.sweeps.grid import Cell

_ORDER = ("cell", "fill", "algorithm", "budget", "train_seed", "round")


def write(sweep: Sweep, folder: SweepFolder, cells: Sequence[Cell]) -> int:
    """Write both tables from the rows of the finished cells of the file; return how many cells these are.

    The caller holds the sweep's lock. Equal cells give equal bytes. Cells that the file no longer has are left out.
    """
    numbers = folder.numbers()
    places = {cell.digest: folder.place(numbers[cell.digest]) for cell in cells if cell.digest in numbers}
    done = [(places[cell.digest], cell) for cell in cells if cell.digest in places]
    done = [(place, cell) for place, cell in done if place.made_with(cell) is not None]
    axes = grid.shown_axes(sweep, list(cells))
    for target, of in ((folder.results, "rows"), (folder.curves, "curves")):
        parts = [_with_cell(_read(getattr(place, of)), sweep, place, cell, axes) for place, cell in done]
        if not parts:
            target.unlink(missing_ok=True)
            continue
        whole = pa.concat_tables(parts, promote_options="default")
        whole = whole.sort_by([(name, "ascending") for name in _ORDER if name in whole.column_names])
        with atomic.replacing(target) as temporary:
            pq.write_table(whole.combine_chunks(), temporary, compression="zstd")
    return len(done)


def load(folder: SweepFolder) -> tuple[pa.Table, pa.Table]:
    """Return the tables of results and of curves; raise ArtifactError if no cell is done, or one is damaged."""
    return _read(folder.results), _read(folder.curves)


def _with_cell(part: pa.Table, sweep: Sweep, place: Place, cell: Cell, axes: Mapping[str, object]) -> pa.Table:
    """Put what a cell is before its rows: equal in each."""
    values = {"sweep": sweep.name, "cell": place.number, "digest": cell.digest}
    described = {name: (values[name], kind) for name, kind in columns.CELL.items()}
    described |= {name: (cell.labels[name], pa.string()) for name in axes}
    described["partition_seed"] = (cell.partition_seed, columns.PARTITION["partition_seed"])
    before = {name: pa.array([value] * len(part), kind) for name, (value, kind) in described.items()}
    return pa.table({**before, **dict(zip(part.column_names, part.columns, strict=True))})


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)  # else folders named like alpha=0.5 become columns
    except FileNotFoundError:
        raise ArtifactError("no such file", path, "no cell is done yet: gen-fedsd sweep run") from None
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"damaged ({error})", path, "carry the cell out again: sweep retry --cells") from None
