"""Which label of a model stands for a class: by words, or as the parameters say."""

from collections.abc import Mapping

import pytest

from pipeline.errors import ParameterError
from pipeline.judges.class_labels import match

LABELS = ("Running Shoe", "sandal", "purse, handbag, pocketbook", "T-shirt", "jersey, tee-shirt")


def of(names: list[str], given: Mapping[str, str] | None = None, words: list[str] | None = None) -> list[int]:
    return match(names, words or names, LABELS, given or {}, "evaluate.judge")


def test_words_decide_and_not_case_or_what_is_between_them() -> None:
    assert of(["t_shirt", "SANDAL", "running-shoe", "Handbag"]) == [3, 1, 0, 2]


def test_what_prompts_call_a_class_counts_too_and_a_given_label_counts_alone() -> None:
    assert of(["sneaker"], words=["running shoe"]) == [0]
    assert of(["sandal"], {"sandal": "jersey"}) == [4]
    with pytest.raises(ParameterError, match="no label 'boot' for class 'sandal'"):
        of(["sandal"], {"sandal": "boot"})


def test_a_class_without_a_label_is_an_error_that_names_the_nearest_ones() -> None:
    with pytest.raises(ParameterError, match=r"no label 'sandals' for class 'sandals'.*nearest are 'sandal'"):
        of(["sandals"])
    with pytest.raises(ParameterError, match="the nearest are "):
        of(["xyz"])


def test_two_classes_with_one_label_and_labels_of_no_class_are_refused() -> None:
    with pytest.raises(ParameterError, match="'purse' and 'handbag' have one label"):
        of(["purse", "handbag"])
    with pytest.raises(ParameterError, match=r"no class 'sandl'.*the classes are sandal"):
        of(["sandal"], {"sandl": "sandal"})
    with pytest.raises(ParameterError, match="names no labels"):
        match(["sandal"], ["sandal"], [], {}, "evaluate.judge")
