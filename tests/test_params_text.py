"""Other values in the text of a params.yaml; every other line stays."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params_text
from pipeline.errors import ParameterError

TEXT = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = ("seed", "data.path", "data.class_names", "evaluate.judge.labels", "train.options.moon", "train.rounds")


def at(document: Any, name: str) -> Any:
    for key in filter(None, name.split(".")):
        document = document[key]
    return document


@given(
    st.sampled_from(NAMES), SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(), SCALARS, max_size=3)
)
def test_any_value_is_read_back_and_nothing_else_changes(name: str, value: Any) -> None:
    changed = params_text.changed(TEXT, {name: value})
    found, before = yaml.safe_load(changed), yaml.safe_load(TEXT)
    assert at(found, name) == value
    *above, last = name.split(".")
    for document in (found, before):
        del at(document, ".".join(above))[last]
    assert found == before


def test_comments_stay_beside_a_value_or_move_below_it() -> None:
    text = "data:\n  path: a                      # where it is\n                               # or not\n"
    assert params_text.changed(text, {"data.path": "bb"}) == text.replace("a  ", "bb ", 1)
    long = "x" * 100
    assert params_text.changed(text, {"data.path": long}).splitlines()[1:3] == [
        f"  path: {long}",
        " " * 31 + "# where it is",
    ]


def test_small_numbers_are_numbers_for_every_yaml_reader() -> None:
    assert params_text.written(1e-5) == "0.00001"


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'train.round': params.yaml: add a line for it"):
        params_text.changed(TEXT, {"train.round": 3})
