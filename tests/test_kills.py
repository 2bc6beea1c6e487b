"""The ``generate`` stage leaves the same bytes however many work, in what order, and whoever is killed when."""

import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from safetensors.torch import load_file, save_file

from pipeline import params
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError
from pipeline.generation import assemble, request
from pipeline.generation.pool import Pool
from pipeline.generation.render import _render
from pipeline.params import Params
from pipeline.stages import deficits, generate, partition
from pipeline.workspace import Workspace

ROOT = Path(__file__).parent.parent
IMAGES = 156  # of 36 clients that want 6 each and hold 60 in all
KILLED_WORKERS, KILLED_SINGLES = 6, 12
KILLED_GROUPS = ((2, "the run"), (3, "all of the run"), (3, "the run"))
POLL = 0.005  # seconds between looks at how far a run has come
TRIES = 5  # runs for each kill, at most: a moment drawn may come after the end
PROMPTS = """
templates: ["a photo of a {class}", "a {colour} {class}"]
colour: [red, blue, green]
"""
LOADED = ("pipeline.generation.diffusion", "diffusers.pipelines.auto_pipeline")

Key = tuple[str, str, int]
Image = tuple[int, int, float, str, str, bytes]


@pytest.fixture
def work(project: Path, document: dict[str, Any], tiny_model: Path) -> Params:
    """A project that only lacks its images: three guidance scales, and a model that draws some images in vain.

    With its decoder's last weights scaled down so far, about one first draw in twenty shows nothing and is drawn
    again with another seed.
    """
    shutil.copytree(tiny_model, "model")
    weights = Path("model/vae/diffusion_pytorch_model.safetensors")
    tensors = load_file(weights)
    tensors["decoder.conv_out.weight"] *= 0.018
    tensors["decoder.conv_out.bias"] *= 0
    save_file(tensors, weights, {"format": "pt"})
    Path("prompts.yaml").write_text(PROMPTS)
    Path("pipeline").symlink_to(ROOT / "pipeline")
    document["partition"] |= {"scheme": "labels", "clients": 36, "labels_per_client": 2}
    document["deficits"] |= {"rule": "fixed", "images_per_class": 2}
    document["generate"] |= {"model": "model", "prompts": "prompts.yaml", "guidance": [1.0, 2.0, 3.0]}
    Path("params.yaml").write_text(yaml.safe_dump(document))
    made = params.load(Workspace().params)
    partition.run(Workspace(), made)
    deficits.run(Workspace(), made)
    return made


@dataclass(frozen=True)
class State:
    """What a run leaves: files by name, and the pool's images by lane, class name and index."""

    files: dict[str, bytes]
    images: dict[Key, Image]

    @classmethod
    def now(cls) -> Self:
        found = [*Workspace().shards.iterdir(), Workspace().manifest]  # with any temporary file
        return cls({str(path): path.read_bytes() for path in found}, held())


def held() -> dict[Key, Image]:
    """Return what the pool holds; its file must be sound."""
    if not Workspace().pool.is_file() or Workspace().pool.stat().st_size == 0:  # a run is about to make it
        return {}
    with closing(sqlite3.connect(Workspace().pool, timeout=60)) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        if not database.execute("select count(*) from sqlite_master where name = 'images'").fetchone()[0]:
            return {}
        columns = 'lane, class_name, "index", retry, seed, guidance, prompt, flags, image'
        return {(row[0], row[1], row[2]): row[3:] for row in database.execute(f"select {columns} from images")}


def forget() -> None:
    """Put the project back to where nothing is rendered."""
    shutil.rmtree(Workspace().shards, ignore_errors=True)
    shutil.rmtree(Workspace().cache, ignore_errors=True)
    Workspace().manifest.unlink(missing_ok=True)


def undisturbed(work: Params, count: int = 1) -> tuple[State, float]:
    """Return what a run by this process and its workers leaves, and the seconds that it took; then forget it."""
    start = time.monotonic()
    generate.run(Workspace(), work, ["cpu"] * count)
    seconds = time.monotonic() - start
    state = State.now()
    forget()
    return state, seconds


def asked(work: Params) -> list[ImageSpec]:
    """Return the specs of all images of the plan, in its order."""
    plan = request.current(Workspace(), work, "float32").plan
    return [plan.recipe.spec(want.lane, want.class_name, i) for want in plan.wanted() for i in want.indices]


def written() -> int:
    """Return how many shards there are."""
    return len(list(Workspace().shards.glob("client-*"))) if Workspace().shards.is_dir() else 0


