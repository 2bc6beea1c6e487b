from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import ArtifactError
from pipeline.reporting.page import Charts, Folded, Picture, Shown, Text
from pipeline.reporting.sections import quality
from tests.reporting import crowd

NAMES = crowd.names(40)


def test_the_sentence_comes_first_and_the_worst_classes_follow_all() -> None:
    """Of 40 classes 30 are shown with all, 10 behind a title."""
    section = quality.make(crowd.quality(NAMES), Path("/nowhere"))
    assert section.parts[0] == Text("Doubtful in all: 71.2 of 80.1.")
    (table,) = [part.table for part in section.parts if isinstance(part, Shown)]
    assert [row[0] for row in table.rows][:2] == ["all", "\\u202eright to left"]
    assert [row[1] for row in table.rows][1] == '<span class="bad">bad</span>'
    assert len(table.rows) == 31
    assert [part.title for part in section.parts if isinstance(part, Folded)] == [
        "10 more classes",
        "Distances, copies and flags",
        "How it was measured",
    ]


def test_distances_stand_beside_their_floors_and_missing_ones_are_dashes() -> None:
    found = crowd.quality(NAMES[:1])
    section = quality.make(found, Path("/nowhere"))
    (folded,) = [part for part in section.parts if isinstance(part, Folded) and part.title.startswith("Distances")]
    shown = folded.parts[0]
    assert isinstance(shown, Shown)
    density, coverage = found.whole.distances
    assert shown.table.head[1:3] == ("clipped density (floor)", "clipped coverage (floor)")
    assert shown.table.rows[0][1:3] == (
        f"{density.value:.3g} ± 0.02 ({density.floor:.3g})",
        f"{coverage.value:.3g} (-)",
    )
    assert shown.table.rows[0][3:] == ("0.4 (0.2), 450", "1 of 900", "1.3", "2 faint, 1 redrawn, 44 refused")


def test_usefulness_and_the_lowest_agreements_are_charts() -> None:
    (charts,) = [
        part.charts for part in quality.make(crowd.quality(NAMES), Path("/nowhere")).parts if isinstance(part, Charts)
    ]
    useful, agreed = map(str, charts)
    assert "synthetic only: 71.2 ± 1.3" in useful
    assert "both: too few images" in useful
    assert "the 12 lowest classes" in agreed
    assert agreed.count('class="floor"') == 12


def test_flagged_pairs_are_shown_and_a_damaged_picture_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "copies.png"
    Image.new("RGB", (300, 20)).save(path)
    parts = quality.make(crowd.quality(NAMES), path).parts
    (pairs,) = [part for part in parts if isinstance(part, Folded) and part.title.startswith("Synthetic images and")]
    told, picture = pairs.parts
    assert isinstance(told, Text)
    assert "(1 of 900); close" in told.text
    assert "near it (9 of 900)" in told.text
    assert isinstance(picture, Picture)
    assert picture.width == 300
    path.write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match=r"damaged .*copies.png: run: dvc repro -f evaluate"):
        quality.make(crowd.quality(NAMES), path)
