"""The engine for one device: it renders in this process."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from pipeline.generation.engines.engine import Batch, Rendered
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import finish


class Inline:
    """Renders in this process: for one device, for tests and for debuggers."""

    def __init__(self, model: ResolvedModel, device: str) -> None:
        from pipeline.generation.diffusion import Model

        self._model, self._device = Model(model, device), device

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        recipe = self._model.recipe
        for batch in batches:
            start = time.monotonic()
            drawn = self._model.draw(batch)
            seconds = time.monotonic() - start
            yield Rendered(batch, (finish(levels, recipe) for levels in drawn), self._device, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass
