"""What a push wants on the Hub: the clients' shards as they are, or all images merged by class, and what is beside."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from pipeline import atomic, progress
from pipeline.artifacts.manifest import File, Manifest
from pipeline.errors import HubError, ParameterError
from pipeline.hub import anonymous, card, publication, published
from pipeline.hub.api import Hub, Remote
from pipeline.hub.options import SHEET_IMAGES, PushOptions, ResultTables, Surroundings
from pipeline.hub.publication import Item, Wanted


class Contents(Protocol):
    """Makes the files of a publication, for the repository as it is."""

    def wanted(self, hub: Hub, remote: Remote | None) -> Wanted:
        """Return what should be on the Hub."""


@contextmanager
def prepare(options: PushOptions, known: Manifest, beside: Surroundings, megabytes: int) -> Iterator[Contents]:
    """Yield the contents; the files that exist only for a publication are in a folder that is deleted at the end."""
    with TemporaryDirectory(prefix="gen-fedsd-push-") as folder:
        if options.anonymous:
            yield Merged(options, known, beside, Path(folder), megabytes)
        else:
            yield ByClient(options, known, beside, Path(folder))


class ByClient:
    """Every client's shard, or those of the chosen clients."""

    def __init__(self, options: PushOptions, known: Manifest, beside: Surroundings, folder: Path) -> None:
        self._options, self._known, self._beside, self._folder = options, known, beside, folder

    def wanted(self, hub: Hub, remote: Remote | None) -> Wanted:
        known, clients = self._known, self._options.clients
        if clients:
            assert remote is not None
            known = self._updated(published.read_manifest(hub, remote), hub.repo_id)
            files = publication.of_shards(self._known, map(self._known.shard, clients))
            title = publication.title_of_update(clients)
        else:
            files = publication.of_shards(known, known.shards)
            self._beside.draw_sheet(_first_files(known), self._folder / publication.SHEET)
            title = publication.title(known.rows, len(known.shards))
        written = replace(known, place=self._folder / publication.MANIFEST)
        written.save()
        # The report is about the manifest here, which may name files of refused images that are not published.
        about = self._known.place if known == self._known else written.place
        results = _results_about(about, self._beside.results)
        with_params = self._beside.params is not None
        text = card.by_client(hub.repo_id, known, _licence(self._options, hub, remote), results, with_params)
        if self._beside.params is not None:
            atomic.write_text(self._folder / publication.PARAMS, self._beside.params)
        return Wanted(files | _files_beside(self._folder, text), title)

    def _updated(self, there: Manifest, repo_id: str) -> Manifest:
        """Return the published manifest with the chosen clients' entries replaced."""
        mine, fix = self._known, "push all clients, without --client"
        if replace(there, shards=()) != replace(mine, shards=()):
            what = f"it was published with another recipe, another gate or other classes ({there.recipe})"
            raise HubError(what, repo_id, fix)
        if there.marked != mine.marked:
            raise HubError("its shards have another format: only one of both marks images as synthetic", repo_id, fix)
        if len(there.shards) != len(mine.shards):
            what = f"it was published with {len(there.shards)} clients, and there are {len(mine.shards)} here"
            raise HubError(what, repo_id, fix)
        for client in self._options.clients:
            there = there.with_shard(mine.shard(client))
        return there


class Merged:
    """All clients' images by class, without what reveals a client."""

    def __init__(
        self, options: PushOptions, known: Manifest, beside: Surroundings, folder: Path, megabytes: int
    ) -> None:
        self._options, self._known, self._beside, self._folder = options, known, beside, folder
        self._megabytes = megabytes
        self._merged: dict[int, list[File]] | None = None

    def wanted(self, hub: Hub, remote: Remote | None) -> Wanted:
        if self._merged is None:
            self._warn_of_a_small_seed()
            self._merged = anonymous.merge(self._known, self._folder, self._megabytes)
        described = anonymous.describe(self._known, self._merged)
        atomic.write_text(self._folder / publication.MANIFEST, json.dumps(described, indent=1) + "\n")
        results = _results_about(self._known.place, self._beside.results)
        text = card.anonymous(hub.repo_id, described, _licence(self._options, hub, remote), results)
        written = [file for files in self._merged.values() for file in files]
        files = {f"data/{f.name}": Item(self._folder / f.name, f.bytes, f.sha256) for f in written}
        self._beside.draw_sheet([self._folder / file.name for file in written], self._folder / publication.SHEET)
        title = f"Publish {sum(file.rows for file in written)} images"
        return Wanted(files | _files_beside(self._folder, text), title)

    def _warn_of_a_small_seed(self) -> None:
        if self._known.sharing == "own" and self._known.recipe_text["seed"] < anonymous.GUESSABLE:
            progress.say(
                "warning: the seed in params.yaml is small: whoever guesses it can find out, from prompts or by "
                "rendering images again, which images belong to one client: use a secret random seed of 128 bits"
            )


def _licence(options: PushOptions, hub: Hub, remote: Remote | None) -> str:
    if options.licence and not card.is_licence(options.licence):
        fix = "give the Hub's short name of it, as mit, apache-2.0, cc-by-4.0 or other"
        raise ParameterError("not the name of a licence", f"--license = {options.licence!r}", fix)
    return options.licence or published.licence(hub, remote) or "unknown"


def _results_about(manifest: Path, results: ResultTables | None) -> ResultTables | None:
    """Return the results if they are about the images of this manifest; None, which is reported, if they are not."""
    if results is None or results.manifest == atomic.sha256(manifest):
        return results
    progress.say("the card shows no results of training: the last report is about other images")
    return None


def _files_beside(folder: Path, text: str) -> dict[str, Item]:
    """Write the card and return the files beside those of the images by their place on the Hub."""
    atomic.write_text(folder / publication.CARD, text)
    files = {name: folder / name for name in publication.BESIDE}
    return {name: Item.of(path) for name, path in files.items() if path.is_file()}


def _first_files(known: Manifest) -> Sequence[Path]:
    """Return the files of the first clients that together have enough images of each class for a contact sheet."""
    left = [SHEET_IMAGES] * len(known.pair_names)
    chosen: list[Path] = []
    for shard in known.shards:
        if any(count and need > 0 for count, need in zip(shard.counts, left, strict=True)):
            chosen += known.paths(shard)
            left = [need - count for need, count in zip(left, shard.counts, strict=True)]
    return chosen
