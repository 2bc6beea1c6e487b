"""Publish: compare what is here with what is on the Hub, send what differs, and make one commit of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from pipeline import ledger, progress
from pipeline.artifacts.manifest import Manifest
from pipeline.errors import ArtifactError, HubError
from pipeline.hub import api, contents, publication, published
from pipeline.hub.api import Hub, Remote
from pipeline.hub.contents import Contents
from pipeline.hub.failures import HeadMovedError, OutcomeUnknownError
from pipeline.hub.options import PushOptions, Surroundings
from pipeline.hub.publication import Changes, Item

_TOGETHER, _TOGETHER_BYTES = 50, 100_000_000  # files sent in one call: at most so many, and about so much


@dataclass(frozen=True)
class Pushed:
    """What a push did, or with a dry run would do."""

    repo_id: str
    private: bool
    """Of a repository that does not exist: what it would become."""
    exists: bool
    """False only in a dry run."""
    changes: Changes
    dry_run: bool
    commit: str | None = None
    """The commit that brought the changes; None if there are none."""
    tag: str | None = None


def push(options: PushOptions, known: Manifest, beside: Surroundings, megabytes: int) -> Pushed:
    """Publish the manifest's shards in one commit; nothing local is changed or deleted.

    ``megabytes`` is about the size of the largest merged file of an anonymous publication. Raises HubError if the Hub
    refuses, ArtifactError if a shard changes meanwhile.
    """
    hub = Hub(options.repo_id)
    hub.log_in()
    waits, moved = iter(api.WAITS), False
    with contents.prepare(options, known, beside, megabytes) as prepared:
        while True:
            try:
                return _push_once(hub, options, prepared)
            except HeadMovedError:
                if moved:
                    fix = "somebody else is committing there; run again"
                    raise HubError("the repository changed twice during the push", hub.repo_id, fix) from None
                moved = True
                progress.say("the repository changed meanwhile; comparing again")
            except OutcomeUnknownError as error:
                wait = next(waits, None)
                if wait is None:
                    fix = "run again: what was sent is kept, and the next push finds the commit if it was made"
                    raise HubError(f"the commit may not have been made: {error}", hub.repo_id, fix) from None
                progress.say(f"{error}; checking in {wait:g} s whether the commit was made")
                time.sleep(wait)


def _push_once(hub: Hub, options: PushOptions, prepared: Contents) -> Pushed:
    """Compare with the repository as it is now, and make one commit of the changes unless it is a dry run."""
    remote = hub.snapshot()
    if remote is None and not (options.dry_run or options.clients):
        remote = _create(hub, options)
    published.check_repository(hub, remote, options)
    wanted = prepared.wanted(hub, remote)
    changes = publication.compare(wanted.files, remote.files if remote else {}, options.clients or None)
    published.check_tag(hub.repo_id, remote, not changes, options.tag)
    if remote is None or options.dry_run:
        private = remote.private if remote else not options.public
        return Pushed(hub.repo_id, private, remote is not None, changes, dry_run=True)
    commit = _commit(hub, remote, changes, wanted.title) if changes else None
    if options.tag:
        hub.tag(options.tag, commit or remote.commit)
    return Pushed(hub.repo_id, remote.private, True, changes, False, commit, options.tag)


def _create(hub: Hub, options: PushOptions) -> Remote:
    """Create the repository and return its state, which is another one if somebody else created it meanwhile."""
    hub.create(private=not options.public)
    remote = hub.snapshot()
    if remote is None:
        raise HubError("the new repository cannot be seen", hub.repo_id, "run again; does the token have all rights?")
    return remote


def _commit(hub: Hub, remote: Remote, changes: Changes, title: str) -> str:
    """Send the files and make the commit; return its hash."""
    additions = [_addition(path, item) for path, item in sorted(changes.upload.items())]
    _preupload(hub, additions, changes)
    deletions = [CommitOperationDelete(path) for path in changes.delete]
    return hub.commit([*additions, *deletions], title, remote.commit)


def _addition(path: str, item: Item) -> CommitOperationAdd:
    made = CommitOperationAdd(path, item.path)
    if made.upload_info.sha256.hex() != item.sha256:
        raise ArtifactError("the file changed during the push", item.path, "run again when nothing writes shards")
    return made


def _preupload(hub: Hub, additions: Sequence[CommitOperationAdd], changes: Changes) -> None:
    """Send the files' bytes, some files at a time; after an interruption none of these is sent again."""
    with progress.bar("uploading", changes.bytes, "bytes") as advance:
        part, size = list[CommitOperationAdd](), 0
        for addition in additions:
            part.append(addition)
            size += changes.upload[addition.path_in_repo].bytes
            if len(part) == _TOGETHER or size >= _TOGETHER_BYTES or addition is additions[-1]:
                hub.preupload(part)
                advance(size)
                ledger.spend(bytes_pushed=size)
                part, size = [], 0
