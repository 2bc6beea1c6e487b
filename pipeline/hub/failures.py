"""What can go wrong between here and the Hub, as errors of one line that hold no token and no signed address."""

import re

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

from pipeline.errors import HubError

TransportError: type[Exception] = HfHubHTTPError.__bases__[0]
"""What the HTTP library under huggingface_hub raises for a broken connection; its name differs between versions."""

HEAD_MOVED = (409, 412)
"""Status codes of a commit whose parent is not the head of main."""
BUSY = (408, 429, 500, 502, 503, 504)
"""Status codes after which the same request may succeed later."""

_UNKNOWN_TOKEN, _FORBIDDEN = 401, 403
LATER = "try again later; what was sent is kept"
_LOG_IN = "log in with: hf auth login   or set HF_TOKEN; it needs the right to write"


class MissingError(HubError):
    """The repository, or a file in it, does not exist or may not be seen."""


class BusyError(HubError):
    """The request may succeed when it is repeated."""


class HeadMovedError(Exception):
    """Somebody else committed after the snapshot of the repository was taken."""


class OutcomeUnknownError(Exception):
    """The connection broke during a commit, so that nobody here knows whether it was made."""


_KINDS: tuple[tuple[type[Exception], type[HubError], str, str], ...] = (
    (LocalTokenNotFoundError, HubError, "not logged in to the Hugging Face Hub", _LOG_IN),
    (OfflineModeIsEnabled, HubError, "HF_HUB_OFFLINE switches the Hub off", "unset it"),
    (HFValidationError, HubError, "not a repository name", "give --repo-id OWNER/NAME"),
    (RemoteEntryNotFoundError, MissingError, "a file is missing there", "was it published with gen-fedsd push?"),
    (RevisionNotFoundError, HubError, "no such revision", "give a tag, a branch or a commit of this repository"),
    (RepositoryNotFoundError, MissingError, "no such repository", "check --repo-id; a private one needs a token"),
    (
        LocalEntryNotFoundError,
        BusyError,
        "the Hub cannot be reached",
        "check the network, and HF_ENDPOINT if it is set",
    ),
    (UnicodeEncodeError, HubError, "the token contains a character that tokens never have", _LOG_IN),
    (ValueError, HubError, "the Hub's answer cannot be read", "check HF_ENDPOINT and the network, or try again later"),
)
"""Exceptions of the client, and the error, text and advice for each; checked in order, since some are subclasses."""


def explain(error: BaseException, repo_id: str) -> HubError:
    """Return the HubError for what huggingface_hub raised; BusyError and MissingError where they apply."""
    code, where = status(error), repo_id
    known = ((made, what, fix) for kind, made, what, fix in _KINDS if isinstance(error, kind))
    made, what, fix = next(known, (HubError, describe(error), LATER))  # the Xet client has tried for minutes
    if code == _UNKNOWN_TOKEN:  # which the client calls a missing repository
        made, what, fix = HubError, "the Hub does not accept this token (401)", _LOG_IN
    elif code == _FORBIDDEN and made is HubError:
        message = getattr(error, "server_message", None)
        what = "this token may not do that (403)" + (f"; the Hub says: {message}" if message else "")
        fix = "use a token with the right to write there, or correct what the Hub names"
    elif isinstance(error, TransportError) and made is HubError and (code is None or code in BUSY):
        made = BusyError
    elif isinstance(error, OSError) and error.filename is not None:
        what, where = str(error.strerror), str(error.filename)
        fix = "check the file or folder, its permissions and the free space"
    return made(what, where, fix)


def describe(error: BaseException) -> str:
    """Return what the server answered, without addresses, since these may be signed."""
    code = status(error)
    if code is None:
        refused = re.search(r"\(\d{3} [\w ]+\)", str(error))  # the Xet client reports the status in its text only
        return f"the connection to the Hub failed ({type(error).__name__}{f' {refused[0]}' if refused else ''})"
    message = getattr(error, "server_message", None)
    return f"the Hub answered {code}" + (f" ({message})" if message else "")


def status(error: BaseException) -> int | None:
    """Return the HTTP status of an answer, None where no answer arrived."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None
