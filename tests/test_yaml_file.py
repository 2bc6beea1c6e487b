"""YAML of strangers: what it means, or one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params, yaml_file
from pipeline.errors import ParameterError
from pipeline.generation import prompts
from tests.test_printable import is_harmless

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc=<-", max_size=3), inner, max_size=3),
    max_leaves=10,
)


def bomb(levels: int, width: int = 9) -> str:
    """Each level holds the one before it ``width`` times: a kilobyte stands for gigabytes."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels + 1)]
    return "\n".join(lines)


def merge_bomb(levels: int) -> str:
    """Each level merges the one before it nine times: PyYAML's time and memory grow ninefold with each."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, levels + 1)]
    return "\n".join(lines)


def ladder(steps: int) -> str:
    """Each step is forty brackets around the one before it: none is too deep by itself."""
    lines = ["a0: &a0 []", *(f"a{i}: &a{i} {'[' * 40}*a{i - 1}{']' * 40}" for i in range(1, steps + 1))]
    return "\n".join(lines)


REFUSED = {
    "aliases of aliases": (bomb(10), "too many or too long values, aliases counted"),
    "merged aliases": (merge_bomb(10), "too many or too long values, aliases counted"),
    "a long text many times": (f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 300)}]", "too many or too long values"),
    "many values": (f"a: [{'1,' * 250_000}]", "too many or too long values"),
    "itself": ("a: &a [*a]", "nested more than 50 deep"),
    "a long row of brackets": ("[" * 100_000, "nested more than 50 deep"),
    "braces": ("{a: " * 3_000, "nested more than 50 deep"),
    "dashes": ("- " * 10_000, "nested more than 50 deep"),
    "a ladder of aliases": (ladder(3), "nested more than 50 deep"),
    "a size": ("# " + "x" * 2**20, "too large for a YAML file"),
    "equal keys": ("a: 1\nb: 2\n'a': 3", "two keys 'a'"),
    "equal keys inside": ("- {a: 1, a: 2}", "two keys 'a'"),
    "no date": ("a: 2001-99-99", "a value does not fit its type"),
    "no number": ("a: !!int x", "a value does not fit its type"),
    "a number too long": ("9" * 5_000, "a value does not fit its type"),
    "no time": ("!!timestamp x", "a value does not fit its type"),
    "no boolean": ("!!bool x", "a value does not fit its type"),
    "an empty number": ("!!int ''", "a value does not fit its type"),
    "code": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a list as a key": ("? [a]\n: b", "unhashable key"),
    "two documents": ("a\n---\nb", "but found another document"),
    "an unknown alias": ("*b", "undefined alias"),
    "half": ("a: [", "did not find expected node content, line "),
    "a control character": ("a: \x00", "control characters are not allowed"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_one_short_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        yaml_file.load(path)
    assert reason in str(caught.value)
    assert str(path) in caught.value.where
    assert len(str(caught.value)) < 600
    assert is_harmless(str(caught.value))


@pytest.mark.parametrize("read", [params.load, prompts.load])
def test_parameters_and_prompt_sets_are_read_so(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(bomb(10))
    with pytest.raises(ParameterError, match="aliases counted"):
        read(path)


def test_place_is_named_by_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"^two keys 'seed': params\.yaml, line 3, column 1: keep one of them$"):
        yaml_file.parse("seed: 1\nother: 2\nseed: 3\n", "params.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \xe9"])
def test_other_encodings_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=r"own\.yaml: save it as UTF-8$"):
        yaml_file.load(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"cannot read the file \(No such file or directory\): .*: write one$"):
        yaml_file.load(tmp_path / "nowhere.yaml", "write one")
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(ParameterError, match=rf"^not a file: {path}: "):
            yaml_file.load(path)
    with pytest.raises(ParameterError, match=r"cannot read the file"):
        yaml_file.load(Path("a\x00b"))


def test_anchors_aliases_and_merged_keys_keep_their_meaning() -> None:
    text = "base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}\nsame: *base\nempty:\n"
    assert yaml_file.parse(text, "here") == {
        "base": {"a": 1, "b": 2},
        "mine": {"a": 1, "b": 3},
        "same": {"a": 1, "b": 2},
        "empty": None,
    }


def test_a_mark_of_the_byte_order_is_skipped_and_an_empty_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes("\ufeffa: grün\n".encode())
    assert yaml_file.load(path) == {"a": "grün"}
    path.write_text("# nothing\n")
    assert yaml_file.load(path) is None


@given(VALUES)
def test_what_was_written_is_read(value: object) -> None:
    assert yaml_file.parse(yaml.safe_dump(value), "here") == value


@given(st.text() | st.text("[]{}&*!|>%@-:,#?'\" \n\tab1<=~", max_size=30))
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    try:
        yaml_file.parse(text, "here")
    except ParameterError as error:
        assert is_harmless(str(error))  # noqa: PT017  # most texts are values
