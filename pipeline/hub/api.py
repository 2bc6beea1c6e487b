"""A dataset repository on the Hub, through huggingface_hub's client: calls are repeated while the Hub is busy."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, set_client_factory
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from pipeline import progress
from pipeline.errors import HubError
from pipeline.hub import failures
from pipeline.hub.failures import BusyError, HeadMovedError, MissingError, OutcomeUnknownError, TransportError

WAITS = (1.0, 2.0, 4.0)
"""Seconds before each repetition of a call that failed because the Hub was busy or the connection broke."""

TIMEOUT = 120.0
"""Seconds of silence after which a connection counts as broken; the Hub itself gives up on a commit after 60."""

_DATASET = "dataset"
T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """The state of a dataset repository at one commit."""

    commit: str
    private: bool
    files: dict[str, RepoFile]
    """By path."""
    tags: dict[str, str]
    """Commits by name."""


class Hub:
    """One dataset repository. Every method raises HubError for what a user can correct."""

    def __init__(self, repo_id: str) -> None:
        self.repo_id, self._api = repo_id, HfApi(library_name="gen-fedsd")
        _set_timeout()
        disable_progress_bars()  # the client's own: a dozen for each call
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings contain signed addresses

    def log_in(self) -> None:
        """Check the token from the environment or the login file, and add the owner to a name without one."""
        name = self._retry(self._api.whoami)["name"]
        if "/" not in self.repo_id:
            self.repo_id = f"{name}/{self.repo_id}"

    def snapshot(self, revision: str | None = None) -> Remote | None:
        """Return the repository at a revision (default: the head of main); None if it does not exist."""
        try:
            info = self._retry(lambda: self._api.dataset_info(self.repo_id, revision=revision))
        except MissingError:
            return None
        files = self._retry(
            lambda: {
                entry.path: entry
                for entry in self._api.list_repo_tree(
                    self.repo_id, repo_type=_DATASET, revision=info.sha, recursive=True
                )
                if isinstance(entry, RepoFile)
            }
        )
        refs = self._retry(lambda: self._api.list_repo_refs(self.repo_id, repo_type=_DATASET))
        return Remote(str(info.sha), bool(info.private), files, {tag.name: tag.target_commit for tag in refs.tags})

    def titles(self) -> list[str]:
        """Return the titles of all commits on main, the newest first."""
        commits = self._retry(lambda: self._api.list_repo_commits(self.repo_id, repo_type=_DATASET))
        return [commit.title for commit in commits]

    def create(self, private: bool) -> None:
        """Create the repository; one that somebody else created meanwhile is left as it is."""

        def create() -> None:
            try:
                self._api.create_repo(self.repo_id, repo_type=_DATASET, private=private, exist_ok=True)
            except KeyError:  # the client expects an address, which the answer to a second creator does not have
                raise BusyError("somebody is creating this repository now", self.repo_id, failures.LATER) from None

        self._retry(create)

    def download(self, path: str, commit: str, most: int, force: bool = False) -> Path:
        """Return a file's path in the Hub's local cache; fetch it if it is not there, or in any case with ``force``.

        Raises HubError as soon as more than ``most`` bytes have come, or are announced.
        """
        found = self._retry(
            lambda: self._api.hf_hub_download(
                self.repo_id,
                path,
                repo_type=_DATASET,
                revision=commit,
                force_download=force,
                tqdm_class=_limit(most, f"{path} is larger than the {most:,} bytes that it may have", self.repo_id),
            )
        )
        return Path(found)

    def preupload(self, additions: list[CommitOperationAdd]) -> None:
        """Send files' bytes to the Hub, where they are invisible until a commit names them; skip those it has."""
        self._retry(lambda: self._api.preupload_lfs_files(self.repo_id, additions, repo_type=_DATASET))

    def commit(
        self, operations: list[CommitOperationAdd | CommitOperationDelete], title: str, parent: str | None
    ) -> str:
        """Make one commit on ``parent`` and return its hash.

        Raises HeadMovedError if ``parent`` is no longer the head, OutcomeUnknownError if the connection broke.
        """
        try:
            made = self._api.create_commit(
                self.repo_id, operations, commit_message=title, repo_type=_DATASET, parent_commit=parent
            )
        except TransportError as error:
            status = failures.status(error)
            if status in failures.HEAD_MOVED:
                raise HeadMovedError from None
            if status is None or status in failures.BUSY:
                raise OutcomeUnknownError(failures.describe(error)) from None
            raise failures.explain(error, self.repo_id) from None
        except ValueError as error:
            if "Invalid metadata" not in str(error):  # the answer is not JSON
                raise OutcomeUnknownError("the Hub's answer cannot be read") from None
            raise HubError("the Hub does not accept the card", self.repo_id, f"check --license ({error})") from None
        return str(made.oid)

    def tag(self, name: str, commit: str) -> None:
        self._retry(
            lambda: self._api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=_DATASET, exist_ok=True)
        )

    def _retry(self, call: Callable[[], T]) -> T:
        """Call; repeat it after each of WAITS if the Hub is busy. For calls that may be made twice."""
        for wait in WAITS:
            try:
                with self._explaining():
                    return call()
            except BusyError as error:
                progress.say(f"{error.what}; trying again in {wait:g} s")
                time.sleep(wait)
        with self._explaining():
            return call()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn the client's exceptions into HubErrors."""
        try:
            yield
        except (TransportError, OSError, ValueError) as error:
            raise failures.explain(error, self.repo_id) from None
        except RuntimeError as error:  # from the Xet client, or around what stopped the upload of one file
            cause = error.__cause__ or error
            if "client has been closed" in str(cause):  # by another thread whose connection broke
                raise BusyError("the connection to the Hub failed", self.repo_id, failures.LATER) from None
            raise failures.explain(cause, self.repo_id) from None


def _limit(most: int, what: str, repo_id: str) -> type[Any]:
    """Return what the client takes for the class of its progress bar: it draws nothing, and stops a download."""

    class Limit:
        """Counts the bytes of one download."""

        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object) -> None:
            self._came = 0
            self.update(max(total or 0, initial))
            self._came = initial

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int = 1) -> None:
            self._came += count
            if self._came > most:
                raise HubError(what, repo_id, "the publication was changed; do not trust it")

        def close(self) -> None:
            pass

    return Limit


@cache
def _set_timeout() -> None:
    """Give huggingface_hub's HTTP client a timeout, without which it may wait for ever.

    Once in a process: every new factory closes the client that other threads are using.
    """
    kind, hooks = type(get_session()), get_session().event_hooks
    set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=TIMEOUT))
