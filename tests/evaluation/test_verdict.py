"""The verdict: usefulness decides, agreement lowers, distances only name what is wrong."""

from dataclasses import replace

import pytest

from pipeline.artifacts.quality import Copies, Distance, Flags, Model, Quality, Report, Spread, Usefulness
from pipeline.evaluate_params import EvaluateParams
from pipeline.evaluation import verdict

PARAMS = EvaluateParams(distances=())
"""Good from 90 %, bad below 70 %; density and coverage at least half of their floors; 10 % repeats, 5 % copies."""


def repeats(images: int, near: int, near_real: float, training: int, close: float | None) -> Copies:
    """Copies among so many images, compared with as many real ones."""
    return Copies(images, 0, near, images, near / images, near_real, training, close)


NO_COPIES = repeats(100, 0, 0.0, 0, 0.01)


def quality(
    useful: tuple[float, float] | None = (0.9, 0.9),
    agreement: float | None = 0.9,
    density: float = 0.9,
    coverage: float = 0.9,
    copies: Copies = NO_COPIES,
    name: str = "bag",
) -> Quality:
    """A class of these numbers; ``useful`` is accuracy with synthetic and with real images, the judge's is 0.9.

    Of so many images that a share is known exactly.
    """
    spreads = [Spread(value, None) for value in useful] if useful else [None, None]
    distances = (
        Distance("Clipped Density", density, 1.0, None, 100, "higher"),
        Distance("Clipped Coverage", coverage, 1.0, None, 100, "higher"),
    )
    flags = Flags(100, 0, 0, 0, 0, None)
    usefulness = Usefulness(spreads[0], spreads[1], spreads[1])
    known = Quality(
        name, 10**6, 10**6, 100, 100, usefulness, agreement, 0.9, distances, copies, flags, "unknown", (), ""
    )
    decided = verdict.decide(known, PARAMS)
    return replace(known, verdict=decided.verdict, failures=decided.failures, why=decided.why)


@pytest.mark.parametrize(
    ("useful", "agreement", "expected"),
    [
        ((0.81, 0.9), 0.9, "good"),  # 90 % of the accuracy with real images
        ((0.80, 0.9), 0.9, "doubtful"),  # 89 %
        ((0.63, 0.9), 0.9, "doubtful"),  # 70 %
        ((0.62, 0.9), 0.9, "bad"),  # 69 %
        ((0.9, 0.9), 0.8, "doubtful"),  # agreement 89 % of the judge's accuracy: one step lower
        ((0.9, 0.9), 0.1, "doubtful"),  # never more than one step
        ((0.7, 0.9), 0.1, "bad"),
        ((0.1, 0.9), 0.9, "bad"),  # agreement does not raise
        (None, 0.9, "good"),  # agreement alone
        (None, 0.5, "bad"),
        ((0.9, 0.9), None, "good"),
        (None, None, "unknown"),
        ((0.5, 0.0), 0.9, "good"),  # real images reach nothing, so usefulness is not known
    ],
)
def test_usefulness_decides_then_agreement(
    useful: tuple[float, float] | None, agreement: float | None, expected: str
) -> None:
    assert quality(useful, agreement).verdict == expected


def test_distances_decide_nothing_and_name_what_is_wrong() -> None:
    assert quality(density=0.0, coverage=0.0).verdict == "good"
    assert quality(density=0.0, coverage=0.0).failures == ()
    bad = (0.5, 0.9)
    assert quality(bad).failures == ("distribution mismatch",)
    assert quality(bad, density=0.49).failures == ("distribution mismatch",)
    assert quality(bad, coverage=0.49).failures == ("low diversity",)
    assert quality(bad, agreement=0.5, coverage=0.49).failures == ("poor generation", "low diversity")
    repeated = repeats(100, 11, 0.0, 0, 0.01)
    assert quality(bad, copies=repeated).failures == ("low diversity",)
    assert quality(bad, copies=repeats(100, 10, 0.0, 0, 0.01)).failures == ("distribution mismatch",)


def test_repeats_that_real_images_have_too_are_no_lack_of_diversity() -> None:
    """11 % are more than 10 %, but not more than 10 % above the 5 % of real images."""
    assert quality((0.5, 0.9), copies=repeats(100, 11, 0.05, 0, 0.01)).failures == ("distribution mismatch",)
    assert quality((0.5, 0.9), copies=repeats(100, 16, 0.05, 0, 0.01)).failures == ("low diversity",)
    fewer = replace(repeats(100, 16, 0.05, 0, 0.01), compared=50, near_synthetic=0.08)
    assert quality((0.5, 0.9), copies=fewer).failures == ("distribution mismatch",)  # of 50 and 50 images 8 and 5 %
    alone = replace(fewer, compared=0, near_synthetic=None, near_real=None)
    assert quality((0.5, 0.9), copies=alone).failures == ("low diversity",)  # 16 of 100, and no real ones


