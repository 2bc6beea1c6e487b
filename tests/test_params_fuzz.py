"""Whatever stands in params.yaml, it is parameters or one short line that says what is wrong."""

import copy
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import params
from pipeline.errors import ParameterError
from pipeline.params import Params

SHIPPED = Path(__file__).parents[1] / "params.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
Key = tuple[str, ...]
LONGEST = 500
"""Characters of a message, which names a file, a key and a value."""


def keys(document: dict[str, Any], above: Key = ()) -> Iterator[Key]:
    """Yield every key and, before its own keys, every section."""
    for key, value in document.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from keys(value, (*above, key))


KEYS = list(keys(DOCUMENT))

BAD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**12,
    10**400,
    1 << 40_000,  # Python refuses to write its digits
    0.5,
    -0.5,
    1e308,
    math.nan,
    math.inf,
    "",
    " ",
    "x" * 100_000,
    "\x1b[31m\n\u202e\0",
    "../../../etc/passwd",
    "none; touch X; true",
    [],
    [None],
    [[]],
    [1] * 10_000,
    ["x" * 10_000],
    {},
    {"": ""},
    {"x" * 10_000: 1},
    {None: 1, 2: {3: 4}},
    {"low": 0, "high": 10**400, "step": 1},
]
"""Wrong types, negative, not a number, huge, empty, unknown."""


def replaced(key: Key, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    section = document
    for part in key[:-1]:
        section = section[part]
    section[key[-1]] = value
    return document


def one_line(text: str) -> bool:
    """Return whether a text has no line end, no control and no invisible mark."""
    return {"Cc", "Cf", "Cs", "Zl", "Zp"}.isdisjoint(map(unicodedata.category, text))


def outcome(document: Any) -> str:
    """Return what is wrong, or nothing; fail for anything but parameters or a short line."""
    try:
        assert isinstance(params.check(document, SHIPPED), Params)
    except ParameterError as error:
        said = str(error)
        assert len(said) < LONGEST + len(str(SHIPPED)), said
        assert one_line(said), said
        assert str(SHIPPED) in said
        return said
    return ""


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_every_key_takes_every_kind_of_bad_value_without_a_traceback(key: Key) -> None:
    said = [outcome(replaced(key, value)) for value in BAD]
    assert any(f"{SHIPPED}, {'.'.join(key)}" in line for line in said)


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_an_unknown_key_beside_every_key_is_refused(key: Key) -> None:
    """Hyper-parameters of an algorithm are checked by the algorithm (tests/federated/algorithms)."""
    said = outcome(replaced((*key[:-1], f"{key[-1]}x"), 1))
    assert said or (key[:2] == ("train", "options") and len(key) == 4)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=40)
    | st.dates()
    | st.binary(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=10) | st.integers() | st.none(), inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=2 * settings().max_examples)
@given(st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=3))
def test_any_values_anywhere_are_parameters_or_one_line(changes: dict[Key, Any]) -> None:
    document = DOCUMENT
    for key, value in sorted(changes.items(), key=lambda change: -len(change[0])):  # what is inside is changed first
        document = copy.deepcopy(document)
        section = document
        for part in key[:-1]:
            section = section[part]
        section[key[-1]] = value
    outcome(document)


@settings(max_examples=settings().max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEYS), values)
def test_a_written_file_is_parameters_or_one_line(tmp_path: Path, key: Key, value: Any) -> None:
    """Through YAML, which has values of its own: dates, bytes, sets."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(replaced(key, value)), encoding="utf-8")
    said = ""
    try:
        params.load(path)
    except ParameterError as error:
        said = str(error)
    assert one_line(said)
    assert len(said) < LONGEST + len(str(path))


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParameterError) as caught:
        params.load(path)
    assert one_line(str(caught.value))


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    """Nine levels of nine: a few hundred bytes that stand for 400 million values."""
    path = tmp_path / "params.yaml"
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    path.write_text("\n".join(rows))
    with pytest.raises(ParameterError, match="too many or too long values"):
        params.load(path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (("deficits", "images_per_class"), 10**12, "less than or equal to 1000000000"),
        (("partition", "clients"), 10**10, "less than or equal to 1000000000"),
        (("data", "image_size"), 10**6, "less than or equal to 16384"),
        (("seed",), 2**128, f"less than or equal to {2**128 - 1}"),
        (("train", "seeds"), [-(2**128)], f"greater than or equal to -{2**128 - 1}"),
        (("train", "fills"), ["x" * 101], "at most 100 characters"),
    ],
)
def test_a_value_of_absurd_size_is_named_with_its_bound(key: Key, value: Any, said: str) -> None:
    assert said in outcome(replaced(key, value))
