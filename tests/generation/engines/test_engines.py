import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError, ParameterError
from pipeline.generation import engines
from pipeline.generation.engines import Batch, Inline, Processes
from pipeline.generation.engines.processes import _load
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import Picture
from pipeline.processes import Workers

Pictures = dict[ImageSpec, Picture | None]

PATIENCE = 300.0
"""Seconds after which something that should have ended is taken to hang; machines may be slow."""


def batches(resolved: ResolvedModel, count: int) -> list[Batch]:
    """Batches of 3 images, so that each is padded to the recipe's 4."""
    return [[resolved.recipe.spec(str(number), "bag", i) for i in range(3)] for number in range(count)]


class Deadly(list[ImageSpec]):
    """A batch that kills the worker that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return signal.raise_signal, (signal.SIGKILL,)


class Telltale(list[ImageSpec]):
    """A batch that leaves a file behind when a worker looks into it: there, any item of it makes the file."""

    def __init__(self, specs: list[ImageSpec], file: Path) -> None:
        super().__init__(specs)
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return defaultdict, (partial(Path.touch, self.file),)


def worker(name: str) -> BaseProcess:
    (found,) = [process for process in multiprocessing.active_children() if process.name == f"worker {name}"]
    return found


def kill(name: str) -> None:
    """Kill a worker and wait until it is dead."""
    process = worker(name)
    process.kill()
    process.join()


def collect(engine: Inline | Processes, asked: Iterable[Batch]) -> Pictures:
    pictures: Pictures = {}
    for one in engine.render(asked):
        drawn = list(one.pictures)
        assert len(drawn) == len(one.batch)
        pictures |= dict(zip(one.batch, drawn, strict=True))
    return pictures


@pytest.fixture
def expected(resolved: ResolvedModel) -> Callable[[Iterable[Batch]], Pictures]:
    """A function that returns what the engine without processes draws."""

    def draw(asked: Iterable[Batch]) -> Pictures:
        with Inline(resolved, "cpu") as inline:
            return collect(inline, asked)

    return draw


def test_one_device_renders_inline_and_several_in_processes(resolved: ResolvedModel) -> None:
    with engines.make(resolved, ["cpu"]) as engine:
        assert isinstance(engine, Inline)
        assert not multiprocessing.active_children()
    with engines.make(resolved, ["cpu", "cpu"]) as processes:
        assert isinstance(processes, Processes)
        names = {process.name for process in multiprocessing.active_children()}
        assert names == {"worker cpu #0", "worker cpu #1"}
        for name in ("cpu #0", "cpu #1"):
            kill(name)


def test_every_batch_comes_with_its_worker_and_its_pictures(resolved: ResolvedModel) -> None:
    """Each of two workers gets one of two batches."""
    asked = batches(resolved, 2)
    with Inline(resolved, "cpu") as inline:
        assert [(one.batch, one.worker) for one in inline.render(asked)] == [(asked[0], "cpu"), (asked[1], "cpu")]
    with Processes(resolved, ["cpu"]) as lone:
        assert [one.worker for one in lone.render(asked)] == ["cpu", "cpu"]
    with Processes(resolved, ["cpu", "cpu"]) as engine:
        done = {one.worker: one for one in engine.render(asked)}
    assert {name: one.batch for name, one in done.items()} == {"cpu #0": asked[0], "cpu #1": asked[1]}
    assert not multiprocessing.active_children()
    for one in done.values():
        assert all(picture is not None and picture.image.startswith(b"\x89PNG") for picture in one.pictures)


def test_unusable_pictures_are_none(resolved: ResolvedModel, scaled: Callable[[float], Path]) -> None:
    flat = replace(resolved, model=str(scaled(0.0)))
    asked = batches(flat, 2)
    with Processes(flat, ["cpu", "cpu"]) as engine:
        assert set(collect(engine, asked).values()) == {None}


@pytest.fixture(params=[1, 2, 3])
def processes(
    request: pytest.FixtureRequest, resolved: ResolvedModel, expected: Callable[[Iterable[Batch]], Pictures]
) -> Iterator[tuple[Processes, list[ImageSpec], Pictures]]:
    """Workers, twelve specs, and the picture that each has alone without processes."""
    specs = [resolved.recipe.spec(lane, name, i) for lane in "012" for name in ("bag", "coat") for i in range(2)]
    alone = expected([spec] for spec in specs)
    with Processes(resolved, ["cpu"] * request.param) as engine:
        yield engine, specs, alone


# The workers are meant to stay up for all examples.
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_the_number_of_workers_and_the_batches_change_no_byte(
    processes: tuple[Processes, list[ImageSpec], Pictures], order: list[int], sizes: list[int]
) -> None:
    """Specs in any order are cut into batches of any sizes; what is left over is not drawn."""
    engine, specs, alone = processes
    left = [specs[i] for i in order]
    asked = [batch for size in sizes if (batch := [left.pop() for _ in range(min(size, len(left)))])]
    assert collect(engine, asked) == {spec: alone[spec] for batch in asked for spec in batch}
    assert len(set(alone.values())) == len(specs)


def test_workers_that_are_started_afresh_draw_the_same(
    resolved: ResolvedModel, expected: Callable[[Iterable[Batch]], Pictures]
) -> None:
    """As those for CUDA are; here on the CPU."""
    asked = batches(resolved, 3)
    afresh = [("0", (resolved, "cpu"))]
    given = iter(asked)
    with Workers[Batch](_load, afresh, "pipeline.generation.diffusion", cuda=True) as workers:
        done = list(workers.carry_out(lambda: next(given, None)))
    pictures = {spec: picture for one in done for spec, picture in zip(one.task, one.answer[0], strict=True)}
    assert pictures == expected(asked)


def test_batches_are_taken_no_further_ahead_than_two_for_each_worker(resolved: ResolvedModel) -> None:
    """So that memory does not grow, and no worker waits."""
    taken = 0

    def asked() -> Iterator[Batch]:
        nonlocal taken
        for batch in batches(resolved, 12):
            taken += 1
            yield batch

    with Processes(resolved, ["cpu", "cpu"]) as engine:
        for done, _ in enumerate(engine.render(asked()), start=1):
            assert taken == min(12, done + 4)


def test_the_last_batches_are_spread_over_the_workers(resolved: ResolvedModel) -> None:
    """No worker gets two of three batches while another has none."""
    with Processes(resolved, ["cpu"] * 3) as engine:
        names = sorted(one.worker for one in engine.render(batches(resolved, 3)))
    assert names == ["cpu #0", "cpu #1", "cpu #2"]


def test_a_killed_workers_batches_are_drawn_by_others(
    resolved: ResolvedModel, expected: Callable[[Iterable[Batch]], Pictures]
) -> None:
    """It is stopped before it can answer, and killed when it has one batch in hand and one waiting.

    The engine renders twice: a killed worker is not missed later either.
    """
    asked = batches(resolved, 5)
    names = []

    def deadly() -> Iterator[Batch]:
        yield from asked[:3]  # the first and third go to the first worker
        kill("cpu #0")
        yield from asked[3:]

    with Processes(resolved, ["cpu", "cpu"]) as engine:
        process = worker("cpu #0")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        pictures: Pictures = {}
        for one in engine.render(deadly()):
            names.append(one.worker)
            pictures |= dict(zip(one.batch, one.pictures, strict=True))
        assert pictures == expected(asked)
        assert len(set(pictures.values())) == 15
        assert names == ["cpu #1"] * 5
        assert len(multiprocessing.active_children()) == 1
        assert collect(engine, asked[:1]) == expected(asked[:1])
    assert not multiprocessing.active_children()


def test_a_worker_that_died_while_idle_is_replaced_by_the_others(
    resolved: ResolvedModel, expected: Callable[[Iterable[Batch]], Pictures]
) -> None:
    asked = batches(resolved, 3)
    with Processes(resolved, ["cpu", "cpu"]) as engine:
        assert collect(engine, asked) == expected(asked)
        kill("cpu #1")
        assert collect(engine, asked) == expected(asked)


def test_a_batch_that_two_workers_died_of_is_named_and_not_tried_again(resolved: ResolvedModel) -> None:
    spec = resolved.recipe.spec("0", "bag", 5)
    message = (
        rf"^worker cpu #1 died \(exit code -9\); 2 deaths on one task: the batch that begins with 'a photo of a bag', "
        rf"seed {spec.seed}: if memory ran out, lower generate\.batch_size "
    )
    survivors: list[str] = []

    def render() -> None:
        with Processes(resolved, ["cpu"] * 3) as engine:
            try:
                list(engine.render([Deadly([spec])]))
            finally:
                survivors.extend(process.name for process in multiprocessing.active_children())

    with pytest.raises(GenerationError, match=message):
        render()
    assert survivors == ["worker cpu #2"]
    assert not multiprocessing.active_children()


def test_a_deadly_batch_is_named_though_the_one_before_is_still_being_encoded(resolved: ResolvedModel) -> None:
    """Two megapixels take long to encode; each worker first gets a harmless batch."""
    slow = replace(resolved, recipe=replace(resolved.recipe, image_size=1_500))
    spec = slow.recipe.spec("9", "bag", 5)
    asked = [*batches(slow, 3), Deadly([spec])]
    done: list[ImageSpec] = []

    def render() -> None:
        with Processes(slow, ["cpu"] * 3) as engine:
            for one in engine.render(asked):
                done.extend(one.batch)

    with pytest.raises(GenerationError, match=rf"2 deaths on one task: .* seed {spec.seed}: "):
        render()
    assert spec not in done
    assert not multiprocessing.active_children()


def test_the_last_worker_to_die_ends_the_run(resolved: ResolvedModel) -> None:
    """Two workers die of a batch each, the first time that it is tried."""
    deadly = [Deadly(batch) for batch in batches(resolved, 2)]
    with (
        pytest.raises(GenerationError, match=r"^worker cpu #[01] died .*1 deaths on one task"),
        Processes(resolved, ["cpu"] * 2) as engine,
    ):
        list(engine.render(deadly))
    assert not multiprocessing.active_children()


def test_an_error_in_a_worker_surfaces_at_once_and_as_it_was(resolved: ResolvedModel) -> None:
    """Of 1,000 batches only two are taken for each worker."""
    wrong = replace(resolved, recipe=replace(resolved.recipe, scheduler="NoSuchScheduler"))
    taken: list[ImageSpec] = []

    def asked() -> Iterator[Batch]:
        for batch in batches(wrong, 1_000):
            taken.extend(batch)
            yield batch

    with (
        pytest.raises(ParameterError, match=r"no such scheduler: params.yaml, generate.scheduler = 'NoSuchScheduler'"),
        Processes(wrong, ["cpu", "cpu"]) as engine,
    ):
        list(engine.render(asked()))
    assert len(taken) == 4 * 3
    assert not multiprocessing.active_children()


def test_too_little_memory_in_a_worker_is_one_line_that_names_what_to_lower(resolved: ResolvedModel) -> None:
    """Latents of 256 TB for each image: more than a process can address, whatever the machine promises."""
    huge = replace(resolved, recipe=replace(resolved.recipe, render_size=8_000_000))
    message = r"^out of memory on cpu: params\.yaml, generate\.batch_size = 4: lower generate\.render_size"
    with pytest.raises(GenerationError, match=message), Processes(huge, ["cpu", "cpu"]) as engine:
        list(engine.render(batches(huge, 3)))
    assert not multiprocessing.active_children()


def test_a_bug_in_a_worker_keeps_its_traceback(resolved: ResolvedModel) -> None:
    wrong = replace(resolved, recipe=replace(resolved.recipe, dtype="no_such_dtype"))
    with (
        pytest.raises(RuntimeError, match=r"in worker cpu:\nTraceback(.|\n)*no_such_dtype"),
        Processes(wrong, ["cpu"]) as engine,
    ):
        list(engine.render(batches(wrong, 1)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_error_while_encoding_surfaces_whichever_batch_it_is(resolved: ResolvedModel, count: int) -> None:
    """Encoding happens beside the drawing of the next batch; after the last one there is none."""
    wrong = replace(resolved, recipe=replace(resolved.recipe, image_format="no such format"))
    errors: list[BaseException] = []

    def render() -> None:
        try:
            list(engine.render(batches(wrong, count)))
        except BaseException as error:
            errors.append(error)

    with Processes(wrong, ["cpu"]) as engine:
        thread = Thread(target=render)
        thread.start()
        thread.join(PATIENCE)
        hangs = thread.is_alive()
        if hangs:
            kill("cpu")
        thread.join()
    assert not hangs
    assert len(errors) == 1
    assert isinstance(errors[0], RuntimeError)
    assert "Traceback" in str(errors[0])
    assert "no such format" in str(errors[0])


def test_an_interrupt_ends_within_the_batch_in_hand_and_leaves_no_process(
    resolved: ResolvedModel, tmp_path: Path
) -> None:
    """The worker draws the second batch when the first one's pictures arrive; the third is never taken in hand."""
    slow = replace(resolved, recipe=replace(resolved.recipe, steps=60))
    first, second, third = batches(slow, 3)
    marker = tmp_path / "taken"

    def render() -> None:
        with Processes(slow, ["cpu"]) as engine:
            for _ in engine.render([first, second, Telltale(third, marker)]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render()
    assert not multiprocessing.active_children()
    assert not marker.exists()


COORDINATOR = """
import json, multiprocessing, sys
from pathlib import Path
from pipeline.generation.engines import Processes
from pipeline.generation.recipe import Recipe
from pipeline.generation.model import ResolvedModel

if __name__ == "__main__":
    resolved = ResolvedModel(Recipe.from_dict(json.loads(sys.argv[1])), sys.argv[2], None)

    def batches():
        index = 0
        while True:
            yield [resolved.recipe.spec("0", "bag", index + i) for i in range(4)]
            index += 4

    with Processes(resolved, ["cpu", "cpu"]) as engine:
        print(json.dumps([process.pid for process in multiprocessing.active_children()]), flush=True)
        for rendered in engine.render(batches()):
            print(rendered.worker, flush=True)
"""


@pytest.fixture
def coordinator(resolved: ResolvedModel, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that renders batches without end in two workers, and says on stdout who they are and what they did."""
    script = tmp_path / "coordinator.py"
    script.write_text(COORDINATOR)
    command = [sys.executable, str(script), json.dumps(resolved.recipe.as_dict()), resolved.model]
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    yield started
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells by /proc who is alive")
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_workers_leave_when_the_coordinator_dies(coordinator: subprocess.Popen[str], by: signal.Signals) -> None:
    """Killed alone, or by Ctrl-C, which a terminal sends to the workers too. They inherit its stdout and stderr.

    So the end of both tells that the processes which help multiprocessing are gone as well.
    """
    assert coordinator.stdout is not None
    pids = json.loads(coordinator.stdout.readline())
    assert len(pids) == 2
    said = {coordinator.stdout.readline() for _ in range(3)}
    assert said <= {"cpu #0\n", "cpu #1\n"}, coordinator.communicate()[1]
    assert all(alive(pid) for pid in pids)
    if by == signal.SIGKILL:
        coordinator.kill()
    else:
        os.killpg(coordinator.pid, by)
    _, errors = coordinator.communicate(timeout=PATIENCE)
    assert coordinator.returncode == -by
    deadline = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)
    assert "in worker" not in errors
    assert "leaked" not in errors
    assert errors.count("Traceback") == (by == signal.SIGINT)
