"""Command ``preview``: one client's synthetic images as a contact sheet."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import atomic
from pipeline.artifacts import manifest
from pipeline.errors import ArtifactError
from pipeline.reporting import contact_sheet
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Preview:
    """A contact sheet that was drawn."""

    path: Path
    images: int
    classes: int


def preview(workspace: Workspace, client: int, per_class: int, out: Path | None = None) -> Preview:
    """Draw a client's shard (default place: the workspace's); raise ArtifactError if it is missing or has no image."""
    known, path = manifest.load(workspace.manifest), out or workspace.preview(client)
    shard = known.shard(client)
    known.check(shard)
    found = contact_sheet.by_class(known.pictures(shard, per_class), known.class_names)
    rows = {name: [images] for name, images in found.items() if images}
    if not rows:
        what = "the shard has no images, since the client lacks nothing"
        raise ArtifactError(what, known.paths(shard)[0], "try another client")
    sheet = contact_sheet.draw(rows, [f"client {client}: {shard.rows} synthetic images"])
    with atomic.replacing(path) as temporary:
        sheet.save(temporary, "PNG")
    return Preview(path, sum(len(group) for groups in rows.values() for group in groups), len(rows))
