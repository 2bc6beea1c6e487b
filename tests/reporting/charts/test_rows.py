import pytest

from pipeline.reporting.charts import rows, strips
from pipeline.reporting.charts.rows import Row
from pipeline.reporting.charts.strips import Strip
from tests.reporting.charts.drawn import marks, read, texts, tips


def test_a_bar_goes_from_0_to_the_value_and_its_whisker_over_the_interval() -> None:
    """On an axis from -20 to 20 the value -10 is drawn from 25 to 50 %, the interval -15 to 5 from 12.5 to 62.5 %."""
    chart = rows.draw([Row("a", -10, "-10", 3, -15, 5)], "t", unit="points", ticks=(-20, 0, 20))
    (bar,) = marks(chart, "rect", "s3")
    assert (bar["x"], bar["width"]) == ("25%", "25%")
    assert [(one["x1"], one["x2"]) for one in marks(chart, "line", "whisker")] == [
        ("12.5%", "62.5%"),
        ("12.5%", "12.5%"),
        ("62.5%", "62.5%"),
    ]
    assert texts(chart) == ["-20", "0", "20"]


def test_a_value_that_there_is_not_has_no_bar_but_its_text() -> None:
    chart = rows.draw([Row("none", None, "not reached")], "t", unit="MB")
    assert marks(chart, "rect", "bar") == []
    assert texts(chart, "span", "value") == ["not reached", ""]


def test_a_floor_is_a_tick() -> None:
    chart = rows.draw([Row("none", 0.5, "0.50", floor=0.25)], "t", unit="", ticks=(0, 1))
    assert [one["x1"] for one in marks(chart, "line", "floor")] == ["25%"]


def test_names_are_text_and_rows_are_read_by_keys() -> None:
    chart = rows.draw([Row("</div><script>", 1.0, "1", tip="1, of 3 seeds", strong=True)], "t", unit="points")
    assert tips(chart) == ["</div><script>: 1, of 3 seeds"]
    assert texts(chart, "span", "name") == ["</div><script>", ""]
    assert read(chart).get("tabindex") == "0"
    assert "strong" in str(chart)


def test_a_column_is_as_high_as_the_share_of_values_that_lie_there() -> None:
    """Of 50 columns over 0 to 100, 10 to 11.9 lies in the sixth and 50 in the 26th; three values are 16 pixels high."""
    strip = Strip("none", [10, 11, 11.9, 50], 2, "mean 20.7", {"mean": 20.725})
    chart = strips.draw([strip], "t", unit="clients", ticks=(0, 50, 100))
    found = [(one["x"], one["width"], float(one["height"])) for one in marks(chart, "rect", "s2")]
    assert found == [("10%", "2%", 16), ("50%", "2%", pytest.approx(5.33))]
    assert [one["x1"] for one in marks(chart, "line", "floor")] == ["20.73%"]
    assert tips(chart) == ["none: 4 values; mean 20.7"]


def test_an_axis_ends_where_no_accuracy_can_be_and_a_whisker_is_cut_there_but_not_its_text() -> None:
    """Two seeds of 0.1 and 0.9 have a mean of 50 and an interval of about -458 to 558 percent."""
    row = Row("a", 50.0, "50.0 (-458.2 to 558.2)", low=-458.2, high=558.2)
    ticks = rows.ticks_of([row], ends=(0, 100))
    assert ticks == (0, 25, 50, 75, 100)
    chart = rows.draw([row], "t", unit="percent", ticks=ticks)
    assert marks(chart, "line", "whisker")[0]["x1"] == "0%"
    assert marks(chart, "line", "whisker")[0]["x2"] == "100%"
    assert texts(chart, "span", "value")[0] == "50.0 (-458.2 to 558.2)"
