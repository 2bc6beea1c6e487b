"""Where interrupted runs stand: written every few rounds into the cache, whole or not at all, and gone at the end."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline import atomic, paths, progress
from pipeline.federated.simulation import Progress, Round, Run
from pipeline.federated.workers import Data

_VERSION = 2
"""Raise it when a change of code changes what a run computes."""


class Checkpoints:
    """The checkpoint of one run, found by everything that decides the run."""

    def __init__(self, name: str, run: Run, data: Data, every: int) -> None:
        stored = [part.path.name for part in (data.real, data.extra, data.test) if part is not None]
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        identity = json.dumps([_VERSION, torch.__version__, kind, repr(run), stored, repr(data.norm)])
        self._name, self._every = name, every
        self.path = paths.cache() / "checkpoints" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.safetensors"

    def load(self) -> Progress | None:
        """Return where the run stood, or None if it was not begun; a damaged file counts as none."""
        if not self.path.is_file():
            return None
        try:
            return _read(self.path)
        except (SafetensorError, ValueError, KeyError, TypeError):
            progress.say(f"{self.path} is damaged; {self._name} begins anew")
            return None

    def keep(self, at: Progress) -> None:
        """Write where the run stands, if it is time."""
        if at.rounds[-1].number % self._every == 0:
            _write(self.path, at)

    def forget(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _write(path: Path, at: Progress) -> None:
    vectors = {f"server/{name}": vector for name, vector in at.state.items()}
    vectors |= {f"{client}/{name}": vector for client, own in at.own.items() for name, vector in own.items()}
    with atomic.replacing(path) as temporary:
        save_file(vectors, temporary, {"rounds": json.dumps([asdict(done) for done in at.rounds])})


def _read(path: Path) -> Progress:
    with safe_open(path, "numpy") as file:
        rounds = [Round(**done) for done in json.loads(file.metadata()["rounds"])]
        vectors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dictionary
    at = Progress({}, {}, rounds)
    for key, vector in vectors.items():
        owner, name = key.split("/", 1)
        (at.state if owner == "server" else at.own.setdefault(int(owner), {}))[name] = vector
    for done in rounds:
        done.by_class = None if done.by_class is None else tuple(done.by_class)
    return at
