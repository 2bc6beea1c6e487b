"""Worker processes: what they are given, what comes back, and what happens when one dies or somebody presses Ctrl-C."""

import fcntl
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipeline.processes import Done, Workers
from tests.jobs import MOMENTS, PATIENCE, Job, collected, crew, until

ROOT = Path(__file__).parents[1]
LARGE = 3_000_000
"""Bytes that do not fit into a pipe."""


@pytest.mark.parametrize("cuda", [False, True])
def test_every_task_is_done_once_by_some_worker(cuda: bool) -> None:
    with crew(2, 3, cuda) as workers:
        done = collected(workers, map(Job, range(9)))
        assert collected(workers, []) == []
    assert sorted((one.task.number, one.answer) for one in done) == [(i, (2 * i, b"xxx")) for i in range(9)]
    assert {one.worker for one in done} <= {"0", "1"}
    assert not multiprocessing.active_children()


def test_tasks_may_come_while_others_are_done() -> None:
    queue = [Job(1)]
    with crew(2) as workers:
        for done in workers.carry_out(lambda: queue.pop() if queue else None):
            if done.task.number < 100:
                queue.append(Job(done.answer[0]))
    assert done.task.number == 128


def test_large_messages_in_both_directions_do_not_wait_for_each_other() -> None:
    found: list[Done[Any]] = []

    def work() -> None:
        with crew(2, LARGE) as workers:
            found.extend(collected(workers, [Job(payload=b"x" * LARGE)] * 12))

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert len(found) == 12


def test_a_large_task_for_a_busy_worker_keeps_no_other_waiting(tmp_path: Path) -> None:
    """The first worker's first task ends when the second worker has done two; its second one does not fit the pipe."""
    gate = tmp_path / "gate"
    source = iter([Job(0, gate), *(Job(i, payload=b"x" * LARGE) for i in (1, 2, 3))])
    with crew(2) as workers:
        tasks = workers.carry_out(lambda: next(source, None))
        names = [next(tasks).worker, next(tasks).worker]
        gate.touch()
        assert len(list(tasks)) == 2
    assert names == ["1", "1"]


def pipes(workers: Workers[Any]) -> dict[str, Connection]:
    """Return the pipe of each worker, by its name."""
    return {worker.name: pipe for pipe, worker in workers._workers.items()}


def end(name: str, by: signal.Signals) -> None:
    """Kill a worker and wait until it is gone."""
    (process,) = (one for one in multiprocessing.active_children() if one.name == f"worker {name}")
    assert process.pid is not None
    os.kill(process.pid, by)
    process.join()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["loading", "working", "sending", "idle"])
def test_a_worker_killed_at_any_moment_loses_and_changes_nothing(
    moment: str, by: signal.Signals, tmp_path: Path
) -> None:
    """Also while it sends: half an answer is none. Other workers' answers come whole."""
    size = 5_000_000
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    stays = Job(0, gate, begun)
    source = iter([stays if moment == "working" else Job(), *map(Job, range(1, 12))])
    with crew(3, size, loading=stays if moment == "loading" else None) as workers:
        tasks = workers.carry_out(lambda: next(source, None))
        done = [next(tasks)]
        if moment == "sending":
            until(pipes(workers)["0"].poll)  # it cannot have sent all: an answer does not fit into the pipe
        elif moment == "idle":
            done += tasks
            source = iter(map(Job, range(12, 16)))
            tasks = workers.carry_out(lambda: next(source, None))
        else:
            until(begun.exists)
        end("0", by)
        gate.touch()
        done += tasks
    assert sorted(one.task.number for one in done) == list(range(16 if moment == "idle" else 12))
    assert all(one.answer == (2 * one.task.number, b"x" * size) for one in done)
    assert not multiprocessing.active_children()


def unread(pipe: Connection) -> int:
    """Return how many bytes have arrived."""
    return int(struct.unpack("i", fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)))[0])


def test_an_error_comes_after_the_answers_that_are_ready(tmp_path: Path) -> None:
    """The first worker fails at its second task when the second one has answered both of its own.

    A message is its pickle behind four bytes of length.
    """
    gate, fails = tmp_path / "gate", tmp_path / "fails"
    source = iter([Job(0), Job(1, gate), Job(2, fails, fails=True), Job(3)])
    answers = 2 * (4 + len(bytes(ForkingPickler.dumps((2, b"")))))
    done: list[int] = []

    def work() -> None:
        with crew(2) as workers:
            for one in workers.carry_out(lambda: next(source, None)):
                done.append(one.task.number)
                if one.task.number == 0:
                    gate.touch()
                    until(lambda: unread(pipes(workers)["1"]) == answers)
                    fails.touch()
                    until(pipes(workers)["0"].poll)

    with pytest.raises(RuntimeError, match=r"^in worker 0:\nTraceback(.|\n)*no such number"):
        work()
    assert done == [0, 1, 3]
    assert not multiprocessing.active_children()


