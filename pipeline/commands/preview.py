"""Command ``preview``: one client's synthetic images as a contact sheet."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.artifacts import manifest, marks
from pipeline.errors import ArtifactError
from pipeline.reporting import contact_sheet
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Preview:
    """A contact sheet that was drawn."""

    path: Path
    images: int
    classes: int
    refused: int = 0
    """Images that the gate refused, in a column of their own."""


def preview(workspace: Workspace, client: int, per_class: int, out: Path | None = None) -> Preview:
    """Draw a client's shard (default place: the workspace's), and beside it what the gate refused of its first images.

    Raises ArtifactError if the shard is missing or has no image.
    """
    known, path = manifest.load(workspace.manifest), out or workspace.preview(client)
    shard = known.shard(client)
    known.check(shard)
    passed, refused = (
        contact_sheet.by_class(images, known.class_names)
        for images in (known.pictures(shard, per_class), known.refused_pictures(shard, per_class))
    )
    rows = {name: [images, refused[name]] for name, images in passed.items() if images}
    if not rows:
        what = "the shard has no images, since the client lacks nothing"
        raise ArtifactError(what, known.paths(shard)[0], "try another client")
    heads = [f"client {client}: {shard.rows} synthetic images"]
    if shard.refused is not None:
        heads.append(f"refused by {known.gate.name if known.gate else 'the gate'}")
    sheet = contact_sheet.draw({name: groups[: len(heads)] for name, groups in rows.items()}, heads)
    with atomic.replacing(path) as temporary:
        sheet.save(temporary, "PNG", pnginfo=marks.png())
    images, beside = (sum(len(groups[column]) for groups in rows.values()) for column in (0, 1))
    return Preview(path, images, len(rows), beside)