class Watch:
    """Looks at what a run stores, and compares it with what an undisturbed run leaves."""

    def __init__(self, expected: State) -> None:
        self._expected, self._kept, self.phase = expected, held(), "loading"
        self._images, self._shards = len(self._kept), written()

    def look(self) -> str:
        """Check that nothing is lost or wrong since the last look, and that a manifest means all; say what is there."""
        now = held()
        assert self._kept.items() <= now.items()
        assert now.items() <= self._expected.images.items()
        self._kept = now
        if Workspace().manifest.exists():
            assert {name: Path(name).read_bytes() for name in self._expected.files} == self._expected.files
        shards = written()
        if Workspace().manifest.exists():
            self.phase = "done"
        elif shards > self._shards:
            self.phase = "writing"
        elif len(now) > self._images:
            self.phase = "rendering"
        return f"{len(now)} images, {shards} shards ({self.phase})"


def test_shuffled_work_leaves_the_same_bytes(work: Params) -> None:
    """The third order is worked off by two workers."""
    expected, _ = undisturbed(work)
    asked_for = request.current(Workspace(), work, "float32")
    plan = asked_for.plan
    for seed, count in ((1, 1), (2, 1), (3, 2)):
        order = asked(work)
        random.Random(seed).shuffle(order)
        with Pool(Workspace().pool) as pool:
            with pool.writing():
                _render(pool, iter(order), len(order), asked_for.model, ["cpu"] * count)
            for client in range(len(plan.missing)):
                assemble.write(pool, plan, client, Workspace().shards, work.generate.shard_megabytes, marked=True)
        shards = {name: content for name, content in expected.files.items() if name.startswith(str(Workspace().shards))}
        assert {str(path): path.read_bytes() for path in Workspace().shards.iterdir()} == shards
        assert undisturbed(work)[0] == expected


@pytest.fixture(scope="module")
def server() -> None:
    """Start the process that workers are forked from, if no test did, and have it import all that they need."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(LOADED))
    first = forks.Process(target=int)
    first.start()
    first.join()


@dataclass
class Killer:
    """Kills a random worker of this process at each of some moments, unless the block has ended or none lives."""

    moments: list[float]
    rng: random.Random
    watch: Watch
    phases: list[str] = field(default_factory=list)
    """What the run was at when each of them was killed."""

    def __enter__(self) -> Self:
        self._over, self._killed = threading.Event(), set[int]()
        self._thread = threading.Thread(target=self._kill)
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        for moment in sorted(self.moments):
            if self._over.wait(max(0, self._start + moment - time.monotonic())):
                return
            before, workers = self.watch.look(), sorted(grandchildren() - self._killed)
            with suppress(IndexError, ProcessLookupError):
                victim = self.rng.choice(workers)
                os.kill(victim, signal.SIGKILL)
                self._killed.add(victim)
                self.phases.append(self.watch.phase)
                print(f"one of {len(workers)} workers killed at {moment:.2f} s; there were {before}")


def grandchildren() -> set[int]:
    """Return the living processes that children of this one forked."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
    return {pid for pid, parent in parents.items() if parents.get(parent) == os.getpid()}


def test_killed_workers_cost_nothing(work: Params, server: None) -> None:
    """A run continues while a worker lives and no batch has cost two; else it ends, and the next run resumes."""
    expected, _ = undisturbed(work)
    state, seconds = undisturbed(work, 3)
    assert state == expected
    rng, phases = random.Random(12), list[str]()
    for _ in range(TRIES * KILLED_WORKERS):
        if len(phases) >= KILLED_WORKERS and {"loading", "rendering"} <= set(phases):
            break
        count, watch = rng.choice((2, 3)), Watch(expected)
        moments = [rng.uniform(0, seconds) for _ in range(rng.randint(1, count))]
        print(f"{count} workers; 3 take {seconds:.2f} s if undisturbed")
        killer = Killer(moments, rng, watch)
        try:
            with killer:
                generate.run(Workspace(), work, ["cpu"] * count)
        except GenerationError as error:
            print(f"{error}\nthere are {watch.look()}")
            if "deaths on one task" not in str(error):
                raise
        else:
            assert State.now() == expected
            forget()
        assert not grandchildren()
        phases += killer.phases
    assert len(phases) >= KILLED_WORKERS
    assert {"loading", "rendering"} <= set(phases)
    assert undisturbed(work)[0] == expected


