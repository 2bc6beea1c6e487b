import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Self

import pytest

from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import engines
from pipeline.generation.engines import Batch, Inline, Processes
from pipeline.generation.recipe import ImageSpec
from pipeline.generation.source import Source


def batches(source: Source, count: int) -> list[Batch]:
    """Batches of 3 images, so that each is padded to the recipe's 4."""
    return [[source.recipe.spec(str(number), "bag", i) for i in range(3)] for number in range(count)]


def kill_oldest_worker() -> None:
    """Kill the worker that was started first, of those that live, and wait until it is dead."""
    oldest = min(multiprocessing.active_children(), key=lambda process: process.pid or 0)
    assert oldest.pid is not None
    os.kill(oldest.pid, signal.SIGKILL)
    oldest.join()


def collect(engine: Inline | Processes, asked: Iterable[Batch]) -> dict[str, list[bytes | None]]:
    return {batch[0].lane: images for batch, images in engine.render(asked)}


def test_one_device_renders_inline_and_several_in_processes(source: Source) -> None:
    with engines.make(source, ["cpu"]) as engine:
        assert isinstance(engine, Inline)
        assert not multiprocessing.active_children()
    with engines.make(source, ["cpu", "cpu"]) as processes:
        assert isinstance(processes, Processes)
        assert len(multiprocessing.active_children()) == 2
        for _ in range(2):
            kill_oldest_worker()


def test_processes_give_the_bytes_of_inline_and_a_killed_worker_costs_nothing(source: Source) -> None:
    """The worker that was given the first batch is killed before it can answer; the other one takes it over.

    The engine renders twice: a killed worker is not missed later either.
    """
    asked = batches(source, 4)
    with Inline(source, "cpu") as inline:
        expected = collect(inline, asked)
    assert len({image for images in expected.values() for image in images}) == 12

    def deadly() -> Iterator[Batch]:
        yield asked[0]
        kill_oldest_worker()
        yield from asked[1:]

    with Processes(source, ["cpu", "cpu"]) as engine:
        assert collect(engine, deadly()) == expected
        assert len(multiprocessing.active_children()) == 1
        assert collect(engine, asked[:1]) == {"0": expected["0"]}
    assert not multiprocessing.active_children()


class OneDeadlyBatch:
    """Gives one batch; whenever asked for more, kills the oldest worker: the one that was just given the batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.asked = batch, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        self.asked += 1
        if self.asked == 1:
            return self.batch
        if self.asked in (2, 4):
            kill_oldest_worker()
        raise StopIteration


def test_a_batch_that_two_workers_died_of_is_given_up(source: Source) -> None:
    """Of three workers, the first dies with the batch, the second dies with it again; the third is not tried.

    The engine asks for work for workers 2 and 3 when it starts (the second and third time that it asks), and for
    worker 3 after it gave worker 2 the batch of the dead one (the fourth time).
    """
    asked = OneDeadlyBatch(batches(source, 1)[0])
    message = r"render cpu died \(exit code -9\); 2 deaths on one batch: .*'a photo of a bag', seed \d+: if memory ran"
    survivors: list[int] = []

    def render() -> None:
        with Processes(source, ["cpu"] * 3) as engine:
            try:
                list(engine.render(asked))
            finally:
                survivors.append(len(multiprocessing.active_children()))

    with pytest.raises(GenerationError, match=message):
        render()
    assert survivors == [1]
    assert asked.asked == 4
    assert not multiprocessing.active_children()


def test_the_last_worker_to_die_ends_the_run(source: Source) -> None:
    """Two workers: one dies with the first batch, the other before it is handed the second."""
    asked = batches(source, 3)

    def deadly() -> Iterator[Batch]:
        yield asked[0]
        kill_oldest_worker()
        kill_oldest_worker()
        yield from asked[1:]

    message = r"died .*1 deaths on one batch"
    with pytest.raises(GenerationError, match=message), Processes(source, ["cpu"] * 2) as engine:
        list(engine.render(deadly()))


def test_an_error_in_a_worker_surfaces_at_once_and_as_it_was(source: Source) -> None:
    """Of 1,000 batches only as many are taken as there are workers."""
    wrong = replace(source, recipe=replace(source.recipe, scheduler="NoSuchScheduler"))
    taken: list[ImageSpec] = []

    def asked() -> Iterator[Batch]:
        for batch in batches(wrong, 1_000):
            taken.extend(batch)
            yield batch

    with (
        pytest.raises(ParameterError, match=r"no such scheduler: params.yaml, generate.scheduler = 'NoSuchScheduler'"),
        Processes(wrong, ["cpu"]) as engine,
    ):
        list(engine.render(asked()))
    assert len(taken) == 3
    assert not multiprocessing.active_children()


def test_a_bug_in_a_worker_keeps_its_traceback(source: Source) -> None:
    wrong = replace(source, recipe=replace(source.recipe, dtype="no_such_dtype"))
    with (
        pytest.raises(RuntimeError, match=r"in the worker on cpu:\nTraceback(.|\n)*no_such_dtype"),
        Processes(wrong, ["cpu"]) as engine,
    ):
        list(engine.render(batches(wrong, 1)))
