"""The engine for several devices: one worker process for each."""

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from pipeline.errors import GenerationError
from pipeline.generation.engines.engine import Batch, Rendered
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import finish
from pipeline.processes import Answer, DeathError, Workers


class Processes:
    """One worker process per device, fed over a pipe each, a batch ahead."""

    def __init__(self, model: ResolvedModel, devices: list[str]) -> None:
        names = [d if devices.count(d) == 1 else f"{d} #{number}" for number, d in enumerate(devices)]
        arguments = [(name, (model, device)) for name, device in zip(names, devices, strict=True)]
        cuda = any(device.startswith("cuda") for device in devices)
        self._workers = Workers[Batch](_load, arguments, "pipeline.generation.diffusion", cuda)

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        waiting = iter(batches)
        try:
            for done in self._workers.carry_out(lambda: next(waiting, None)):
                pictures, seconds = done.answer
                yield Rendered(done.task, pictures, done.worker, seconds)
        except DeathError as error:
            where = f"the batch that begins with {error.task[0].prompt!r}, seed {error.task[0].seed}"
            fix = "if memory ran out, lower generate.batch_size (part of the recipe) or use fewer workers; run again"
            raise GenerationError(str(error), where, fix) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._workers.__exit__(kind, error, at)


def _load(model: ResolvedModel, device: str) -> Callable[[Batch], Answer]:
    """Load the model in a worker; what it draws is encoded while it draws the next batch."""
    from pipeline.generation.diffusion import Model

    loaded = Model(model, device)

    def draw(batch: Batch) -> Answer:
        start = time.monotonic()
        drawn = loaded.draw(batch)
        seconds = time.monotonic() - start
        return lambda: ([finish(levels, model.recipe) for levels in drawn], seconds)

    return draw
