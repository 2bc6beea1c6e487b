"""Publish: compare what is here with what is on the Hub, send what differs, and make one commit of it."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from pipeline import atomic, paths, progress
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import Manifest, Shard
from pipeline.errors import ArtifactError, HubError, ParameterError
from pipeline.hub import anonymous, api, card, publication
from pipeline.hub.api import DoubtError, Hub, RaceError, Remote
from pipeline.hub.publication import Changes, Item
from pipeline.reporting import contact_sheet

_TOGETHER, _TOGETHER_BYTES = 50, 100_000_000  # files sent in one call, at most so many and about so much
_PER_CLASS = 8  # images of each class on the contact sheet


@dataclass(frozen=True)
class Options:
    """How to publish."""

    repo_id: str
    clients: tuple[int, ...] = ()
    """Only these; none: all."""
    public: bool = False
    anonymous: bool = False
    tag: str | None = None
    licence: str | None = None
    """By the Hub's short name; None: what is published, or ``unknown``."""
    dry_run: bool = False
    megabytes: int = 500
    """About the size of the largest merged file."""


def push(options: Options) -> str:
    """Publish the manifest's shards and say what was done; nothing local is changed or deleted.

    Raises ArtifactError if a shard is not what the manifest says, HubError if the Hub does not let us.
    """
    known = manifest.load()
    chosen = _chosen(known, options)
    with progress.bar("checking", len(chosen), "shards") as advance:
        for shard in chosen:
            shard.check(known.recipe)
            advance()
    hub = Hub(options.repo_id)
    hub.log_in()
    waits, raced = iter(api.WAITS), False
    with _workspace(options, known) as prepare:
        while True:
            remote = hub.look()
            if remote is None and not (options.dry_run or options.clients):
                remote = _created(hub, options)
            _check(options, hub, remote)
            files, message = prepare(hub, remote)
            changes = publication.compare(files, remote.files if remote else {}, options.clients or None)
            _check_tag(hub.repo_id, remote, changes, options.tag)
            if remote is None or options.dry_run:
                return _planned(hub.repo_id, remote, changes, options)
            try:
                return _publish(hub, remote, changes, message, options)
            except RaceError:
                if raced:
                    fix = "somebody else is committing there; run again"
                    raise HubError("the repository changed twice during the push", hub.repo_id, fix) from None
                raced = True
                progress.say("the repository changed meanwhile; planning again")
            except DoubtError as error:
                wait = next(waits, None)
                if wait is None:
                    fix = "run again: what was sent is kept, and a commit that happened is found"
                    raise HubError(f"the commit may not have happened: {error}", hub.repo_id, fix) from None
                progress.say(f"{error}; looking whether the commit happened in {wait:g} s")
                time.sleep(wait)


def _chosen(known: Manifest, options: Options) -> Sequence[Shard]:
    if not known.rows:
        raise ArtifactError("no synthetic image to publish", paths.MANIFEST, "no client lacks anything")
    if options.clients and options.anonymous:
        raise ParameterError("--client and --anonymous exclude each other", "gen-fedsd push", "drop one of them")
    return [known.shard(client) for client in options.clients] if options.clients else known.shards


def _check(options: Options, hub: Hub, remote: Remote | None) -> None:
    """Raise HubError if the repository, as it is, must not take what is asked for."""
    if remote is None or publication.MANIFEST not in remote.files:
        if options.clients:
            raise HubError("nothing is published there yet", hub.repo_id, "push all clients first, without --client")
        if remote is None:
            return
    if not remote.private and not options.public:
        raise HubError("this repository is public", hub.repo_id, "give --public if everybody may see the images")
    if options.anonymous and any(map(publication.tells_of_clients, hub.titles())):
        raise HubError("its history keeps client-wise files", hub.repo_id, "push --anonymous to a new repository")
    if publication.MANIFEST in remote.files:
        if (_published(hub, remote) is None) != options.anonymous:
            what = "it was published " + ("client by client" if options.anonymous else "with --anonymous")
            raise HubError(what, hub.repo_id, "push to a new repository, for this one's history keeps both")
        return
    theirs = [path for path in remote.files if path in publication.BESIDE or publication.is_ours(path)]
    if theirs:
        what = f"the push would replace files that none made ({theirs[0]})"
        raise HubError(what, hub.repo_id, "push to a new repository, or delete them there first")


