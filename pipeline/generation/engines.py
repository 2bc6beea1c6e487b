"""Engines: who renders the batches. Inline in this process, or one worker process per device."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pipeline.errors import GenerationError
from pipeline.generation.pictures import Picture, finish
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source
from pipeline.processes import Answer, DeathError, Workers

Batch = list[ImageSpec]


class Rendered(NamedTuple):
    """A batch, its pictures in order (None: unusable, draw again), and the worker that drew them."""

    batch: Batch
    pictures: Iterable[Picture | None]
    """May be encoded only as they are read, so that another thread can do it while the next batch is drawn."""
    worker: str


class Engine(Protocol):
    """Renders batches, in any order; a context manager that holds the loaded models."""

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        """Yield every batch with its pictures, as they finish; take a batch only when there is room for it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def make(source: Source, devices: list[str]) -> Engine:
    """Return the engine for these devices: one renders inline, several in a process each."""
    return Inline(source, devices[0]) if len(devices) == 1 else Processes(source, devices)


class Inline:
    """Renders in this process: for one device, for tests and for debuggers."""

    def __init__(self, source: Source, device: str) -> None:
        from pipeline.generation.diffusion import Model

        self._model, self._device = Model(source, device), device

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        recipe = self._model.recipe
        for batch in batches:
            drawn = self._model.draw(batch)
            yield Rendered(batch, (finish(levels, recipe) for levels in drawn), self._device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


class Processes:
    """One worker process per device, fed over a pipe each, a batch ahead."""

    def __init__(self, source: Source, devices: list[str]) -> None:
        names = [d if devices.count(d) == 1 else f"{d} #{number}" for number, d in enumerate(devices)]
        arguments = [(name, (source, device)) for name, device in zip(names, devices, strict=True)]
        cuda = any(device.startswith("cuda") for device in devices)
        self._workers = Workers[Batch](_load, arguments, "pipeline.generation.diffusion", cuda)

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        source = iter(batches)
        try:
            for done in self._workers.carry_out(lambda: next(source, None)):
                yield Rendered(*done)
        except DeathError as error:
            where = f"the batch that begins with {error.task[0].prompt!r}, seed {error.task[0].seed}"
            fix = "if memory ran out, lower generate.batch_size (part of the recipe) or use fewer workers; run again"
            raise GenerationError(str(error), where, fix) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._workers.__exit__(kind, error, at)


def _load(source: Source, device: str) -> Callable[[Batch], Answer]:
    """Load the model in a worker; what it draws is encoded while it draws the next batch."""
    from pipeline.generation.diffusion import Model

    model = Model(source, device)

    def draw(batch: Batch) -> Answer:
        drawn = model.draw(batch)
        return lambda: [finish(levels, source.recipe) for levels in drawn]

    return draw
