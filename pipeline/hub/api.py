"""The Hub as seen from here: huggingface_hub's client, patient with a bad line, its errors as one line each."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, set_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import disable_progress_bars

from pipeline import progress
from pipeline.errors import HubError

TransportError: type[Exception] = HfHubHTTPError.__bases__[0]
"""What the HTTP library under huggingface_hub raises for a line that fails; its name differs between versions."""

WAITS = (1.0, 2.0, 4.0)
"""Seconds before each further try of a call that a busy server or a bad line failed."""

TIMEOUT = 120.0
"""Seconds without a word from the Hub after which the line counts as failed; its own limit for a commit is 60."""

_DATASET = "dataset"
_RACE = (409, 412)
_UNKNOWN_TOKEN, _FORBIDDEN = 401, 403
_BUSY = (408, 429, 500, 502, 503, 504)
_LATER = "try again later; what was sent is kept"
_LOG_IN = "log in with: hf auth login   or set HF_TOKEN; it needs the right to write"
T = TypeVar("T")


class RaceError(Exception):
    """Somebody else committed since the repository was looked at."""


class DoubtError(Exception):
    """The line failed during a commit, which may have happened."""


@dataclass(frozen=True)
class Remote:
    """A dataset repository as it is."""

    commit: str
    private: bool
    files: dict[str, RepoFile]
    """By path."""
    tags: dict[str, str]
    """Commits by name."""


class Hub:
    """One dataset repository. Every method raises HubError for what a user can mend."""

    def __init__(self, repo_id: str) -> None:
        self.repo_id, self._api = repo_id, HfApi(library_name="gen-fedsd")
        set_client_factory(_connecting())
        disable_progress_bars()  # of the client's own, a dozen for each call
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # warnings name signed addresses

    def log_in(self) -> None:
        """Check the token, which the environment or the login file holds, and complete a name without owner."""
        name = self._patiently(self._api.whoami)["name"]
        if "/" not in self.repo_id:
            self.repo_id = f"{name}/{self.repo_id}"

    def look(self, revision: str | None = None) -> Remote | None:
        """Return the repository at a revision (default: the head of main), listed once; None if there is none."""
        try:
            info = self._patiently(lambda: self._api.dataset_info(self.repo_id, revision=revision))
        except MissingError:
            return None
        files = self._patiently(
            lambda: {
                entry.path: entry
                for entry in self._api.list_repo_tree(
                    self.repo_id, repo_type=_DATASET, revision=info.sha, recursive=True
                )
                if isinstance(entry, RepoFile)
            }
        )
        refs = self._patiently(lambda: self._api.list_repo_refs(self.repo_id, repo_type=_DATASET))
        return Remote(str(info.sha), bool(info.private), files, {tag.name: tag.target_commit for tag in refs.tags})

    def titles(self) -> list[str]:
        """Return the titles of all commits on main, the newest first."""
        commits = self._patiently(lambda: self._api.list_repo_commits(self.repo_id, repo_type=_DATASET))
        return [commit.title for commit in commits]

    def create(self, private: bool) -> None:
        """Create the repository; if somebody else just did, theirs stands."""

        def create() -> None:
            try:
                self._api.create_repo(self.repo_id, repo_type=_DATASET, private=private, exist_ok=True)
            except KeyError:  # of the client, since the answer that another creation is under way has no address
                raise _BusyError("somebody is creating this repository now", self.repo_id, _LATER) from None

        self._patiently(create)

    def download(self, path: str, commit: str, anew: bool = False) -> Path:
        """Return a file's place in the local cache of the Hub, fetching it if it is not there, or ``anew``."""
        found = self._patiently(
            lambda: self._api.hf_hub_download(
                self.repo_id, path, repo_type=_DATASET, revision=commit, force_download=anew
            )
        )
        return Path(found)

    def send(self, additions: list[CommitOperationAdd]) -> None:
        """Bring files' bytes to the Hub, where nobody sees them before a commit names them; those there are skipped."""
        self._patiently(lambda: self._api.preupload_lfs_files(self.repo_id, additions, repo_type=_DATASET))

    def commit(
        self, operations: list[CommitOperationAdd | CommitOperationDelete], message: str, parent: str | None
    ) -> str:
        """Make one commit on ``parent`` and return its name.

        Raises RaceError if ``parent`` is no longer the head, DoubtError if the line failed.
        """
        try:
            made = self._api.create_commit(
                self.repo_id, operations, commit_message=message, repo_type=_DATASET, parent_commit=parent
            )
        except TransportError as error:
            status = _status(error)
            if status in _RACE:
                raise RaceError from None
            if status is None or status in _BUSY:
                raise DoubtError(_line(error)) from None
            raise self._explained(error) from None
        except ValueError as error:
            if "Invalid metadata" not in str(error):  # an answer that is no JSON
                raise DoubtError("the Hub's answer cannot be read") from None
            raise HubError("the Hub does not accept the card", self.repo_id, f"check --license ({error})") from None
        return str(made.oid)

    def tag(self, name: str, commit: str) -> None:
        self._patiently(
            lambda: self._api.create_tag(self.repo_id, tag=name, revision=commit, repo_type=_DATASET, exist_ok=True)
        )

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call; try again a few times if the server is busy or the line fails. For calls that may be repeated."""
        for wait in WAITS:
            try:
                with self._explaining():
                    return call()
            except _BusyError as error:
                progress.say(f"{error.what}; trying again in {wait:g} s")
                time.sleep(wait)
        with self._explaining():
            return call()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (TransportError, OSError, ValueError) as error:
            raise self._explained(error) from None
        except RuntimeError as error:  # of the Xet client, or around what stopped the sending of one file
            cause = error.__cause__ or error
            if "client has been closed" in str(cause):  # by another thread that met a bad line
                raise _BusyError("the line to the Hub failed", self.repo_id, _LATER) from None
            raise self._explained(cause) from None

    def _explained(self, error: BaseException) -> HubError:
        """Return a HubError of one line that holds no token and no signed address."""
        status, where = _status(error), self.repo_id
        explained = ((made, what, fix) for kind, made, what, fix in _EXPLAINED if isinstance(error, kind))
        made, what, fix = next(explained, (HubError, _line(error), _LATER))  # the Xet client has tried for minutes
        if status == _UNKNOWN_TOKEN:  # which the client calls a missing repository
            made, what, fix = HubError, "the Hub does not accept this token (401)", _LOG_IN
        elif status == _FORBIDDEN and made is HubError:
            told = getattr(error, "server_message", None)
            what = "this token may not do that (403)" + (f"; the Hub says: {told}" if told else "")
            fix = "use one with the right to write there, or mend what the Hub names"
        elif isinstance(error, TransportError) and made is HubError and (status is None or status in _BUSY):
            made = _BusyError
        elif isinstance(error, OSError) and error.filename is not None:
            what, where = str(error.strerror), str(error.filename)
            fix = "check the file or folder, its rights and free space"
        return made(what, where, fix)


class MissingError(HubError):
    """The repository, or a file in it, is not there, or may not be seen."""


class _BusyError(HubError):
    """Worth another try."""


_EXPLAINED: tuple[tuple[type[Exception], type[HubError], str, str], ...] = (
    (LocalTokenNotFoundError, HubError, "not logged in to the Hugging Face Hub", _LOG_IN),
    (OfflineModeIsEnabled, HubError, "the Hub is switched off by HF_HUB_OFFLINE", "unset it"),
    (HFValidationError, HubError, "no name of a repository", "give --repo-id OWNER/NAME"),
    (RemoteEntryNotFoundError, MissingError, "a file is missing there", "was it published with gen-fedsd push?"),
    (RevisionNotFoundError, HubError, "no such revision", "give a tag, a branch or a commit of this repository"),
    (RepositoryNotFoundError, MissingError, "no such repository", "check --repo-id; a private one needs a token"),
    (
        LocalEntryNotFoundError,
        _BusyError,
        "the Hub cannot be reached",
        "check the network, and HF_ENDPOINT if it is set",
    ),
    (UnicodeEncodeError, HubError, "the token holds a character that no token has", _LOG_IN),
    (ValueError, HubError, "the Hub's answer cannot be read", "check HF_ENDPOINT and the network, or try again later"),
)
"""Checked in order, since some are kinds of others."""


def _connecting() -> Callable[[], Any]:
    """Return what makes huggingface_hub's HTTP client, anew after a lost connection; its own waits for ever."""
    kind, hooks = type(get_session()), get_session().event_hooks
    return lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=TIMEOUT)


def _status(error: BaseException) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _line(error: BaseException) -> str:
    """Say what the server answered, without addresses, which may be signed."""
    status = _status(error)
    if status is None:
        refused = re.search(r"\(\d{3} [\w ]+\)", str(error))  # which the Xet client only tells in its text
        return f"the line to the Hub failed ({type(error).__name__}{f' {refused[0]}' if refused else ''})"
    told = getattr(error, "server_message", None)
    return f"the Hub answered {status}" + (f" ({told})" if told else "")
