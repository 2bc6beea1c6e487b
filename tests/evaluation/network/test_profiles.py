import csv
import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.errors import ParameterError
from pipeline.evaluation.network import profiles
from tests.conftest import ROOT

HEAD = "quantile,down_mbit_s,up_mbit_s,rtt_ms,loss\n"


@pytest.mark.parametrize("name", profiles.shipped())
def test_every_shipped_profile_is_whole_and_says_where_it_comes_from(name: str) -> None:
    found = profiles.load(name)
    columns = [column for column in (found.quantiles, found.down, found.up, found.rtt, found.loss) if column]
    assert {len(column) for column in columns} == {len(found.quantiles)}
    assert all(before <= after for column in columns for before, after in pairwise(column))
    assert found.source
    assert "docs/network.md" in found.source


def test_some_numbers_of_the_sources() -> None:
    """M-Lab's medians of the United States; WebPageTest's DSL; 0.75 and 0.25 MB/s of the field guide."""
    states, dsl, mobile = (profiles.load(name) for name in ("US", "DSL", "mobile"))
    assert states.quantiles == (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    assert (states.down[3], states.up[3], states.rtt[3]) == (121.076, 28.992, 15.0)
    assert (dsl.down, dsl.up, dsl.rtt, dsl.loss) == ((1.5,), (0.384,), (50.0,), None)
    assert (mobile.down, mobile.up) == ((0.75 * 8,), (0.25 * 8,))


def test_an_own_file(tmp_path: Path) -> None:
    """Columns in any order, remarks, empty lines, a byte-order mark; loss may be left out."""
    (tmp_path / "mine.csv").write_text(
        "\ufeff# Measured in June\nrtt_ms,quantile, up_mbit_s,down_mbit_s\n\n10, 0.2, 1, 4\n30,0.8,3,8\n",
        encoding="utf-8",
    )
    found = profiles.load("mine.csv", tmp_path)
    assert found == profiles.Profile(
        "mine.csv", (0.2, 0.8), (4.0, 8.0), (1.0, 3.0), (10.0, 30.0), None, "Measured in June"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no quantile: "),
        (HEAD, "holds no quantile: "),
        ("quantile,down_mbit_s,up_mbit_s\n0.5,1,1\n", "columns quantile, down_mbit_s, up_mbit_s: "),
        (HEAD.replace("loss", "lost") + "0.5,1,1,1,0\n", "columns quantile, down_mbit_s, up_mbit_s, rtt_ms, lost: "),
        (HEAD.replace("loss", "rtt_ms") + "0.5,1,1,1,0\n", "columns quantile, down_mbit_s, up_mbit_s, rtt_ms, rtt_ms"),
        (HEAD + "0.5,1,1,1\n", "4 cells where the first line has 5: FILE, line 2: "),
        (HEAD + "# remark\n0.5,1,fast,1,0\n", "up_mbit_s is 'fast': FILE, line 3: write a number from 0.000001 to 1e9"),
        (HEAD + "0.5,0,1,1,0\n", "down_mbit_s is '0': FILE, line 2: "),
        (HEAD + "0.5,1,1,-1,0\n", "rtt_ms is '-1': FILE, line 2: write a number from 0 to 1e6"),
        (HEAD + "0.5,1,1,1,1\n", "loss is '1': FILE, line 2: write a number from 0 to below 1"),
        (HEAD + "0.5,1,1,nan,0\n", "rtt_ms is 'nan': FILE, line 2: "),
        (HEAD + "1,1,1,1,0\n", "quantile is '1': FILE, line 2: write a number above 0 and below 1"),
        (HEAD + "0.5,1,1,1,0\n0.5,2,1,1,0\n", "quantile falls from 0.5 to 0.5: FILE, line 3: "),
        (HEAD + "0.5,2,1,1,0\n0.6,1,1,1,0\n", "down_mbit_s falls from 2.0 to 1.0: FILE, line 3: sort each column"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "bad.csv"
    place.write_text(text)
    with pytest.raises(ParameterError) as raised:
        profiles.load("bad.csv", tmp_path)
    assert str(raised.value).startswith(message.replace("FILE", str(place)))


def test_what_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("wrold", "no network profile 'wrold': params.yaml, network.profiles: name one of 3G, "),
        ("none.csv", "cannot be read (No such file or directory): "),
        ("bytes.csv", "is no UTF-8 text: "),
    ):
        with pytest.raises(ParameterError) as raised:
            profiles.load(name, tmp_path)
        assert str(raised.value).startswith(message)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The program that made M-Lab's profiles."""
    spec = importlib.util.spec_from_file_location("make_profiles", ROOT / "data/networks/make_profiles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_mixture_by_hand(program: ModuleType) -> None:
    """One country is spread evenly from 0 to 100, the other from 200 to 300, and has three times as many tests.

    A tenth of all tests are 40 % of the first country's; a quarter are all of them, so the next one is the second's
    lowest; half of all are a third of the second's, and three quarters two thirds.
    """
    percents = program.ALL
    lines = [
        {"tests": str(weight), **{f"x_p{percent}": str(start + percent) for percent in percents}}
        for start, weight in ((0, 1000), (200, 3000))
    ]
    p5, p10, p25, p50, p75, p90, p95 = program.mixture(lines, "x", "tests")
    assert (p5, p10) == pytest.approx((20, 40))
    assert 99 <= p25 <= 201
    assert (p50, p75) == pytest.approx((200 + 100 / 3, 200 + 200 / 3))
    assert (p90, p95) == pytest.approx((200 + 100 * 0.65 / 0.75, 200 + 100 * 0.7 / 0.75))


def test_the_shipped_files_have_one_form() -> None:
    for path in profiles.FOLDER.glob("*.csv"):
        comment, head, *lines = path.read_text(encoding="utf-8").splitlines()
        assert comment.startswith("# ")
        assert head in (HEAD.strip(), HEAD.strip().removesuffix(",loss"))
        assert {len(line) for line in csv.reader(lines)} == {head.count(",") + 1}
