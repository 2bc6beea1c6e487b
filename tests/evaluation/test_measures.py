"""Usefulness, agreement, flags and copies on images whose answers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import judges
from pipeline.artifacts.quality import MOST_PAIRS, Copies
from pipeline.evaluation import agreement, diagnosis, flags, likeness, usefulness
from pipeline.evaluation.diagnosis import Sets
from pipeline.evaluation.flags import Remarks
from pipeline.evaluation.likeness import Likeness
from pipeline.evaluation.sides import Reference, Side
from pipeline.judges.trained import Trained
from pipeline.params import Params
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES
from tests.evaluation.images import coloured, stored

EVERY = np.arange(3)


def side(folder: Path, shown: NDArray[np.int64] | None = None, each: int = 25, seed: int = 9) -> Side:
    labels = np.repeat(EVERY, each)
    return Side.of(stored(folder, labels, coloured(labels, seed, shown)), np.arange(3 * each), 3)


@pytest.fixture
def params(document: dict[str, Any]) -> Params:
    document["evaluate"] |= {"steps": 60, "seeds": [1, 2], "least_images": 20}
    return Params.model_validate(document)


def test_images_of_the_right_classes_are_as_useful_as_real_ones_and_of_wrong_ones_useless(
    workspace: Workspace, params: Params, real: Reference, tmp_path: Path
) -> None:
    """Labels that are one class off teach the classifier to be always wrong."""
    good = usefulness.measure(workspace, params, real, side(tmp_path))
    wrong = usefulness.measure(workspace, params, real, side(tmp_path, (np.repeat(EVERY, 25) + 1) % 3))
    assert good.counts.tolist() == wrong.counts.tolist() == [25] * 3
    known, other = good.of(EVERY), wrong.of(EVERY)
    assert known.synthetic is not None
    assert known.real is not None
    assert other.synthetic is not None
    assert known.synthetic.mean > 0.9
    assert known.real.mean > 0.9
    assert known.synthetic.std is not None
    assert other.synthetic.mean < 0.1
    assert other.real == known.real


def test_classes_of_too_few_images_take_no_part(
    workspace: Workspace, params: Params, real: Reference, tmp_path: Path
) -> None:
    """The accuracy of two classes that took part is the mean of theirs, which have equally many images."""
    labels = np.repeat(EVERY, [25, 25, 19])
    two = Side.of(stored(tmp_path, labels, coloured(labels, 1)), np.arange(69), 3)
    found = usefulness.measure(workspace, params, real, two)
    assert found.counts.tolist() == [25, 25, 0]
    assert found.of(np.array([2])) == usefulness.NONE
    whole, *parts = (found.of(labels).synthetic for labels in (EVERY, np.array([0]), np.array([1])))
    assert whole is not None
    assert whole.mean == pytest.approx(np.mean([part.mean for part in parts if part]), abs=1e-3)
    one = Side.of(two.images, np.arange(25), 3)
    assert usefulness.measure(workspace, params, real, one).of(EVERY) == usefulness.NONE


def test_agreement_is_the_share_that_the_judge_finds_right(real: Reference, tmp_path: Path) -> None:
    """Of the 20 images of the first class 5 show the second one."""
    shown = np.repeat([0, 1, 1, 2], [15, 5, 20, 20])
    judge = Trained(CLASS_NAMES, lambda: judges.Training(real.data.train, real.parts.judge), tmp_path)
    found = agreement.measure(judge, side(tmp_path, shown, each=20))
    assert [found.of(np.array([label])) for label in range(3)] == [0.75, 1.0, 1.0]
    assert found.of(EVERY) == round(55 / 60, 4)
    assert agreement.measure(judge, Side.of(real.data.train, np.empty(0, np.int64), 3)).of(EVERY) is None


def test_pictures_of_one_colour_and_black_ones_are_counted(tmp_path: Path) -> None:
    labels, pixels = np.array([0, 0, 0, 1, 1]), coloured(np.array([0, 0, 0, 1, 1]), 1)
    pixels[0], pixels[1], pixels[3] = 200, 3, 0
    pixels[3, 0, 0] = 4
    found = Side.of(stored(tmp_path, labels, pixels), np.arange(5), 2)
    flat, black = flags.constant(found)
    assert (flat.tolist(), black.tolist()) == ([2, 1], [1, 1])


def test_remarks_of_shards_add_up() -> None:
    first = Remarks.of(np.array([0, 1, 1]), ["faint", "", "faint"], [0, 2, 1], 2)
    total = first + Remarks.of(np.array([1]), [""], [3], 2)
    assert (total.images.tolist(), total.faint.tolist(), total.redrawn.tolist()) == ([1, 3], [1, 1], [0, 3])


def test_distances_stand_beside_their_floor_and_those_without_enough_images_are_left_out() -> None:
    """Synthetic features are the real ones of another draw, moved far away in the second class."""
    rng = np.random.default_rng(1)
    draws = [rng.standard_normal((50, 4)).astype(np.float32) for _ in range(3)]
    draws[0][25:] += 100
    sets = Sets(np.array([25, 25]), *draws)
    names = ("clipped-density", "kid", "sliced-wasserstein", "frechet")
    near, far = (diagnosis.measure(sets, np.array([label]), names) for label in (0, 1))
    assert [one.name for one in near] == ["Clipped Density", "KID"]
    assert {one.images for one in near} == {25}
    assert near[0].value > 0.5 > far[0].value
    assert near[0].floor == pytest.approx(
        diagnosis.KINDS["clipped-density"].measure(draws[1][:25], draws[2][:25]), abs=1e-4
    )
    assert far[1].value > 100 * abs(near[1].value)
    assert far[1].std is not None
    assert [one.name for one in diagnosis.measure(sets, np.arange(2), names)][-1] == "sliced Wasserstein"
    assert diagnosis.left_out(sets, names) == ["Frechet is left out: 50 images on each side, and it needs 10,000"]


def copied(real: Reference, tmp_path: Path, pixels: NDArray[np.uint8]) -> Likeness:
    labels = np.repeat(EVERY, 10)
    made = Side.of(stored(tmp_path, labels, pixels), np.arange(30), 3)

    def features(one: Side) -> NDArray[np.float32]:
        return one.pixels().reshape(len(one.rows), -1).astype(np.float32)

    found = likeness.Features(*map(features, (made, real.reference, real.validation, real.training)))
    return likeness.measure(made, real, found)


def test_copies_of_training_images_and_repeats_are_found(real: Reference, tmp_path: Path) -> None:
    """Three images of the first class are training images, one of them twice; so three are copies, one repeats."""
    pixels = coloured(np.repeat(EVERY, 10), 33)
    rows = real.training.by_class[0][[0, 1, 1]]
    pixels[:3] = real.data.train.pixels[rows]
    found = copied(real, tmp_path, pixels)
    first = found.of(np.array([0]))
    assert (first.images, first.exact, first.training) == (10, 1, 3)
    assert first.near >= 1
    assert first.close == 0.3
    marks = [pair.mark for pair in found.pairs]
    assert marks[:3] == ["copy"] * 3
    assert set(marks[3:]) <= {"close", "nearest"}
    assert len(marks) == MOST_PAIRS
    assert {pair.other for pair in found.pairs[:3]} == set(rows.tolist())
    assert [(pair.mark, {pair.synthetic, pair.other}) for pair in found.repeats[:1]] == [("equal", {1, 2})]
    assert {pair.mark for pair in found.repeats[1:]} <= {"near"}
    other = found.of(np.array([1, 2]))
    assert (other.images, other.exact, other.training) == (20, 0, 0)


def test_how_near_is_usual_is_measured_class_by_class(real: Reference) -> None:
    """Held-out images of the first class are 1 to 120 away from training images, those of the second 10 to 1,200.

    A hundredth of 121 is 1, so the smallest distance is the border; the third class has no 99 images and takes 3, the
    third smallest of all 325, a hundredth of 326: of 1, 2, 3 ...
    """
    away = [np.arange(1, 121), np.arange(10, 1201, 10), np.full(85, 5000)]
    held_out = Side(real.data.train, tuple(np.arange(len(some)) for some in away))
    validation = np.concatenate(away).astype(np.float32)[:, None]
    nothing = np.zeros((1, 1), np.float32)
    found = likeness.Features(nothing, nothing, validation, nothing)
    assert likeness._borders(held_out, found).tolist() == [1, 10, 3]


def test_without_synthetic_images_there_are_no_copies(real: Reference, tmp_path: Path) -> None:
    none = Side.of(real.data.train, np.empty(0, np.int64), 3)
    empty = np.empty((0, 4), np.float32)
    some = np.random.default_rng(1).standard_normal((75, 4)).astype(np.float32)
    found = likeness.measure(none, real, likeness.Features(empty, some, some, some[:60]))
    assert found.of(EVERY) == Copies(0, 0, 0, 0, None, None, 0, None)
    assert found.pairs == found.repeats == ()


def test_repeats_are_compared_at_equal_numbers(real: Reference, tmp_path: Path) -> None:
    """Of each class 50 synthetic images, each there twice, and 25 real ones that do not repeat: N is 75.

    All 150 have 75 repetitions, a half. Any 25 of a class's 50 have at most 12, and here some of the others are left
    out, so their share is smaller. Real images: none, as none equals another one.
    """
    shown = np.repeat(EVERY, 25)
    once = coloured(shown, 44)
    labels = np.concatenate([shown, shown])
    made = Side.of(stored(tmp_path, labels, np.concatenate([once, once])), np.arange(150), 3)

    def features(one: Side) -> NDArray[np.float32]:
        return one.pixels().reshape(len(one.rows), -1).astype(np.float32)

    # Without held-out images the hash is not calibrated, and only equal images count.
    none = np.empty((0, 4), np.float32)
    given = likeness.Features(features(made), features(real.reference), none, none)
    found = likeness.measure(made, real, given).of(EVERY)
    assert (found.images, found.near, found.compared, found.near_real) == (150, 75, 75, 0.0)
    kept = [set((own[:25] % 75).tolist()) for own in made.by_class]
    assert found.near_synthetic == round((75 - sum(map(len, kept))) / 75, 4)
    assert 0 < found.near_synthetic < 0.5
