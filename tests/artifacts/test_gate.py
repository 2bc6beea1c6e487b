import pytest

from pipeline.artifacts.gate import Gate, Score


@pytest.mark.parametrize(
    ("label", "probability", "least", "passes"),
    [
        (1, 0.5, 0.5, True),
        (1, 0.499999, 0.5, False),
        (2, 0.4, 0.25, False),  # probable enough, but another class is more probable
        (1, 0.1, 0.0, True),
        (2, 0.0, 0.0, False),
        (1, 1.0, 1.0, True),
    ],
)
def test_an_image_passes_if_its_class_is_the_most_probable_one_and_probable_enough(
    label: int, probability: float, least: float, passes: bool
) -> None:
    assert Gate("digest", "name", least).accepts(Score(1, label, probability)) == passes


def test_judge_and_bound_are_the_gates_identity_and_its_name_is_not() -> None:
    gate = Gate("digest", "name", 0.5)
    assert gate.digest == Gate("digest", "another", 0.5).digest
    assert len({gate.digest, Gate("other", "name", 0.5).digest, Gate("digest", "name", 0.25).digest}) == 3


@pytest.mark.parametrize(
    "score",
    [(3, 0, 0.5), (0, 3, 0.5), (-1, 0, 0.5), (0, 0, 1.5), (0, 0, -0.1), (0, 0, float("nan")), (0, 0, 1), (0.0, 0, 0.5)],
)  # fmt: skip
def test_what_is_no_score_among_three_classes_is_refused(score: tuple[object, ...]) -> None:
    Score(2, 0, 1.0).check(3)
    with pytest.raises(ValueError, match="a score with"):
        Score(*score).check(3)  # type: ignore[arg-type]
