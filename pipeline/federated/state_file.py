"""A run's state as one safetensors file: whole or not at all, with a digest that tells damage."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline import atomic
from pipeline.artifacts.history import Participation, Round
from pipeline.federated.simulation import RunState

_SERVER, _RECENT, _PARTICIPANTS = "server", "recent", "participants"
_SHARES = ("by_class", "by_domain")
DAMAGED = (SafetensorError, ValueError, KeyError, TypeError)
"""What reading a damaged file raises."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name as safetensors, whole or not at all; raise ArtifactError if the disk is full."""
    with atomic.replacing(path) as temporary:
        try:
            save_file(dict(arrays), temporary, metadata)
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OSError(*error.args) from None


def write(path: Path, at: RunState, about: Mapping[str, Any] | None = None) -> None:
    """Write a state; ``about`` is a JSON-ready description that ``about`` reads without the arrays."""
    vectors: dict[str, NDArray[Any]] = {f"{_SERVER}/{name}": vector for name, vector in at.state.items()}
    vectors |= {f"{client}/{name}": vector for client, own in at.client_states.items() for name, vector in own.items()}
    vectors |= {f"{_RECENT}/{i}": vector for i, vector in enumerate(at.recent)}
    vectors[_PARTICIPANTS] = np.array(
        [(done.number, *astuple(one)) for done in at.rounds for one in done.participants], np.int64
    ).reshape(-1, 6)
    rounds = json.dumps([_described(done) for done in at.rounds])
    described = json.dumps(dict(about or {}), sort_keys=True)
    digest = _digest(rounds + described, vectors)
    write_arrays(path, vectors, {"rounds": rounds, "about": described, "sha256": digest})


def read(path: Path) -> RunState:
    """Read a state; raise one of ``DAMAGED`` if it is not what was written."""
    with safe_open(path, "numpy") as file:
        found = file.metadata()
        vectors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dictionary
    if _digest(found["rounds"] + found["about"], vectors) != found["sha256"]:
        raise ValueError("the bytes are not those that were written")
    took_part: dict[int, list[Participation]] = {}
    for number, *rest in vectors.pop(_PARTICIPANTS).tolist():
        took_part.setdefault(number, []).append(Participation(*rest))
    at = RunState({})
    for done in json.loads(found["rounds"]):
        shares = {name: tuple(done[name]) for name in _SHARES if done.get(name) is not None}
        participants = tuple(took_part.get(done["number"], ()))
        at.rounds.append(Round(**{**done, **shares, _PARTICIPANTS: participants}))
    at.recent = [vectors.pop(key) for key in sorted((k for k in vectors if k.startswith(f"{_RECENT}/")), key=_place)]
    for key, vector in vectors.items():
        owner, name = key.split("/", 1)
        (at.state if owner == _SERVER else at.client_states.setdefault(int(owner), {}))[name] = vector
    return at


def _described(done: Round) -> dict[str, Any]:
    """Return a round as JSON-ready values; without domains as before there were any."""
    described = {**asdict(done), _PARTICIPANTS: ()}
    return {name: value for name, value in described.items() if name != "by_domain" or value is not None}


def _place(key: str) -> int:
    return int(key.split("/", 1)[1])


def read_about(path: Path) -> dict[str, Any]:
    """Return a state's description without reading its arrays; raise one of ``DAMAGED``."""
    with safe_open(path, "numpy") as file:
        described: dict[str, Any] = json.loads(file.metadata()["about"])
    return described


def _digest(text: str, vectors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of a state's content, the vectors in order of name."""
    whole = hashlib.sha256(text.encode())
    for name in sorted(vectors):
        whole.update(f"{name} {vectors[name].dtype} {vectors[name].shape}".encode())
        whole.update(np.ascontiguousarray(vectors[name]).data)
    return whole.hexdigest()
