"""What the Hub of the tests remembers: users, dataset repositories with their history, and large files."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

# The kinds of binary files that our tests publish; the real list in .gitattributes is longer.
LARGE_SUFFIXES = (".arrow", ".bin", ".gz", ".jpg", ".npy", ".npz", ".parquet", ".png", ".pt", ".safetensors", ".zip")
LARGE_BYTES = 10 * 1024 * 1024
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES)

_counter = itertools.count()


class RefusalError(Exception):
    """An error answer: the clients choose their exception by the code before they look at the status."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class User:
    """A person as one of their tokens shows them: `write` is the token's right, `namespaces` the person's."""

    name: str
    write: bool
    namespaces: tuple[str, ...]

    def may_write(self, repo: str) -> bool:
        return self.write and repo.partition("/")[0] in self.namespaces


@dataclass(frozen=True)
class File:
    """A file of a commit; git holds only a pointer to a large one."""

    content: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @cached_property
    def blob(self) -> str:
        """The name that git gives to what it holds."""
        held = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob


@dataclass(frozen=True, eq=False)
class Commit:
    """A state of all files, and how it came to be."""

    id: str
    parent: str | None
    summary: str
    description: str
    author: str
    date: datetime
    files: dict[str, File]

    @property
    def stamp(self) -> str:
        return self.date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Repository:
    """A dataset repository with one branch, main, and tags (name to commit id)."""

    def __init__(self, name: str, private: bool, author: str) -> None:
        self.name = name
        self.private = private
        self.commits: list[Commit] = []
        self.tags: dict[str, str] = {}
        self.commit({".gitattributes": File(ATTRIBUTES.encode(), large=False)}, "initial commit", author)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, files: dict[str, File], summary: str, author: str, description: str = "") -> Commit:
        """Make `files` the whole content of main."""
        parent = self.commits[-1].id if self.commits else None
        # Two commits of the same files at the same moment are still two commits.
        identity = hashlib.sha1(f"{self.name} {parent} {next(_counter)}".encode()).hexdigest()
        commit = Commit(identity, parent, summary, description, author, datetime.now(UTC), dict(files))
        self.commits.append(commit)
        return commit

    def at(self, revision: str) -> Commit:
        if revision in {"main", "refs/heads/main"}:
            return self.head
        wanted = self.tags.get(revision.removeprefix("refs/tags/"), revision)
        for commit in self.commits:
            if commit.id == wanted:
                return commit
        raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, commit: Commit) -> list[Commit]:
        """This commit and all before it, newest first."""
        return self.commits[self.commits.index(commit) :: -1]

    def entries(self, commit: Commit, folder: str, recursive: bool, expand: bool) -> Iterator[dict[str, Any]]:
        """What the tree listing says of files and folders below a folder."""
        prefix = f"{folder}/" if folder else ""
        below = [path[len(prefix) :].split("/") for path in commit.files if path.startswith(prefix)]
        if folder and not below:
            raise RefusalError(404, f"{folder} does not exist on this revision", "EntryNotFound")
        paths = {prefix + "/".join(parts[:n]) for parts in below for n in range(1, len(parts) + 1 if recursive else 2)}
        return (self.entry(commit, path, expand) for path in sorted(paths))

    def entry(self, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
        file = commit.files.get(path)
        if file is None:
            described: dict[str, Any] = {
                "type": "directory",
                "oid": hashlib.sha1(f"{commit.id} {path}".encode()).hexdigest(),
                "size": 0,
            }
        else:
            described = {"type": "file", "oid": file.blob, "size": file.size}
            if file.large:
                described["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        described["path"] = path
        if expand:
            last = self.last_change(commit, path)
            described["lastCommit"] = {"id": last.id, "title": last.summary, "date": last.stamp}
        return described

    def last_change(self, commit: Commit, path: str) -> Commit:
        def state(at: Commit) -> dict[str, str]:
            return {name: at.files[name].blob for name in at.files if f"{name}/".startswith(f"{path}/")}

        last = commit
        for earlier in self.history(commit)[1:]:
            if state(earlier) != state(commit):
                break
            last = earlier
        return last


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub keeps a file outside git: known binary names, binary content, or more than 10 MB."""
    return PurePosixPath(path).suffix in LARGE_SUFFIXES or b"\0" in sample or size > LARGE_BYTES


class Memory:
    """Everything the Hub knows; tests read it and change it between requests."""

    def __init__(self, page_size: int = 1_000) -> None:
        self.users: dict[str, User] = {}
        self.repos: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.page_size = page_size
        self.endpoint = self.store = self.xet = ""
        self.xet_hashes: dict[str, str] = {}
        """Xet's names of large files, by their SHA-256; a file with one is fetched from Xet's store."""

    def add_user(self, name: str, token: str, write: bool = True, organizations: tuple[str, ...] = ()) -> None:
        """Let a token in; the read-only and the write token of a person are two calls with one name."""
        self.users[token] = User(name, write, (name, *organizations))

    def tree(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """Every file of a revision."""
        return {path: file.content for path, file in self.repos[repo].at(revision).files.items()}

    def overwrite(self, repo: str, path: str, content: bytes | None, author: str = "stranger") -> Commit:
        """Commit one changed file past every check, as somebody else; None deletes it."""
        repository = self.repos[repo]
        files = dict(repository.head.files)
        files.pop(path, None)
        if content is not None:
            files[path] = File(content, is_large(path, len(content), content[:512]))
            if files[path].large:
                self.objects[files[path].sha256] = content
        return repository.commit(files, f"Change {path}", author)

    def visitor(self, authorization: str | None) -> User | None:
        if authorization is None:
            return None
        user = self.users.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        return user

    def readable(self, repo: str, user: User | None) -> Repository:
        """A repository that the user may see: what is private does not exist for others."""
        repository = self.repos.get(repo)
        if repository is not None and not repository.private:
            return repository
        if user is None:
            raise RefusalError(401, "Invalid username or password.", "RepoNotFound")
        if repository is None or repo.partition("/")[0] not in user.namespaces:
            raise RefusalError(404, "Repository not found", "RepoNotFound")
        return repository

    def writable(self, repo: str, user: User | None) -> Repository:
        repository = self.readable(repo, user)
        if user is None:
            # The real Hub sends no code here; for its https address the clients treat any 401 as this one.
            raise RefusalError(401, "Invalid username or password.", "RepoNotFound")
        if not user.may_write(repo):
            raise RefusalError(403, "Authorization error.")
        return repository