def test_an_error_while_loading_surfaces_as_it_was() -> None:
    with (
        pytest.raises(RuntimeError, match=r"^in worker 0:\nTraceback(.|\n)*no such number"),
        crew(2, loading=Job(fails=True)) as workers,
    ):
        collected(workers, [Job()])
    assert not multiprocessing.active_children()


def test_workers_that_cannot_be_told_what_to_do_are_ended() -> None:
    with pytest.raises(AttributeError, match="local object"):
        Workers(lambda: None, [("0", ())], "pipeline.errors", cuda=False)  # type: ignore[arg-type, return-value]
    assert not multiprocessing.active_children()


FORKED = """
from pipeline.processes import Workers
from tests.jobs import collected

def looking_for_cuda():
    import torch

    poisoned = torch.cuda._is_in_bad_fork()
    return lambda _: lambda: poisoned

if __name__ == "__main__":
    for cuda in False, True:
        with Workers(looking_for_cuda, [("0", ())], "looks_for_cuda", cuda) as workers:
            print(*(one.answer for one in collected(workers, [0])))
"""
PROGRAM = """
import sys
from tests.jobs import main

if __name__ == "__main__":
    main(*sys.argv[1:])
"""
PRELOADING = """
import os, time

print("preloading", flush=True)
while not os.path.exists({!r}):
    time.sleep(0.01)
"""


def started(folder: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program, which can import what is in the folder."""
    script = folder / "program.py"
    script.write_text(text)
    command = [sys.executable, str(script), *arguments]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def test_only_workers_for_cuda_are_started_afresh(tmp_path: Path) -> None:
    """One that was forked after somebody looked for CUDA, as an import of diffusers does, could not use it."""
    (tmp_path / "looks_for_cuda.py").write_text("import torch\ntorch.cuda.is_available()\n")
    out, said = started(tmp_path, FORKED).communicate(timeout=PATIENCE)
    assert out.split() == ["True", "False"], said


@pytest.fixture
def programs() -> Iterator[list[subprocess.Popen[str]]]:
    """Programs, whose processes are killed at the end if a test left any."""
    made: list[subprocess.Popen[str]] = []
    yield made
    for program in made:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def reached(program: subprocess.Popen[str], moment: str) -> None:
    """Wait until the program or one of its workers says that it has reached the moment."""
    assert program.stdout is not None
    said = b""
    while moment.encode() not in said.splitlines():
        assert wait([program.stdout], PATIENCE), said  # type: ignore[list-item]
        part = os.read(program.stdout.fileno(), 1000)
        assert part, program.communicate()[1]
        said += part


def last_words(program: subprocess.Popen[str]) -> str:
    """Return what the program and all its processes wrote to stderr, which each of them holds open until it ends."""
    return program.communicate(timeout=PATIENCE)[1]


@pytest.mark.parametrize(
    ("moment", "method"),
    [
        *((moment, "fork") for moment in ["begun", "serving", "served", "starting", "started", "ready", *MOMENTS]),
        *((moment, "cuda") for moment in ["starting", "started", "ready", "loading", "answered"]),
        ("answered", "fork"),
    ],
)
def test_ctrl_c_at_any_moment_is_only_the_coordinators(
    moment: str, method: str, tmp_path: Path, programs: list[subprocess.Popen[str]]
) -> None:
    """A terminal sends it to all; the workers, and the processes that help to start them, end and say nothing."""
    programs.append(program := started(tmp_path, PROGRAM, moment, "pipeline.errors", method, "no such file"))
    reached(program, moment)
    os.killpg(program.pid, signal.SIGINT)
    assert last_words(program) == "interrupted\n"
    assert program.returncode == 0


def test_ctrl_c_ends_the_wait_for_a_long_import(tmp_path: Path, programs: list[subprocess.Popen[str]]) -> None:
    """The import goes on, in the process that workers would be forked from; when it ends, none is forked."""
    gate = tmp_path / "gate"
    (tmp_path / "imports.py").write_text(PRELOADING.format(str(gate)))
    programs.append(program := started(tmp_path, PROGRAM, "", "imports", "fork", "no such file"))
    reached(program, "preloading")
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(PATIENCE) == 0
    gate.touch()
    assert last_words(program) == "interrupted\n"


def test_ctrl_c_ends_the_wait_for_a_worker(tmp_path: Path, programs: list[subprocess.Popen[str]]) -> None:
    """The coordinating process has no more to do, but a worker stays at its task for ever."""
    leave = tmp_path / "leave"
    programs.append(program := started(tmp_path, PROGRAM, "working", "pipeline.errors", "fork", str(leave)))
    reached(program, "working")
    leave.touch()
    reached(program, "ending")
    os.killpg(program.pid, signal.SIGINT)
    assert last_words(program) == "interrupted\n"


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_workers_of_a_killed_coordinator_end_whatever_they_do(
    moment: str, tmp_path: Path, programs: list[subprocess.Popen[str]]
) -> None:
    programs.append(program := started(tmp_path, PROGRAM, moment, "pipeline.errors", "fork", "no such file"))
    reached(program, moment)
    program.kill()
    assert last_words(program) == ""
