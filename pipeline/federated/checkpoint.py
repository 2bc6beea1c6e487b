"""Where interrupted runs stand: written every few rounds into the cache, whole or not at all, and gone at the end."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline import atomic, paths, progress
from pipeline.federated.simulation import Progress, Round, Run
from pipeline.federated.workers import Data

_VERSION = 3
"""Raise it when a change of code changes what a run computes."""


class Checkpoints:
    """The checkpoint of one run, found by everything that decides the run."""

    def __init__(self, name: str, run: Run, data: Data, every: int) -> None:
        stored = [part.path.name for part in (data.real, data.extra, data.test) if part is not None]
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        identity = json.dumps([_VERSION, torch.__version__, kind, repr(run), stored, repr(data.norm)])
        self._name, self._every, self._last = name, every, run.rounds
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
        """Write where the run stands, if it is time or the last round; raise ArtifactError if there is no room."""
        if at.rounds[-1].number % self._every == 0 or at.rounds[-1].number == self._last:
            _write(self.path, at)

    def forget(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name as safetensors, whole or not at all; raise ArtifactError if there is no room."""
    with atomic.replacing(path) as temporary:
        try:
            save_file(dict(arrays), temporary, metadata)
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OSError(*error.args) from None


def _write(path: Path, at: Progress) -> None:
    vectors = {f"server/{name}": vector for name, vector in at.state.items()}
    vectors |= {f"{client}/{name}": vector for client, own in at.own.items() for name, vector in own.items()}
    rounds = json.dumps([asdict(done) for done in at.rounds])
    write(path, vectors, {"rounds": rounds, "sha256": _digest(rounds, vectors)})


def _read(path: Path) -> Progress:
    with safe_open(path, "numpy") as file:
        found = file.metadata()
        vectors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dictionary
    if _digest(found["rounds"], vectors) != found["sha256"]:
        raise ValueError("the bytes are not those that were written")
    rounds = [Round(**done) for done in json.loads(found["rounds"])]
    at = Progress({}, {}, rounds)
    for key, vector in vectors.items():
        owner, name = key.split("/", 1)
        (at.state if owner == "server" else at.own.setdefault(int(owner), {}))[name] = vector
    for done in rounds:
        done.by_class = None if done.by_class is None else tuple(done.by_class)
    return at


def _digest(rounds: str, vectors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of a checkpoint's content, the vectors in order of name."""
    whole = hashlib.sha256(rounds.encode())
    for name in sorted(vectors):
        whole.update(f"{name} {vectors[name].dtype} {vectors[name].shape}".encode())
        whole.update(np.ascontiguousarray(vectors[name]).data)
    return whole.hexdigest()