def _created(hub: Hub, options: Options) -> Remote:
    """Create the repository and return it as it is then, which may be somebody else's who was faster."""
    hub.create(private=not options.public)
    remote = hub.look()
    if remote is None:
        raise HubError("the new repository cannot be seen", hub.repo_id, "run again; does the token have all rights?")
    return remote


@contextmanager
def _workspace(options: Options, known: Manifest) -> Iterator["_Workspace"]:
    """Write what exists only for a publication into a folder that is deleted at the end."""
    with TemporaryDirectory(prefix="gen-fedsd-push-") as folder:
        yield _Workspace(options, known, Path(folder))


class _Workspace:
    """Says what should be on the Hub."""

    def __init__(self, options: Options, known: Manifest, folder: Path) -> None:
        self._options, self._known, self._folder = options, known, folder
        self._merged: dict[int, list[manifest.File]] | None = None

    def __call__(self, hub: Hub, remote: Remote | None) -> tuple[dict[str, Item], str]:
        """Return the files by their place on the Hub, and what the commit is called."""
        licence = self._options.licence or _licence(hub, remote) or "unknown"
        if self._options.anonymous:
            return self._anonymous(hub, licence)
        known, clients = self._known, self._options.clients
        if clients:
            assert remote is not None
            known = self._updated(published(hub, remote), hub.repo_id)
            files = publication.of_shards(known.shard(client) for client in clients)
            message = publication.title_of_update(clients)
        else:
            files = publication.of_shards(known.shards)
            self._sheet(_sources(known))
            message = publication.title(known.rows, len(known.shards))
        path = self._folder / publication.MANIFEST
        known.save(path)
        text = card.of_clients(hub.repo_id, known, licence, card.metrics_of(atomic.sha256(path)))
        return files | self._beside(text), message

    def _anonymous(self, hub: Hub, licence: str) -> tuple[dict[str, Item], str]:
        if self._merged is None:
            if self._known.sharing == "own" and self._known.recipe_text["seed"] < anonymous.GUESSABLE:
                progress.say(
                    "warning: whoever guesses params.yaml's seed, which is small, can tell from prompts or by drawing "
                    "images again which belong to one client; a secret random seed of 128 bits prevents that"
                )
            self._merged = anonymous.merge(self._known, self._folder, self._options.megabytes)
        described = anonymous.described(self._known, self._merged)
        atomic.write_text(self._folder / publication.MANIFEST, json.dumps(described, indent=1) + "\n")
        metrics = card.metrics_of(atomic.sha256(paths.MANIFEST))
        text = card.anonymous(hub.repo_id, described, licence, metrics)
        written = [file for files in self._merged.values() for file in files]
        files = {f"data/{f.name}": Item(self._folder / f.name, f.bytes, f.sha256) for f in written}
        self._sheet([self._folder / file.name for file in written])
        return files | self._beside(text), f"Publish {sum(file.rows for file in written)} images"

    def _updated(self, there: Manifest, repo_id: str) -> Manifest:
        """Return the published manifest with the chosen clients' lines in place."""
        mine = self._known
        if replace(there, shards=()) != replace(mine, shards=()):
            fix = "push all clients, without --client"
            raise HubError(f"it was published with another recipe or other classes ({there.recipe})", repo_id, fix)
        if len(there.shards) != len(mine.shards):
            what = f"it was published with {len(there.shards)} clients, here are {len(mine.shards)}"
            raise HubError(what, repo_id, "push all clients, without --client")
        for client in self._options.clients:
            there = there.with_shard(mine.shard(client))
        return there

    def _sheet(self, sources: Sequence[Path]) -> None:
        names = self._known.class_names
        found = contact_sheet.by_class(sources, names, _PER_CLASS)
        sheet = contact_sheet.draw({name: [images] for name, images in found.items() if images}, ["synthetic images"])
        sheet.save(self._folder / publication.SHEET, "PNG")

    def _beside(self, text: str) -> dict[str, Item]:
        atomic.write_text(self._folder / publication.CARD, text)
        files = {name: self._folder / name for name in publication.BESIDE}
        return {name: Item.of(path) for name, path in files.items() if path.is_file()}


