"""What a sweep would have to pay for: images that the pool lacks and runs that the store lacks; nothing is written."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import progress
from pipeline.errors import ArtifactError
from pipeline.federated import inputs as federated
from pipeline.federated import runs
from pipeline.federated.dropouts import Recorded
from pipeline.federated.runs import RunStore
from pipeline.fills.common.given import REAL, Given
from pipeline.generation import devices, request
from pipeline.generation.plan import Plan as ImagePlan
from pipeline.generation.pool import Pool
from pipeline.stages import deficits, partition
from pipeline.sweeps.folder import State
from pipeline.sweeps.grid import Cell
from pipeline.sweeps.runner import Plan
from pipeline.workspace import Workspace

_UNKNOWN = "?"
ImageKey = tuple[str, str, str, int]


@dataclass(frozen=True)
class Forecast:
    """What is known of one cell before it is carried out."""

    cell: Cell
    number: int | None
    """None for a cell that no run has seen."""
    state: State
    images: int = 0
    """Distinct synthetic images that it asks for."""
    new_images: int = 0
    """Of these, those that the pool lacks."""
    runs: int = 0
    """Pairs of a fill and an algorithm, times training seeds; each is trained once for each budget that differs."""
    new_runs: int | None = None
    """Of the runs with fills of real images only, those that the store lacks, all budgets; None: not known."""
    missing: frozenset[ImageKey] = field(default=frozenset(), repr=False)

    @property
    def new_runs_text(self) -> str:
        return _UNKNOWN if self.new_runs is None else str(self.new_runs)


def forecast(plan: Plan, numbers: Sequence[int] | None) -> list[Forecast]:
    """Return what each cell would take; a finished cell takes nothing.

    Partition and deficits of the others are made in a temporary folder, with the project's cache.
    """
    found, chosen = list[Forecast](), plan.chosen(numbers)
    with progress.bar("cells", len(chosen), "cells") as advance:
        for cell in chosen:
            state = plan.state(cell)
            known = Forecast(cell, plan.numbers.get(cell.digest), state)
            found.append(known if state == "done" else _look(plan.project, known))
            advance()
    return sorted(found, key=lambda one: (one.number is None, one.number or 0))


def remarks(found: Sequence[Forecast]) -> Iterator[str]:
    """Yield what is to be said below the table."""
    new = set[ImageKey]().union(*(one.missing for one in found))
    yield f"{len(new)} distinct images of all cells together are not in the pool; each is rendered once"
    if any(cell.params.generate.model_dump().get("gate") for cell in (one.cell for one in found)):
        yield "cells with a gate render more: as many again as it refuses"
    yield (
        "runs: fills x algorithms x training seeds. Not in store: of fills of real images only, all budgets; "
        "what the others need is known when their images exist"
    )


def _look(project: Workspace, known: Forecast) -> Forecast:
    cell, params = known.cell, known.cell.params
    with TemporaryDirectory(prefix="gen-fedsd-") as folder:
        workspace = Workspace(Path(folder), project.cache, origin=project.origin or project.root)
        with contextlib.redirect_stderr(io.StringIO()):
            partition.run(workspace, params)
            deficits.run(workspace, params)
            dtype = devices.expected_dtype(project, params.generate.dtype).dtype
            plan = request.current(workspace, params, dtype).plan
            new_runs = _new_runs(workspace, cell)
        missing = _missing(project, plan)
    return Forecast(
        cell=cell,
        number=known.number,
        state=known.state,
        images=sum(len(one.indices) for one in plan.wanted()),
        new_images=len(missing),
        runs=len(params.train.pairs()) * len(params.train.seeds),
        new_runs=new_runs,
        missing=missing,
    )


def _missing(project: Workspace, plan: ImagePlan) -> frozenset[ImageKey]:
    wanted = list(plan.wanted())
    if not project.pool.is_file():
        specs: Iterable[ImageKey] = ((plan.recipe.digest, w.lane, w.class_name, i) for w in wanted for i in w.indices)
        return frozenset(specs)
    with Pool(project.pool) as pool:
        lacking = pool.missing(plan.recipe, wanted)
        return frozenset((plan.recipe.digest, one.lane, one.class_name, one.index) for one in lacking)


def _new_runs(workspace: Workspace, cell: Cell) -> int | None:
    """Return how many runs with fills of real images only are not in the store; None if there is no such fill."""
    from pipeline import fills

    given, store, params = Given(workspace, cell.params), RunStore(workspace.runs), cell.params
    digests, lost = dict[str, bool](), Recorded.of(workspace, params.train)
    for name, algorithm in params.train.pairs():
        try:
            held = fills.make(name, given)
        except ArtifactError:  # it is made from shards
            continue
        if {source for source, rows in held.rows.items() if any(map(len, rows))} != {REAL}:
            continue
        data = given.decoded
        inputs = federated.Inputs.of(held, {REAL: data.train}, data.test, data.test_rows)
        made = federated.runs(held, inputs, algorithm, params.train, params.training_seed, recorded=lost)
        for _, _, run in made:
            digests[runs.digest(run)] = store.holds(run)
    return sum(not held for held in digests.values()) if digests else None
