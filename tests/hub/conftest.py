"""Fixtures for publishing: a project whose shards are written, a Hub, and clients that reach it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from pipeline.hub import api, push
from pipeline.workspace import Workspace
from tests.conftest import small_document
from tests.hub.publishing import REPO, TOKEN, generate_project
from tests.hub.server import Hub


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Workspace:
    """A project of four clients with its shards, beside its cache; made once and copied."""
    return generate_project(tmp_path_factory.mktemp("generated"), small_document(small_data, tiny_model))


@pytest.fixture
def project(generated: Workspace, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project and its pool, as the working folder."""
    shutil.copytree(generated.root, tmp_path / "project")
    shutil.copytree(generated.cache, cache)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(autouse=True)
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients reach the loopback interface, without Xet, with a cache of their own."""
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": True,  # else a process first asks huggingface.co for a list of agents
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clients would have waited before they tried again."""
    seconds: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=seconds.append))
    for module in (api, push):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Hub]:
    """A Hub on which ada, who is logged in, may write; and a stranger who is not."""
    with Hub(page_size=3) as made:
        made.add_user("ada", TOKEN)
        made.add_user("ada", "hf_reads", write=False)
        made.add_user("bob", "hf_bob")
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.endpoint)
        resolve = made.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", resolve)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def gen_fedsd(hub: Hub, tmp_path: Path) -> Command:
    """Starts a command of ours on that Hub's repository in a process of its own; ``changes`` are of its environment."""

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **changes,
        }
        command = [sys.executable, "-m", "pipeline", *arguments, "--repo-id", REPO]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start
