"""Text of strangers, on terminals and in spreadsheets."""

import csv
import io
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import __main__, printable, progress
from pipeline.cli import text
from pipeline.errors import PipelineError

ATTACKS = (
    "\x1b[2J\x1b[31mred",  # clears the screen
    "\x9b31m",  # the same in one character
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "fine\nerror: nothing\r\n",
    "over\rwritten",
    "a\u2028b\u2029c\x85d",
    "\u202egnp.exe",
    "\u2066a\u2069\u200f",
    "\udce9",  # a byte of a file name that is not UTF-8
    "tab\tnull\x00delete\x7f",
    "\U000e0041hidden",
)
TEXTS = st.text() | st.sampled_from(ATTACKS) | st.lists(st.sampled_from(ATTACKS)).map("".join)
FORMULA_BEGINS = "=+-@\uff1d\uff0b\uff0d\uff20"
FORMULAS = st.text(alphabet="=+-@' \t;,\r\n\"a\u3000\ufeff\x00\uff1d", max_size=8)


def is_harmless(shown: str) -> bool:
    """Every character is seen, or joins letters; so there is one line."""
    kinds = {unicodedata.category(one) for one in shown if one not in "\u200c\u200d"}
    return not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"} and len(shown.splitlines()) <= 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_drives_a_terminal_is_shown_as_its_escape_sequence(attack: str) -> None:
    for shown in (printable.escaped(attack), printable.line(attack), printable.short(attack, 5)):
        assert is_harmless(shown)
    assert printable.escaped(attack).isascii()


def test_escapes_are_those_of_python() -> None:
    assert printable.escaped("\x1b[31m\x9b\u202e\udce9\n") == r"\x1b[31m\x9b\u202e\udce9\n"


@pytest.mark.parametrize(
    "name", ["grün", "שלום", "مرحبا", "衣服", "नमस्ते", "می\u200cخواهم", "👩\u200d🔬", "t-shirt 50 %"]
)
def test_every_script_stays_readable(name: str) -> None:
    assert printable.escaped(name) == printable.line(name) == name


@given(TEXTS)
@example("a" * 10_000)
def test_one_line_of_limited_length(given_text: str) -> None:
    """The longest escape sequence has ten characters."""
    shown = printable.line(given_text, 100)
    assert is_harmless(shown)
    assert len(shown) <= 10 * 140


def test_of_a_long_value_both_ends_are_shown_and_what_is_left_out_is_counted() -> None:
    assert printable.line("a" * 500 + "b" * 500, 100) == "a" * 75 + " [... 900 more characters ...] " + "b" * 25
    assert printable.line("a" * 100, 100) == "a" * 100
    assert printable.short("a" * 11, 10) == "a" * 9 + "…"
    assert printable.short("a" * 10, 10) == "a" * 10


@given(TEXTS, TEXTS, TEXTS)
def test_an_error_is_one_line_whatever_it_is_about(what: str, where: str, fix: str) -> None:
    error = PipelineError(what, where, fix)
    assert is_harmless(str(error))
    assert (error.what, error.where, error.fix) == (what, where, fix)


def test_an_error_never_prints_a_whole_long_value() -> None:
    error = PipelineError("bad value", f"params.yaml, data.path = {'x' * 10**6!r}", "write less")
    assert len(str(error)) < 700
    assert str(error).startswith("bad value: params.yaml, data.path = 'xxx")
    assert str(error).endswith("x': write less")


def test_an_error_of_several_lines_is_one() -> None:
    assert (
        str(PipelineError("bad YAML", "a file", "found:\n    x\n  at line 3\n"))
        == "bad YAML: a file: found: x at line 3"
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_progress_is_one_line(attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    progress.say(f"{attack} is damaged")
    with progress.bar(attack, 1, "images") as advance:
        advance(1, attack)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 2
    assert all(map(is_harmless, printed.split("\n")))


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_a_table_has_a_line_for_each_row(rows: list[tuple[str, str]]) -> None:
    lines = text.table([("name", "value"), *rows]).split("\n")
    assert len(lines) == 1 + len(rows)
    assert all(map(is_harmless, lines))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_result_keeps_its_lines_and_nothing_else_that_drives_a_terminal(
    attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text.echo(f"one\n{attack}\nthree")
    lines = capsys.readouterr().out.split("\n")
    assert (lines[0], lines[-2:]) == ("one", ["three", ""])
    assert all(map(is_harmless, lines))


def test_a_mistake_on_the_command_line_is_shown_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gen-fedsd", "fly\x1b[31m\nfine"])
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: No such command")
    assert printed.count("\n") == 1
    assert is_harmless(printed.strip())


def test_letters_that_a_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    """In Latin-1 there is no Chinese; without this, print raises UnicodeEncodeError."""
    code = "from pipeline import __main__, cli\nfrom pipeline.cli import text\n"
    code += "__main__.app = lambda *_, **__: text.echo('衣 grün')\n__main__.main()"
    command = [sys.executable, "-X", "utf8=0", "-c", code]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env={"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True)
    assert done.stdout == b"\\u8863 gr\xfcn\n"


@given(st.text() | FORMULAS)
@example("=HYPERLINK(1)")
@example("'=1")
@example("''=1")
@example("a;=1")
@example("\t\t+1")
@example('\n"@')
def test_a_cell_of_a_csv_file_is_read_back_the_same_and_is_no_formula(name: str) -> None:
    """Whatever a spreadsheet takes for the separator: here the columns are cut at commas, semicolons and tabs."""
    cell = printable.csv_cell(name)
    assert printable.from_csv_cell(cell) == name
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([0, cell, 1])
    for separator in ",;\t":
        for line in csv.reader(io.StringIO(buffer.getvalue(), newline=""), delimiter=separator):
            for field in line:
                assert not field.lstrip(" \t\r\n\x00\ufeff\u3000").startswith(tuple(FORMULA_BEGINS))


@pytest.mark.parametrize("name", ["t-shirt", "a = b", "'quoted'", "x@y", "5 + 1", "", "-", "a,b"])
def test_ordinary_names_stay_as_they_are_in_a_csv_file(name: str) -> None:
    assert printable.csv_cell(name) == ("'-" if name == "-" else name)
