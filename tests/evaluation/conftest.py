"""Real images to measure by: 120 of each of three classes, of which one client holds 20."""

from pathlib import Path

import pytest

from pipeline.evaluation.sides import Reference
from pipeline.workspace import Workspace
from tests.evaluation.images import reference

EACH = 120


@pytest.fixture(scope="session")
def real(plenty: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Of 100 unused images of each class the judge gets 50, reference and validation 25 each."""
    folder = tmp_path_factory.mktemp("real")
    held = [row for row in range(3 * EACH) if row % EACH < 20]
    return reference(Workspace(folder, folder / "cache"), plenty, held)
