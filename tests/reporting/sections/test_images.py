import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.data import decoded
from pipeline.reporting import pictures
from pipeline.reporting.page import Sheets
from pipeline.reporting.sections import images
from pipeline.workspace import Workspace
from tests.reporting import crowd, world


def read(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))


def test_real_images_stand_beside_synthetic_ones_of_as_many_clients_as_possible(workspace: Workspace) -> None:
    """Images of 16 pixels are shown at 64. Label 0 has two images of client 1 (shades 40 and 50) and one of client 3
    (120): the second place goes to the other client. Label 1 has one of client 2 (80), label 2 one of client 1 (60) and
    one of client 2 (90). Real images are the first and the last that clients hold: rows 0 and 19 of label 0.
    """
    loaded = params.load(workspace.params)
    world.write(workspace, loaded, [], ("none",))
    split, shards = world.partition(loaded), manifest.load(workspace.manifest)
    real = decoded.open_data(workspace, loaded.data).train
    section = images.make(2, split, shards, real, None)
    (sheets,) = [part for part in section.parts if isinstance(part, Sheets)]
    assert [[strip.label for strip in sheet.strips] for sheet in sheets.sheets] == [["real", "synthetic"]] * 3
    assert {strip.side for sheet in sheets.sheets for strip in sheet.strips} == {64}
    shades = [np.asarray(read(sheet.strips[1].source))[8, 8::16, 0].tolist() for sheet in sheets.sheets]
    assert shades == [[40, 120], [80], [60, 90]]
    shown = np.asarray(read(sheets.sheets[0].strips[0].source))
    assert (shown[:, :16] == real.pixels[0]).all()
    assert (shown[:, 16:] == real.pixels[19]).all()


def test_the_worst_classes_come_first_and_those_left_out_are_counted() -> None:
    """Of 100 classes a quarter each is bad, doubtful, unknown and good: 30 are shown, 25 bad ones and 5 doubtful."""
    names, found = crowd.names(100), crowd.quality(crowd.names(100))
    order = images.worst_first(names, found)
    verdicts = {one.class_name: one.verdict for one in found.classes}
    assert [verdicts[name] for name in order] == ["bad"] * 25 + ["doubtful"] * 25 + ["unknown"] * 25 + ["good"] * 25
    assert images.worst_first(names, None) == list(names)
    (sheet,) = images.sheets({"real": {order[0]: crowd.pictures(2)}}, order[:1], found)
    assert (sheet.grade, sheet.remark, sheet.strips[0].count) == ("bad", "poor generation", 2)


@pytest.mark.parametrize(
    ("side", "stored", "kind"), [(28, 28, "png"), (48, 48, "png"), (64, 64, "webp"), (512, 96, "webp")]
)
def test_large_images_are_reduced_and_small_ones_keep_every_pixel(side: int, stored: int, kind: str) -> None:
    first, second = crowd.pictures(2, side)
    source, shown = pictures.row([first, second])
    assert shown == stored
    assert source.startswith(f"data:image/{kind};base64,")
    assert read(source).size == (2 * stored, stored)
    assert pictures.row([first, second])[0] == source
    if kind == "png":
        assert (np.asarray(read(source))[:, :side] == np.asarray(first)).all()