WARM = f"""
import os, sys
import datasets, {", ".join(LOADED)}
from pipeline.__main__ import main
for _ in sys.stdin:
    child = os.fork()
    if not child:
        sys.argv = ["pipeline", "generate", "--devices", "cpu"]
        main()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Warm:
    """A process that has imported torch, and forks from itself runs of ``python -m pipeline generate`` on one CPU."""

    def __init__(self, said: Path) -> None:
        with said.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0
            )
        assert self._process.stdin
        assert self._process.stdout
        self._ask, self._answer = self._process.stdin, self._process.stdout

    def start(self) -> int:
        """Start a run and return its process."""
        self._ask.write(b"go\n")
        return int(self._answer.readline())

    def ended(self, seconds: float) -> bool:
        """Wait so long, or until the run has ended; tell whether it has."""
        return bool(wait([self._answer], seconds))  # type: ignore[list-item]

    def code(self) -> int:
        """Wait until the run has ended and return its exit code."""
        return int(self._answer.readline())

    def close(self) -> None:
        self._ask.close()
        self._process.wait()
        self._answer.close()


@pytest.fixture
def warm(work: Params, tmp_path: Path) -> Iterator[Warm]:
    made = Warm(tmp_path / "said.txt")
    yield made
    made.close()
    print((tmp_path / "said.txt").read_text())


def stored() -> int:
    """Return how many images the pool holds."""
    if not Workspace().pool.is_file():
        return 0
    with closing(sqlite3.connect(Workspace().pool, timeout=60)) as database, suppress(sqlite3.OperationalError):
        count: int = database.execute("select count(*) from images").fetchone()[0]
        return count
    return 0  # a run is about to make it


def kill_while(phase: str, warm: Warm, rng: random.Random, expected: State, seconds: float) -> None:
    """Kill a run in this phase: at a random moment of the loading, or after a random number of images or shards.

    ``seconds`` are what loading took before; it may be quicker now, so after each miss they are taken for a
    quarter as many; the last try kills within a few hundredths of a second, before torch is ready.
    """
    for attempt in range(TRIES):
        watch, left = Watch(expected), IMAGES - stored()
        moment, images = rng.uniform(0, seconds / 4**attempt), IMAGES - left + rng.randint(1, max(1, left // 2))
        shards = rng.randint(1, len(expected.files) // 2)
        process, start = warm.start(), time.monotonic()
        while not (ended := warm.ended(POLL)):
            if phase == "loading" and time.monotonic() - start >= moment:
                break
            if (phase == "rendering" and stored() >= images) or (phase == "writing" and written() >= shards):
                break
        if not ended:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        code = warm.code()
        print(f"to be killed while {phase}: exit code {code}, there are {watch.look()}")
        assert code in (0, -signal.SIGKILL)
        if watch.phase == phase:
            return
        if watch.phase == "done":
            forget()
    raise AssertionError(f"no run was killed while {phase}")


def test_killed_runs_lose_nothing(work: Params, warm: Warm) -> None:
    """Each run is one process, which loads, renders and writes the shards; four are killed before one may end."""
    expected, _ = undisturbed(work)
    start = time.monotonic()
    warm.start()
    while not warm.ended(POLL) and not stored():
        pass
    seconds, rng = time.monotonic() - start, random.Random(2)
    assert warm.code() == 0
    assert State.now() == expected
    forget()
    for _ in range(KILLED_SINGLES // 4):
        for phase in ("loading", "rendering", "rendering", "writing"):
            kill_while(phase, warm, rng, expected, seconds)
        assert undisturbed(work)[0] == expected


def command(count: int) -> "subprocess.Popen[str]":
    """Start a run in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "generate"],
        env={**os.environ, "GEN_FEDSD_DEVICES": f"cpu*{count}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(run: "subprocess.Popen[str]") -> str:
    """Return what a run said when all its processes are gone: each of them holds the other side of the pipe open."""
    try:
        return run.communicate(timeout=300)[1]
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        raise


def test_runs_of_several_workers_killed_or_not_leave_the_same_bytes(work: Params) -> None:
    """Of a run, the coordinating process is killed alone, and its workers leave by themselves; or all are killed."""
    left = list[State]()
    for count in (1, 2, 3):
        said = end(command(count))
        left.append(State.now())
        assert f"on {', '.join(['cpu'] * count)} in float32" in said
        forget()
    expected = left[0]
    assert left == [expected] * 3
    assert len({image[-1] for image in expected.images.values()}) == IMAGES
    assert 0 < sum(image[0] > 0 for image in expected.images.values()) < IMAGES / 4, "none or too many drawn again"
    rng = random.Random(19)
    for count, whom in KILLED_GROUPS:
        for _ in range(TRIES):
            images, watch = stored() + rng.randint(1, (IMAGES - stored()) // 3), Watch(expected)
            run = command(count)
            while run.poll() is None and stored() < images:
                time.sleep(POLL)
            if run.poll() is None:
                (os.kill if whom == "the run" else os.killpg)(run.pid, signal.SIGKILL)
            said = end(run)
            print(f"{whom} with {count} workers killed at {images} images: {run.returncode}, there are {watch.look()}")
            if run.returncode == -signal.SIGKILL:
                break
            assert run.returncode == 0, said  # it was over before this process looked again
            forget()
        else:
            raise AssertionError(f"no run with {count} workers was killed")
    assert undisturbed(work)[0] == expected
