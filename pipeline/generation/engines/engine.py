"""What every engine is: something that renders batches."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pipeline.artifacts.spec import ImageSpec
from pipeline.generation.pictures import Picture

Batch = list[ImageSpec]


class Rendered(NamedTuple):
    """A batch, its pictures in order (None: unusable, draw again), and the worker that drew them."""

    batch: Batch
    pictures: Iterable[Picture | None]
    """May be encoded only as they are read, so that another thread can do it while the next batch is drawn."""
    worker: str
    seconds: float = 0.0
    """For which the worker drew the batch; 0 if unknown."""


class Engine(Protocol):
    """Renders batches, in any order; a context manager that holds the loaded models."""

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        """Yield every batch with its pictures, as they finish; take a batch only when a worker can accept it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
