"""The quality report: what is written is read, anything else is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import quality
from pipeline.artifacts.quality import Copies, Distance, Flags, Model, Quality, Report, Spread, Usefulness
from pipeline.errors import ArtifactError

ONE = Quality(
    class_name="bag",
    images=120,
    used=100,
    reference=100,
    validation=200,
    usefulness=Usefulness(Spread(0.7, 0.01), Spread(0.8, None), None),
    agreement=0.9,
    judge_accuracy=None,
    distances=(
        Distance("KID", -0.01, 0.02, 0.003, 100, "lower"),
        Distance("Clipped Density", 0.5, None, None, 9, "higher"),
    ),
    copies=Copies(100, 1, 2, 50, 0.02, 0.0, 3, None),
    flags=Flags(120, 0, 0, 1, 2, 7),
    verdict="doubtful",
    failures=("poor generation", "copies"),
    why="because",
)
REPORT = Report(
    sentence="0 of 1 classes are good",
    whole=replace(ONE, class_name="all"),
    classes=(ONE,),
    judge=Model("trained", "ab"),
    extractor=Model("trained", "ab"),
    classifier="simple-cnn",
    recipe="cd",
    real="real training images that no client holds",
    seeds=3,
    steps=300,
    thresholds={"useful.bad": 0.7},
    left_out=("something",),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "quality.json")
    assert quality.load(tmp_path / "quality.json") == REPORT


@pytest.mark.parametrize(
    "change", [{"verdict": "fine"}, {"agreement": "much"}, {"more": 1}, {"agreement": float("nan")}]
)
def test_a_damaged_report_is_one_clear_error(tmp_path: Path, change: dict[str, object]) -> None:
    place = tmp_path / "quality.json"
    REPORT.save(place)
    document = json.loads(place.read_text())
    document["whole"] |= change
    place.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"damaged.*dvc repro -f evaluate"):
        quality.load(place)


def test_a_missing_report_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file.*run: dvc repro evaluate"):
        quality.load(tmp_path / "quality.json")
