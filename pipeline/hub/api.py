"""The Hub as seen from here: huggingface_hub's client, patient with a bad line, its errors as one line each."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session
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
        get_session().timeout = TIMEOUT  # by default the client waits for ever
        disable_progress_bars()  # of the client's own, a dozen for each call

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

    def create(self, private: bool) -> None:
        """Create the repository; if somebody else just did, theirs stands."""

        def create() -> None:
            try:
                self._api.create_repo(self.repo_id, repo_type=_DATASET, private=private, exist_ok=True)
            except KeyError:  # of the client, since the answer that another creation is under way has no address
                raise _BusyError("somebody is creating this repository now", self.repo_id, _LATER) from None

        self._patiently(create)

    def download(self, path: str, commit: str) -> Path:
        """Return a file's place in the local cache of the Hub, fetching it if it is not there."""
        found = self._patiently(
            lambda: self._api.hf_hub_download(self.repo_id, path, repo_type=_DATASET, revision=commit)
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
        except RuntimeError as error:  # the client wraps what stopped the sending of one file
            if not isinstance(error.__cause__, TransportError):
                raise
            raise self._explained(error.__cause__) from None

    def _explained(self, error: Exception) -> Exception:
        """Return a HubError of one line that holds no token and no signed address; other errors as they are."""
        status = _status(error)
        if status == _UNKNOWN_TOKEN:  # which the client calls a missing repository
            return HubError("the Hub does not accept this token (401)", self.repo_id, _LOG_IN)
        for kind, made, what, fix in _EXPLAINED:
            if isinstance(error, kind):
                return made(what, self.repo_id, fix)
        if status == _FORBIDDEN:
            return HubError("this token may not do that (403)", self.repo_id, "use one with the right to write there")
        if isinstance(error, TransportError):
            busy = status is None or status in _BUSY
            return (_BusyError if busy else HubError)(_line(error), self.repo_id, _LATER)
        if isinstance(error, (ConnectionError, TimeoutError)):  # of the Xet client, which has tried for minutes itself
            return HubError(_line(error), self.repo_id, _LATER)
        return error


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
)
"""Checked in order, since some are kinds of others."""


def _status(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _line(error: Exception) -> str:
    """Say what the server answered, without addresses, which may be signed."""
    status = _status(error)
    if status is None:
        return f"the line to the Hub failed ({type(error).__name__})"
    told = getattr(error, "server_message", None)
    return f"the Hub answered {status}" + (f" ({told})" if told else "")