def published(hub: Hub, remote: Remote) -> Manifest:
    """Return the manifest of a publication; raise HubError if there is none, or it is anonymous."""
    if publication.MANIFEST not in remote.files:
        fix = "is it a data set that gen-fedsd push made?"
        raise HubError("no manifest.json in it", hub.repo_id, fix)
    found = _published(hub, remote)
    if found is None:
        fix = "load it with datasets.load_dataset; to update it, push all with --anonymous"
        raise HubError("it was published with --anonymous: its images have no identity", hub.repo_id, fix)
    return found


def _published(hub: Hub, remote: Remote) -> Manifest | None:
    """Return the manifest there, None if it is anonymous; raise HubError if it is not what push writes."""
    path = hub.download(publication.MANIFEST, remote.commit)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and document.get("anonymous") is True:
            return None
        return manifest.load(path)
    except (ArtifactError, ValueError) as error:
        told = error.what if isinstance(error, ArtifactError) else error
        fix = "its owner may delete the file there and publish again"
        raise HubError(f"its manifest.json is damaged or not ours ({told})", hub.repo_id, fix) from None


def _licence(hub: Hub, remote: Remote | None) -> str | None:
    """Return the licence of what is published, if any."""
    if remote is None or publication.CARD not in remote.files:
        return None
    return card.licence(hub.download(publication.CARD, remote.commit))


def _sources(known: Manifest) -> list[Path]:
    """Return the files of the first clients that together have enough images of each class for a contact sheet."""
    left = [_PER_CLASS] * len(known.class_names)
    chosen: list[Path] = []
    for shard in known.shards:
        if any(count and need > 0 for count, need in zip(shard.counts, left, strict=True)):
            chosen += shard.paths
            left = [need - count for need, count in zip(left, shard.counts, strict=True)]
    return chosen


def _planned(repo_id: str, remote: Remote | None, changes: Changes, options: Options) -> str:
    visibility = "public" if options.public else "private"
    where = repo_id if remote else f"{repo_id} (a new {visibility} repository)"
    lines = [f"{where}: {changes.describe()}"]
    lines += [f"  upload {path} ({item.bytes:,} bytes)" for path, item in sorted(changes.upload.items())]
    lines += [f"  delete {path}" for path in changes.delete]
    return "\n".join(lines)


def _publish(hub: Hub, remote: Remote, changes: Changes, message: str, options: Options) -> str:
    """Carry out the changes in one commit and set the tag; say what was done."""
    commit = remote.commit
    if changes:
        additions = [_addition(path, item) for path, item in sorted(changes.upload.items())]
        _send(hub, additions, changes)
        deletions = [CommitOperationDelete(path) for path in changes.delete]
        commit = hub.commit([*additions, *deletions], message, remote.commit)
    if options.tag:
        hub.tag(options.tag, commit)
    tagged = f", tagged {options.tag}" if options.tag else ""
    seen = "private" if remote.private else "public"
    if not changes:
        return f"{hub.repo_id} ({seen}): nothing to do, all {changes.unchanged} files are there{tagged}"
    return f"{hub.repo_id} ({seen}): {changes.describe()}; commit {commit[:12]}{tagged}"


def _addition(path: str, item: Item) -> CommitOperationAdd:
    made = CommitOperationAdd(path, item.path)
    if made.upload_info.sha256.hex() != item.sha256:
        raise ArtifactError("the file changed during the push", item.path, "run again when nothing writes shards")
    return made


def _check_tag(repo_id: str, remote: Remote | None, changes: Changes, tag: str | None) -> None:
    """Raise HubError before anything is sent if the tag is taken by another commit."""
    taken = remote.tags.get(tag) if remote and tag else None
    if remote and taken is not None and (changes or taken != remote.commit):
        raise HubError(f"the tag {tag} is taken by commit {taken[:12]}", repo_id, "choose another --tag")


def _send(hub: Hub, additions: Sequence[CommitOperationAdd], changes: Changes) -> None:
    """Bring the bytes there, some files at a time; a push that is interrupted sends none of them twice."""
    total = sum(item.bytes for item in changes.upload.values())
    with progress.bar("uploading", total, "bytes") as advance:
        part, size = list[CommitOperationAdd](), 0
        for addition in additions:
            part.append(addition)
            size += changes.upload[addition.path_in_repo].bytes
            if len(part) == _TOGETHER or size >= _TOGETHER_BYTES or addition is additions[-1]:
                hub.send(part)
                advance(size)
                part, size = [], 0
