from pathlib import Path

import pytest

from pipeline import params, paths
from pipeline.errors import ArtifactError
from pipeline.federated.experiment import Crew
from pipeline.stages import central, deficits, generate, partition


def test_results_that_cannot_be_saved_cost_no_round(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of neither reference: DVC deletes both results before the stage starts again."""
    made = params.load()
    partition.run(made)
    deficits.run(made)
    generate.run(made, ["cpu"])
    obstacle = paths.CENTRAL / "synthetic" / "history.csv"
    (obstacle / "not empty").mkdir(parents=True)
    capsys.readouterr()
    with pytest.raises(ArtifactError, match="cannot write"):
        central.run(made, Crew(1))
    checkpoints = paths.cache() / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 2
    said = capsys.readouterr().err
    assert "central real: 4/4 rounds" in said
    assert "central synthetic: 4/4 rounds" in said
    (obstacle / "not empty").rmdir()
    obstacle.rmdir()
    central.run(made, Crew(1))
    assert "rounds" not in capsys.readouterr().err
    assert list(checkpoints.iterdir()) == []
    assert {path.name for path in paths.CENTRAL.rglob("history.csv")} == {"history.csv"}
