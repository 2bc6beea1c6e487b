"""Publish the shards on the Hugging Face Hub, with a contact sheet and the results of the last report."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipeline import ledger, progress
from pipeline.artifacts import manifest, shard_pictures
from pipeline.artifacts.manifest import Manifest, Shard
from pipeline.commands import results
from pipeline.errors import ArtifactError, ParameterError
from pipeline.generation import checks
from pipeline.generation.pool import Receiver
from pipeline.hub import publication
from pipeline.hub import push as hub_push
from pipeline.hub.options import SHEET_IMAGES, PushOptions, ResultTables, Surroundings
from pipeline.hub.push import Pushed
from pipeline.params import Params
from pipeline.reporting import contact_sheet
from pipeline.workspace import Workspace


@ledger.accounted("push")
def push(workspace: Workspace, params: Params, options: PushOptions) -> Pushed:
    """Publish the manifest's shards; nothing local is changed or deleted.

    Raises ArtifactError if a shard is not what the manifest says, HubError if the Hub refuses.
    """
    known = manifest.load(workspace.manifest)
    chosen = _chosen(known, options)
    with progress.bar("checking", len(chosen), "shards") as advance:
        receiver = Receiver(known, checks.recipe_of(known))
        for shard in chosen:
            known.check(shard)
            for _ in receiver.images(shard):
                pass  # reading a shard to its end checks it
            advance()
    beside = Surroundings(partial(_draw_sheet, known), _result_tables(workspace))
    published = publication.chosen(known, options.refused)
    if left := known.images - published.images:
        progress.say(f"{left} images that the gate refused stay here; --with-refused publishes them, too")
    return hub_push.push(options, published, beside, params.generate.shard_megabytes)


def _chosen(known: Manifest, options: PushOptions) -> Sequence[Shard]:
    if not known.rows:
        raise ArtifactError("no synthetic image to publish", known.place, "no client lacks anything")
    if options.clients and options.anonymous:
        raise ParameterError("--client and --anonymous exclude each other", "gen-fedsd push", "drop one of them")
    if options.refused and options.anonymous:
        raise ParameterError("--with-refused and --anonymous exclude each other", "gen-fedsd push", "drop one of them")
    if options.refused and known.gate is None:
        fix = "drop --with-refused, or set generate.gate and run: dvc repro generate"
        raise ParameterError("no gate refused any of these images", known.place, fix)
    return [known.shard(client) for client in options.clients] if options.clients else known.shards


def _draw_sheet(known: Manifest, files: Sequence[Path], out: Path) -> None:
    """Draw the first images of each class in these files."""
    fix = "run again when nothing writes shards"
    found = contact_sheet.by_class(
        shard_pictures.pictures(files, known.class_names, known.encoding, fix, SHEET_IMAGES), known.class_names
    )
    sheet = contact_sheet.draw({name: [images] for name, images in found.items() if images}, ["synthetic images"])
    sheet.save(out, "PNG")


def _result_tables(workspace: Workspace) -> ResultTables | None:
    """Return the results of the last report; None, which is reported, if there is none that can be read."""
    try:
        found = results.results(workspace)
    except ArtifactError as error:
        progress.say(f"the card will show no results of training: {error.what}: {error.where}")
        return None
    tables = {table.title: (table.head, *table.rows) for table in found.tables}
    return ResultTables(found.manifest, tables, found.remarks)
