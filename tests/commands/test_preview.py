from pathlib import Path

import pytest
from PIL import Image

from pipeline.artifacts import manifest
from pipeline.commands.preview import Preview, preview
from pipeline.errors import ArtifactError
from pipeline.generation.pool import Pool, StoredImage
from pipeline.workspace import Workspace
from tests.commands.stocked import current, lacking, written
from tests.synthetic import plain


@pytest.fixture
def drawn(workspace: Workspace) -> Workspace:
    """Client 0 lacks two boots and three coats, which are red and green; client 1 lacks nothing."""
    lacking(workspace, [2, 0, 3], [0, 0, 0])
    _, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        for spec in pool.missing(plan.recipe, plan.wanted()):
            colour = (0, 255, 0) if spec.class_name == "coat" else (255, 0, 0)
            pool.put(plan.recipe, [StoredImage(spec, plain(colour))])
        written(workspace, pool, plan, 1)
    return workspace


def test_a_clients_images_are_drawn_in_a_row_for_each_class(drawn: Workspace, tmp_path: Path) -> None:
    """At most two of a class; the first row is at 18 pixels, the second 66 below, images right of 110."""
    out = tmp_path / "sheet.png"
    assert preview(drawn, 0, 2, out) == Preview(out, images=4, classes=2)
    with Image.open(out) as sheet:
        assert sheet.size == (110 + 2 * 66, 18 + 2 * 66)
        assert sheet.getpixel((111, 20)) == (255, 0, 0)
        assert sheet.getpixel((111, 18 + 66 + 2)) == (0, 255, 0)
    place = Path("data/preview-client-00000.png")
    assert preview(drawn, 0, 16) == Preview(place, images=5, classes=2)
    assert place.is_file()


def test_what_cannot_be_drawn_is_one_line(drawn: Workspace) -> None:
    with pytest.raises(ArtifactError, match=r"the shard has no images, since the client lacks nothing: .*client-00001"):
        preview(drawn, 1, 16)
    with pytest.raises(ArtifactError, match="no client 2"):
        preview(drawn, 2, 16)
    known = manifest.load(drawn.manifest)
    known.paths(known.shards[0])[0].write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="shard differs from the manifest"):
        preview(drawn, 0, 16)
    assert not drawn.preview(1).exists()
