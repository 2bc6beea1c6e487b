"""Fixtures for all tests: private caches, no network, and a real Stable Diffusion folder of a few kilobytes."""

import io
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from pipeline.workspace import Workspace

# Both libraries read these when they are imported, so they are set before any test module is.
_HOME = Path(tempfile.mkdtemp(prefix="gen-fedsd-tests-"))
os.environ["HF_HOME"] = str(_HOME)
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)

# A program started in the background ignores Ctrl-C, and so would the programs that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Unlucky draws are kept as explicit examples in the tests, not in a folder; slow machines are no failures.
# `make fuzz` asks for more examples of each test than the suite has time for.
settings.register_profile(
    "tests", deadline=None, database=None, max_examples=int(os.environ.get("GEN_FEDSD_FUZZ", "100"))
)
settings.load_profile("tests")

MakeImages = Callable[[Path, NDArray[np.uint8], list[int]], None]

ROOT = Path(__file__).parents[1]
MANY = 500
CLASS_NAMES = ("ankle boot", "bag", "coat")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the server that workers are forked from with what every kind of them needs, if many tests will use it.

    Else the first kind's imports would be in it, and each worker of the other kind would import its own.
    """
    if len(items) > MANY:
        forkserver.set_forkserver_preload(["pipeline.federated.preload", "pipeline.generation.diffusion"])
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        resource_tracker.ensure_running()
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep pool and decoded images away from the user's cache."""
    place = tmp_path / "cache"
    monkeypatch.setenv("GEN_FEDSD_CACHE", str(place))
    return place


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The rights that new files do not get, for this process; set back at the end."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture(scope="session")
def hub_home() -> Path:
    """The folder that stands in for the user's Hugging Face cache."""
    return _HOME


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A StableDiffusionPipeline folder with random weights: 16x16 pictures from 8x8 latents, in a few kilobytes."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny.stable_diffusion(tmp_path_factory.mktemp("tokenizer")).save_pretrained(folder)
    return folder


def save_parquet(path: Path, images: NDArray[np.uint8], labels: list[int]) -> None:
    """Write images (N, H, W, 3) as the Hugging Face convention has it."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as ImageFeature
    from datasets.utils import disable_progress_bars

    def png(image: NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    disable_progress_bars()
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=list(CLASS_NAMES))})
    rows = {"image": [{"bytes": png(image), "path": None} for image in images], "label": labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(path)


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """The function that writes a labelled Parquet file of the three classes."""
    return save_parquet


def save_coloured(folder: Path, seed: int, **each: int) -> None:
    """Write so many images of each class for each split; the mean colour tells the three classes apart."""
    rng = np.random.default_rng(seed)
    for split, count in each.items():
        labels = np.repeat(np.arange(3), count)
        images = rng.integers(0, 120, (len(labels), 16, 16, 3)).astype(np.uint8)
        images[np.arange(len(labels)), :, :, labels] += 130
        save_parquet(folder / f"{split}.parquet", images, labels.tolist())


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that the mean colour tells apart: 60 training images, 20 a class, and 12 for testing."""
    folder = tmp_path_factory.mktemp("real")
    save_coloured(folder, 5, train=20, test=4)
    return folder


@pytest.fixture(scope="session")
def plenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 training images of each of the same classes, and four for testing: enough to measure by."""
    folder = tmp_path_factory.mktemp("plenty")
    save_coloured(folder, 6, train=120, test=4)
    return folder


def small_document(small_data: Path, tiny_model: Path) -> dict[str, Any]:
    """Return a small params.yaml: the shipped one, with what is not of the demo's size or model changed."""
    result: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    changes: dict[str, dict[str, Any]] = {
        "data": {"path": str(small_data)},
        "partition": {"scheme": "labels", "clients": 4, "labels_per_client": 2, "max_images": None},
        "deficits": {"rule": "own-max", "ratio": 1.0, "max_per_client": None, "max_total": None},
        "generate": {
            "model": str(tiny_model),
            "prompts": str(ROOT / "data/prompts/plain.yaml"),
            "steps": 2,
            "guidance": 2.0,
            "dtype": "float32",
            "batch_size": 4,
        },
        "evaluate": {"least_images": 6, "seeds": [1], "steps": 20},
        "train": {
            "algorithms": ["fedavg"],
            "seeds": [1],
            "rounds": 2,
            "central_steps": 20,
            "batch_size": 8,
            "learning_rate": 0.05,
            "schedule": "constant",
        },
        "report": {"target_accuracy": 0.5},
    }
    for section, values in changes.items():
        assert set(values) <= set(result[section]), section
        result[section] |= values
    return {**result, "seed": 7}


@pytest.fixture
def document(small_data: Path, tiny_model: Path) -> dict[str, Any]:
    """The content of that file."""
    return small_document(small_data, tiny_model)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> Path:
    """An empty project folder with its params.yaml, as the working folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def workspace(project: Path) -> Workspace:
    """That folder as the workspace of the command line: the working folder, with the tests' cache."""
    return Workspace()