def test_copies_of_training_images_make_good_images_doubtful() -> None:
    copied = quality(copies=repeats(100, 0, 0.0, 6, 0.06))
    assert (copied.verdict, copied.failures) == ("doubtful", ("copies",))
    assert quality(copies=repeats(100, 0, 0.0, 5, 0.05)).verdict == "good"
    assert quality(copies=repeats(100, 0, 0.0, 6, None)).failures == ("copies",)
    assert quality(copies=repeats(20, 0, 0.0, 0, 0.1)).verdict == "good"  # two images are an accident
    assert quality(copies=repeats(20, 0, 0.0, 0, 0.15)).verdict == "doubtful"
    assert quality((0.1, 0.9), copies=repeats(100, 0, 0.0, 6, 0.06)).verdict == "bad"


def test_a_difference_within_one_standard_error_counts_in_the_images_favour() -> None:
    """Deviations 0.06 and 0.08 over four seeds: the error is sqrt(0.01 / 4) = 0.05, and 0.76 + 0.05 is 90 % of 0.9."""
    four = EvaluateParams(distances=(), seeds=(1, 2, 3, 4))
    known = quality((0.76, 0.9))
    assert verdict.decide(known, four).verdict == "doubtful"
    unsure = replace(known, usefulness=Usefulness(Spread(0.76, 0.06), Spread(0.9, 0.08), None))
    assert verdict.decide(unsure, four).verdict == "good"
    less = replace(known, usefulness=Usefulness(Spread(0.75, 0.06), Spread(0.9, 0.08), None))
    assert verdict.decide(less, four).verdict == "doubtful"


def test_a_share_of_few_images_counts_with_its_standard_error() -> None:
    """0.75 of 75 images is uncertain by 0.05, and 0.8 is 89 % of 0.9; of 48 by 0.0625, and 0.8125 is 90.3 %."""
    known = replace(quality(), agreement=0.75)
    assert verdict.decide(replace(known, used=75), PARAMS).verdict == "doubtful"
    assert verdict.decide(replace(known, used=48), PARAMS).verdict == "good"


def test_doubt_makes_no_bad_image_good() -> None:
    """An error of 0.6, twice the accuracy with real images, could make anything good; bad rises to doubtful only."""
    unsure = replace(quality(), usefulness=Usefulness(Spread(0.0, 0.0), Spread(0.3, 1.2), None))
    assert verdict.decide(unsure, EvaluateParams(distances=(), seeds=(1, 2, 3, 4))).verdict == "doubtful"
    few = replace(quality(None), used=1, agreement=0.5)
    assert verdict.decide(few, PARAMS).verdict == "doubtful"


def test_one_of_two_sides_is_more_useful_if_they_differ_by_two_standard_errors() -> None:
    """Deviations 0.03 and 0.04 over four seeds: the error is 0.025, so 0.04 is no clear difference and 0.06 is one."""

    def report(mean: float, std: float, seeds: int = 4) -> Report:
        whole = replace(quality(), usefulness=Usefulness(Spread(mean, std), None, None))
        model = Model("trained", "ab")
        return Report("", whole, (), model, model, "simple-cnn", "cd", "real", seeds, 10, {}, ())

    numbers = "standard error of the difference 2.5"
    other = report(0.75, 0.04)
    assert verdict.between(report(0.71, 0.03), other).startswith("Neither side is clearly more useful: 71.0 % and")
    assert verdict.between(report(0.69, 0.03), other) == f"B is more useful: 69.0 % and 75.0 %, {numbers}."
    assert verdict.between(report(0.81, 0.03), other).startswith("A is more useful")
    assert verdict.between(report(0.81, 0.03, seeds=1), other).startswith("Neither")
    unknown = replace(other, whole=quality(None))
    assert "not known" in verdict.between(other, unknown)


def test_the_reason_and_the_sentence_say_the_numbers() -> None:
    classes = [quality(name="bag"), quality((0.7, 0.9), name="coat"), quality((0.1, 0.9), 0.1, name="shirt")]
    assert classes[1].why == "78 % of the accuracy with real images; agreement 100 % of the judge's accuracy"
    assert verdict.sentence(quality((0.75, 0.9)), classes) == (
        "1 of 3 classes are good, 1 doubtful (coat: distribution mismatch), 1 bad (shirt: poor generation); "
        "trained on synthetic images the classifier reaches 75.0 % on real ones, 90.0 % trained on as many real "
        "images, 90.0 % on both."
    )
    assert verdict.sentence(quality(None), [quality(None, None)]).endswith("too few images to train the classifier.")
    many = [quality((0.1, 0.9), name=str(label)) for label in range(9)]
    assert " and 5 more)" in verdict.sentence(quality(), many)
