"""The programs of data/generators, and a recipe that takes a second."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "data/generators"


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """The folder of the programs, in which Python looks for modules while the tests run."""
    sys.path.insert(0, str(FOLDER))
    yield FOLDER
    sys.path.remove(str(FOLDER))


@pytest.fixture
def document(small_data: Path) -> dict[str, Any]:
    """A recipe of 6 and 10 steps for the three classes of small_data."""
    return small_recipe(small_data)


def small_recipe(data: Path) -> dict[str, Any]:
    return {
        "data": {"path": str(data), "mirror": True},
        "captions": {"templates": ["{}", "a photo of a {}"], "groups": {"shoe": ["ankle boot"]}, "tokens": 8},
        "autoencoder": {"widths": [16, 16], "steps": 6, "batch": 4},
        "diffusion": {"widths": [16, 32], "steps": 10, "batch": 4, "snapshots": [0.1, 0.3, 1.0]},
        "threads": 1,
    }
