from pipeline.reporting.charts import lines
from pipeline.reporting.charts.lines import Line, Point
from tests.reporting.charts.drawn import marks, read, texts, tips

NONE = Line("none", 0, [Point(1, 20, 10, 30), Point(2, 40, 40, 40)])
MINE = Line("mine", 1, [Point(2, 60)])


def test_a_line_its_band_and_a_lone_point() -> None:
    """The vertical axis goes from 0 to 60 over the 188 pixels between 196 and 8, rounds 1 and 2 lie at 36 and 352."""
    chart = lines.draw([NONE, MINE], "a title", across="round", up="percent", ticks=(0, 20, 40, 60))
    assert [one["d"] for one in marks(chart, "path", "s0")] == [
        "M36 164.7L352 70.7L352 70.7L36 102Z",
        "M36 133.3L352 70.7",
    ]
    assert [(one["cx"], one["cy"]) for one in marks(chart, "circle", "s1")] == [("352", "8")]
    assert marks(chart, "path", "s1") == []


def test_a_pointer_reads_all_lines_of_a_round_the_highest_first() -> None:
    chart = lines.draw([NONE, MINE], "a title", across="round", up="percent")
    assert tips(chart) == ["round 1\nnone: 20 (10 to 30)", "round 2\nmine: 60\nnone: 40 (40 to 40)"]


def test_the_strips_that_a_pointer_meets_cover_the_axis_without_a_gap() -> None:
    """Rounds 1, 2 and 5 are at 36, 115 and 352: strips meet in the middles, 75.5 and 233.5."""
    line = Line("none", 0, [Point(round_, 1) for round_ in (1, 2, 5)])
    chart = lines.draw([line], "a", across="round", up="percent")
    found = [(float(one["x"]), float(one["width"])) for one in marks(chart, "rect", "hit")]
    assert found == [(36, 39.5), (75.5, 158), (233.5, 118.5)]


def test_the_legend_has_the_last_values_and_a_screen_reader_hears_them() -> None:
    chart = lines.draw([NONE, MINE], "a title", across="round", up="percent")
    assert texts(chart, "li") == ["none40", "mine60"]
    assert read(chart).get("aria-label") == (
        "a title. percent, at the end: none 40; mine 60. Arrow keys read the values."
    )


def test_settings_of_a_sweep_are_named_on_the_axis_and_slanted_if_they_are_long() -> None:
    short = lines.draw([NONE], "a", across="alpha", up="points", names=["0.1", "1", "iid"])
    assert texts(short, kind="mid") == ["0.1", "1", "iid", "alpha"]
    long = lines.draw([NONE], "a", across="prompts", up="points", names=["x" * 30, "y" * 30, "z" * 30, "</svg>"])
    assert texts(long, kind="end")[-4:] == ["x" * 13 + "…", "y" * 13 + "…", "z" * 13 + "…", "</svg>"]
    assert tips(long)[0] == "y" * 30 + "\nnone: 20 (10 to 30)"


def test_a_difference_has_a_line_at_0_and_levels_are_drawn() -> None:
    chart = lines.draw([Line("a", 0, [Point(1, -5), Point(2, 5)])], "a", across="round", up="x", levels={"target": 3})
    assert len(marks(chart, "line", "zero")) == 1
    assert "target 3" in texts(chart)
    assert marks(lines.draw([NONE], "a", across="round", up="x"), "line", "zero") == []


def test_without_a_line_there_is_an_empty_chart() -> None:
    assert tips(lines.draw([], "a", across="round", up="percent")) == []
