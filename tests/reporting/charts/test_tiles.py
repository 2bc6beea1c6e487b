from pipeline.reporting.charts import tiles
from pipeline.reporting.charts.tiles import Tile
from tests.reporting.charts.drawn import marks, texts, tips


def test_a_tile_is_blue_where_it_pays_and_orange_where_not_and_a_pointer_reads_it() -> None:
    """Strength 0.12 + 0.5 of the shade, which ends at 1; names of strangers are text."""
    chart = tiles.draw(
        [[Tile("0.5", 0.5, "half"), Tile("3.0", -4.0, "thrice")]],
        ["</svg>"],
        ["1 MB", "45 MB"],
        "t",
        unit="u",
        across="x",
    )
    assert [one["fill-opacity"] for one in marks(chart, "rect", "gain")] == ["0.37"]
    assert [one["fill-opacity"] for one in marks(chart, "rect", "loss")] == ["0.62"]
    assert tips(chart) == ["</svg>, 1 MB: half", "</svg>, 45 MB: thrice"]
    assert texts(chart) == ["</svg>", "0.5", "3.0", "1 MB", "45 MB", "x"]


def test_no_tile_is_no_error() -> None:
    assert tips(tiles.draw([], [], [], "t", unit="u", across="x")) == []
