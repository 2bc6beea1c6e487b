import base64
import io

import numpy as np
from PIL import Image

from pipeline.reporting.charts import cells
from tests.reporting.charts.drawn import read, texts, tips

NAMES = ["cat", "</svg><script>"]


def test_a_cell_is_the_more_opaque_the_more_images_it_has() -> None:
    """Of at most 20: 0 is clear, 20 opaque, 10 in the middle of 40 and 255; a single image can be seen."""
    chart = cells.draw(np.array([[0, 20], [10, 1]]), NAMES, ["0", "1"], "t", 20)
    (image,) = read(chart).iter("image")
    data = base64.b64decode((image.get("href") or "").removeprefix("data:image/png;base64,"))
    assert np.asarray(Image.open(io.BytesIO(data)))[..., 3].tolist() == [[0, 255], [148, 51]]


def test_a_pointer_reads_the_largest_classes_of_a_client() -> None:
    chart = cells.draw(np.array([[3, 20], [0, 0]]), NAMES, ["ann", "bob"], "t", 20)
    assert tips(chart) == ["client ann: 23 images\n</svg><script>: 20\ncat: 3", "client bob: 0 images"]
    assert {"ann", "bob", "cat", "</svg><scr…", "3", "20", "0"} <= set(texts(chart))


def test_many_clients_and_classes_have_no_names_but_are_read_all_the_same() -> None:
    counts = np.full((100, 100), 2)
    chart = cells.draw(counts, [f"class {i}" for i in range(100)], [str(i) for i in range(100)], "t", 20)
    assert texts(chart) == ["100 classes, in order of label"]
    assert tips(chart)[99].endswith("class 7: 2\nand 92 more classes")
    assert len(str(chart)) < 60_000
