"""Carry out the open cells of a sweep, in this process and in others that do the same beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pipeline.errors import ArtifactError, ParameterError
from pipeline.sweeps import clean, definition, environment, grid, tables
from pipeline.sweeps.carry_out import Execution, carry_out
from pipeline.sweeps.definition import Sweep
from pipeline.sweeps.folder import STATES, Place, State, SweepFolder
from pipeline.sweeps.grid import Cell
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Told:
    """What happened to a cell, for the one who waits."""

    number: int
    title: str
    what: str
    counts: Mapping[State, int]


@dataclass
class Plan:
    """A sweep whose cells have numbers, and the project that it belongs to."""

    project: Workspace
    sweep: Sweep
    cells: Sequence[Cell]
    folder: SweepFolder
    numbers: Mapping[str, int] = field(default_factory=dict)

    def place(self, cell: Cell) -> Place:
        """Return the folder of a cell that has a number."""
        return self.folder.place(self.numbers[cell.digest])

    def state(self, cell: Cell) -> State:
        """Return the state of a cell; one without a number is open."""
        return self.place(cell).state(cell) if cell.digest in self.numbers else "open"

    def states(self) -> dict[str, State]:
        """Return the state of each cell by its digest."""
        return {cell.digest: self.state(cell) for cell in self.cells}

    def counts(self) -> dict[State, int]:
        """Return how many cells are in each state."""
        found = list(self.states().values())
        return {state: found.count(state) for state in STATES}

    def chosen(self, numbers: Sequence[int] | None) -> list[Cell]:
        """Return the cells of these numbers (default: all) in the order in which they share most.

        Raises ParameterError for a number that no cell of the file has.
        """
        known = {self.numbers[cell.digest]: cell for cell in self.cells if cell.digest in self.numbers}
        for number in numbers or ():
            if number not in known:
                fix = f"gen-fedsd sweep status {self.sweep.name} lists the cells"
                raise ParameterError(f"no cell {number}", f"{self.sweep.path}", fix)
        return grid.in_order(list(self.cells) if numbers is None else [known[number] for number in numbers])


def plan(project: Workspace, name: str) -> Plan:
    """Return a sweep of a project, by name or by file; raise ParameterError for what is wrong with it."""
    sweep = definition.load(definition.find(project.root, name))
    folder = SweepFolder(project.sweep(sweep.name))
    return Plan(project, sweep, grid.cells(sweep, project.params), folder, folder.numbers())


def execution(named: str, workers: int, jobs: int) -> Execution:
    """Return what each of several jobs carries cells out with: its share of CPU cores, and all GPUs.

    ``named`` are devices as the option of the commands has them; ``workers`` 0 stands for a share of what there is.
    """
    from pipeline.generation import devices

    found = devices.parse(named)
    if devices.kind(found[0]) == "cpu":
        found = found[: max(1, len(found) // jobs)]
    return Execution(tuple(found), workers or max(1, len(devices.parse("auto")) // jobs))


def reopen(plan: Plan, numbers: Sequence[int] | None, only_failed: bool) -> int:
    """Open cells again, of these numbers (default: all), and return how many; those that are carried out now stay.

    With ``only_failed`` only those that failed.
    """
    count = 0
    for cell in plan.chosen(numbers):
        if cell.digest not in plan.numbers or (only_failed and plan.state(cell) != "failed"):
            continue
        with plan.place(cell).taken() as held:
            if held:
                plan.place(cell).reopen()
                count += 1
    return count


def begin(plan: Plan, execution: Execution, redo: bool) -> environment.Conditions:
    """Give new cells their numbers and check that finished ones fit to what there is now.

    With ``redo`` all cells of the file are open again. Raises ParameterError if something else carried out earlier
    cells, or if what parameters name changed; ArtifactError for ``redo`` while a cell is carried out.
    """
    conditions = environment.Conditions(plan.project, execution.devices)
    with plan.folder.locked():
        plan.numbers = plan.folder.enrol(plan.cells)
        if redo:
            if running := [plan.numbers[digest] for digest, state in plan.states().items() if state == "running"]:
                what = f"cell {running[0]} is being carried out"
                raise ArtifactError(what, plan.folder.folder, "wait for its end, or stop the process that does it")
            for cell in plan.cells:
                plan.place(cell).reopen()
        found = ((plan.place(cell), cell) for cell in plan.cells)
        done = [(place, cell, kept) for place, cell in found if (kept := place.made_with(cell)) is not None]
        if plan.counts()["running"]:
            conditions.check_begun(plan.folder, plan.cells[0])
        conditions.check(plan.folder, done)
        plan.folder.write(sweep=plan.sweep.name, environment=conditions.code)
        tables.write(plan.sweep, plan.folder, plan.cells)
    return conditions


def work(
    plan: Plan,
    cells: Sequence[Cell],
    execution: Execution,
    conditions: environment.Conditions,
    tell: Callable[[Told], None],
) -> None:
    """Carry out every cell that is open, unless another process has it.

    A cell that another process leaves open, since it was killed, is taken in a later pass over the cells.
    """
    tried = set[str]()
    while True:
        taken = 0
        for cell in cells:
            if cell.digest not in tried:
                taken += _attempt(plan, cell, execution, conditions, tell, tried)
        if not taken:
            return


def _attempt(
    plan: Plan,
    cell: Cell,
    execution: Execution,
    conditions: environment.Conditions,
    tell: Callable[[Told], None],
    tried: set[str],
) -> bool:
    """Carry out one cell if it is open and free; return whether that was so."""
    place = plan.place(cell)
    if place.made_with(cell) is not None or place.error(cell) is not None:
        return False
    with place.taken() as held:
        # Another process may have finished it before the lock was got.
        if not held or place.made_with(cell) is not None or place.error(cell) is not None:
            return False
        tried.add(cell.digest)
        tell(_told(plan, cell, "begun"))
        tidy = partial(_tidy, plan, cell)
        told = carry_out(plan.project, place, cell, execution, conditions.of, tidy)
    with plan.folder.locked():
        tables.write(plan.sweep, plan.folder, plan.cells)
    tell(_told(plan, cell, told))
    return True


def _tidy(plan: Plan, cell: Cell, workspace: Workspace) -> str:
    """Delete what a cell needs no more, and return what is said of it; arrays stay for cells with the same images."""
    if plan.sweep.keep == "all":
        return "done"
    states = plan.states()
    others = [other for other in plan.cells if other is not cell and other.images == cell.images]
    to_come = any(states[other.digest] in ("open", "running") for other in others)
    return f"done; {clean.clean(workspace, with_arrays=not to_come).text}"


def _told(plan: Plan, cell: Cell, what: str) -> Told:
    return Told(plan.numbers[cell.digest], cell.title, what, plan.counts())
