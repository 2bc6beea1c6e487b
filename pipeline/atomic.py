"""Files that exist if and only if they are whole, their digests, and locks for whoever writes them."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ArtifactError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds, else delete it.

    The rename also breaks a hard or symbolic link to a cache object, which writing in place would corrupt. Raises
    ArtifactError for every OSError, also from the block: a full disk, missing permissions.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        os.close(created(temporary, os.O_EXCL))
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # libraries add the name of the temporary file
        fix = "make room or check the rights, then run again"
        raise ArtifactError(f"cannot write ({why})", path, fix) from error


def created(path: Path, flags: int = 0) -> int:
    """Return the descriptor of a file that is made if need be, with the rights that the umask leaves.

    Raises OSError for a symbolic link: whoever may put one there would choose the file that is written.
    """
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o666)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on a file, which is made if need be, while the block runs.

    ``waiting`` is called if another process holds it. Raises OSError where files cannot be made or locked.
    """
    descriptor = created(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8: the whole file or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
