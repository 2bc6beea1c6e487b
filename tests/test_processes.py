"""Worker processes: what they are given, what comes back, and what happens when one dies or somebody presses Ctrl-C."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipeline.processes import Answer, Done, Workers

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
"""Seconds after which something that should have ended is taken to hang; machines may be slow."""


def doubling(size: int) -> Callable[[int], Answer]:
    """Answer a number with its double and ``size`` bytes; -1 fails after a while, -2 takes two seconds."""

    def carry_out(task: Any) -> Answer:
        number = task if isinstance(task, int) else len(task)
        if number == -1:
            time.sleep(0.1)
            raise ValueError("no such number")
        if number == -2:
            time.sleep(2)
        return lambda: (2 * number, b"x" * size)

    return carry_out


def looking_for_cuda() -> Callable[[int], Answer]:
    """Answer whether this process was forked from one that has looked for CUDA; then it can never use it."""
    import torch

    import pipeline.generation.diffusion  # noqa: F401

    poisoned = torch.cuda._is_in_bad_fork()
    return lambda _: lambda: poisoned


def crew(count: int, size: int, cuda: bool = False) -> Workers[Any]:
    return Workers(doubling, [(str(i), (size,)) for i in range(count)], "pipeline.errors", cuda)


def collected(workers: Workers[Any], tasks: Iterable[Any]) -> list[Done[Any]]:
    source = iter(tasks)
    return list(workers.carry_out(lambda: next(source, None)))


@pytest.mark.parametrize("cuda", [False, True])
def test_every_task_is_done_once_by_some_worker(cuda: bool) -> None:
    with crew(2, 3, cuda) as workers:
        done = collected(workers, list(range(9)))
        assert collected(workers, []) == []
    assert sorted((one.task, one.answer) for one in done) == [(i, (2 * i, b"xxx")) for i in range(9)]
    assert {one.worker for one in done} <= {"0", "1"}
    assert not multiprocessing.active_children()


def test_tasks_may_come_while_others_are_done() -> None:
    queue = [1]
    with crew(2, 0) as workers:
        for done in workers.carry_out(lambda: queue.pop() if queue else None):
            if done.task < 100:
                queue.append(done.answer[0])
    assert done.task == 128


def test_large_messages_in_both_directions_do_not_wait_for_each_other() -> None:
    found: list[Done[Any]] = []

    def work() -> None:
        with crew(2, 3_000_000) as workers:
            found.extend(collected(workers, [b"x" * 3_000_000] * 12))

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert len(found) == 12


def test_a_large_task_for_a_busy_worker_keeps_no_other_waiting() -> None:
    """The first worker's first task takes two seconds; its second one does not fit into the pipe."""
    with crew(2, 0) as workers:
        done = collected(workers, [-2, *[b"x" * 3_000_000] * 3])
    assert [one.worker for one in done[:2]] == ["1", "1"]
    assert len(done) == 4


def test_a_worker_killed_at_any_moment_loses_and_changes_nothing() -> None:
    """Also while it sends: half an answer is none. Other workers' answers come whole."""
    chance = random.Random(5)
    for _ in range(15):
        with crew(3, 5_000_000) as workers:
            source = iter(range(12))
            tasks = workers.carry_out(lambda source=source: next(source, None))  # type: ignore[misc]
            done = [next(tasks)]
            victim = chance.choice(multiprocessing.active_children())
            time.sleep(chance.uniform(0, 0.02))
            victim.kill()
            done += tasks
        assert sorted(one.task for one in done) == list(range(12))
        assert {one.answer == (2 * one.task, b"x" * 5_000_000) for one in done} == {True}


def test_an_error_comes_after_the_answers_that_are_ready() -> None:
    """The first worker fails at its first task while the second one has answered both of its own."""
    source, done = iter([-1, 1, -1, 3]), []

    def work() -> None:
        with crew(2, 0) as workers:
            for one in workers.carry_out(lambda: next(source, None)):
                done.append(one.task)
                time.sleep(1)

    with pytest.raises(RuntimeError, match=r"^in worker 0:\nTraceback(.|\n)*no such number"):
        work()
    assert done == [1, 3]
    assert not multiprocessing.active_children()


FORKED = """
from pipeline.processes import Workers
from tests.test_processes import collected, looking_for_cuda

if __name__ == "__main__":
    for cuda in False, True:
        with Workers(looking_for_cuda, [("0", ())], "pipeline.generation.diffusion", cuda) as workers:
            print(*(one.answer for one in collected(workers, [0])))
"""


def started(tmp_path: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program of its own, so that what helps multiprocessing is its own too."""
    script = tmp_path / "program.py"
    script.write_text(text)
    command = [sys.executable, str(script), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def test_only_workers_for_cuda_are_started_afresh(tmp_path: Path) -> None:
    """One that was forked after an import of diffusers, which looks for CUDA, could not use it."""
    out, said = started(tmp_path, FORKED).communicate(timeout=PATIENCE)
    assert out.split() == ["True", "False"], said


PROGRAM = """
import sys
from pipeline.processes import Workers
from tests.test_processes import crew, collected

if __name__ == "__main__":
    try:
        print("begun", flush=True)
        with crew(2, 10, sys.argv[1] == "True") as workers:
            print("ready", flush=True)
            collected(workers, range(10**9))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
"""


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_ctrl_c_at_any_moment_is_only_the_coordinators(after: float, cuda: bool, tmp_path: Path) -> None:
    """A terminal sends it to all; the workers, and the processes that help to start them, say nothing."""
    program = started(tmp_path, PROGRAM, str(cuda))
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    time.sleep(after)
    os.killpg(program.pid, signal.SIGINT)
    try:
        _, said = program.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        _, said = program.communicate()
    assert said == "interrupted\n"
    assert program.returncode == 0
