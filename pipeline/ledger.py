"""The ledger of a workspace: what was spent in it, line by line, in a file that DVC does not track.

Results do not depend on it. Lines are whole JSON objects that are appended under a lock, so several processes may
write, and one that is killed loses at most what it spent in its last second.
"""

import fcntl
import functools
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline import progress
from pipeline.energy import Crew, Meter, hardware
from pipeline.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")

COUNTS = (
    *("images_rendered", "images_reused", "runs_trained", "runs_reused"),
    *("bytes_down", "bytes_up", "bytes_pushed"),
)
"""What is counted; bytes down and up are those that simulated clients would receive and send."""
_EVERY = 1.0  # seconds between lines of one account


@dataclass(frozen=True)
class Entry:
    """One line: what a command spent since its last line."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    at: int
    """When, in seconds since 1970."""
    stage: str
    """What it was spent for, such as ``generate`` or ``train synthetic fedavg``."""
    kind: str
    """``cpu`` or ``cuda``."""
    hardware: str
    workers: int
    seconds: float
    """That passed."""
    device_seconds: float
    """For which workers worked, all together."""
    joules: float
    method: str
    """How the energy was found out."""
    counts: dict[str, int] = field(default_factory=dict)
    """Of ``COUNTS``; what is 0 is left out."""


@dataclass(frozen=True)
class Ledger:
    """The whole file."""

    entries: tuple[Entry, ...]
    damaged: int = 0
    """Lines that cannot be read, and so do not count."""


_ENTRY = TypeAdapter(Entry)


def read(path: Path) -> Ledger:
    """Return what is in the file, nothing if it is not there; damaged lines are counted and said."""
    entries, damaged = [], 0
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return Ledger(())
    for line in filter(None, lines):
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError:
            damaged += 1
    if damaged:
        progress.say(f"{path}: {damaged} of {len(entries) + damaged} lines are damaged, and do not count")
    return Ledger(tuple(entries), damaged)


class Account:
    """What one command spends, on its way to the ledger."""

    def __init__(self, path: Path, stage: str, crew: Crew, meter: Meter, reported: bool) -> None:
        self._path, self._stage, self._crew, self._meter, self._reported = path, stage, crew, meter, reported
        self._counts = dict[str, int]()
        self._device_seconds = 0.0
        self._since = time.monotonic()

    def add(self, device_seconds: float, counts: dict[str, int]) -> None:
        """Add what was spent; it is written at once if the last line is some time ago."""
        self._device_seconds += device_seconds
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + count
        if time.monotonic() - self._since >= _EVERY:
            self.write()

    def write(self) -> None:
        """Append a line with what was spent since the last one."""
        passed = time.monotonic() - self._since
        busy = self._device_seconds if self._reported else passed
        energy = self._meter.spent(busy)
        entry = Entry(
            at=int(time.time()),
            stage=self._stage,
            kind=self._crew.kind,
            hardware=hardware(self._crew.kind),
            workers=len(self._crew.devices),
            seconds=round(passed, 3),
            device_seconds=round(busy, 3),
            joules=round(energy.joules, 3),
            method=energy.method,
            counts={name: count for name, count in sorted(self._counts.items()) if count},
        )
        self._since += passed
        self._device_seconds, self._counts = 0.0, {}
        _append(self._path, json.dumps(asdict(entry), ensure_ascii=False))


_open: ContextVar[Account | None] = ContextVar("account", default=None)
"""The account of the command that runs; what works for it need not know of it."""


@contextmanager
def account(path: Path, stage: str, devices: Sequence[str] = ("cpu",), reported: bool = False) -> Iterator[None]:
    """Write into the ledger what is spent while the block runs, also if it fails or is interrupted.

    ``devices`` has the device of each worker.
    Device-seconds are those that pass, of one worker; or, if they are ``reported``, those that ``spend`` is told.
    """
    crew = Crew(tuple(devices))
    made = Account(path, stage, crew, Meter(crew), reported)
    token = _open.set(made)
    try:
        yield
    finally:
        _open.reset(token)
        made.write()


def accounted(
    stage: str, devices: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: ("cpu",), reported: bool = False
) -> Callable[[Callable[Concatenate[Workspace, P], T]], Callable[Concatenate[Workspace, P], T]]:
    """Give each call of a function of a workspace an account of its own, see ``account``.

    ``stage`` may name the function's arguments, as in ``fill {fill}``; ``devices`` finds the devices among them.
    """

    def wrap(function: Callable[Concatenate[Workspace, P], T]) -> Callable[Concatenate[Workspace, P], T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(workspace: Workspace, /, *args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(workspace, *args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            with account(workspace.ledger, stage.format_map(given), devices(given), reported):
                return function(workspace, *args, **kwargs)

        return call

    return wrap


def spend(device_seconds: float = 0.0, **counts: int) -> None:
    """Add to the account of the command that runs; nothing happens if there is none. ``counts`` are of ``COUNTS``."""
    assert set(counts) <= set(COUNTS), counts
    if (running := _open.get()) is not None:
        running.add(device_seconds, counts)


def _append(path: Path, line: str) -> None:
    """Append a whole line; one that a full disk or a kill cut off before is closed first, so that it spoils no other.

    A ledger that cannot be written is said, and stops nobody.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            left = memoryview(f"{chr(10) * cut}{line}\n".encode())
            while left:
                left = left[os.write(descriptor, left) :]
    except OSError as error:
        progress.say(f"{path}: what was spent cannot be written ({error.strerror})")
