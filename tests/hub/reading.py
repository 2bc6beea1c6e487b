"""The endpoints that only read."""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode

from tests.hub.cards import card
from tests.hub.repositories import File, Memory, RefusalError
from tests.hub.routing import STORE, Answer, Call, as_json, refusal, route


@route("whoami", "GET", "/api/whoami-v2")
def _whoami(memory: Memory, call: Call) -> Answer:
    if call.user is None:
        raise RefusalError(401, "Invalid username or password.")
    role = "write" if call.user.write else "read"
    return as_json(
        {
            "type": "user",
            "id": sha256(call.user.name.encode()).hexdigest()[:24],
            "name": call.user.name,
            "orgs": [{"type": "org", "name": name} for name in call.user.namespaces[1:]],
            "auth": {"type": "access_token", "accessToken": {"displayName": "tests", "role": role}},
        }
    )


@route("agents", "GET", "/api/agent-harnesses")
def _agents(memory: Memory, call: Call) -> Answer:
    # With telemetry on, the clients ask once a day before their first request.
    return as_json({"standardEnvVars": [], "harnesses": {}})


@route("info", "GET", "DATASET(/revision/(?P<revision>[^/]+))?")
def _info(memory: Memory, call: Call) -> Answer:
    repository = memory.readable(call.repo, call.user)
    commit = repository.at(call.revision)
    readme = commit.files.get("README.md", File(b"", large=False)).content.decode(errors="replace")
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    if call.asks("blobs"):
        for sibling in siblings:
            file = commit.files[sibling["rfilename"]]
            sibling |= {"size": file.size, "blobId": file.blob}
            if file.large:
                sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    described = {
        "id": call.repo,
        "author": call.repo.partition("/")[0],
        "sha": commit.id,
        "lastModified": repository.head.stamp,
        "createdAt": repository.commits[0].stamp,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "cardData": card(readme),
        "siblings": siblings,
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    wanted = call.query.get("expand")
    return as_json(
        described if wanted is None else {name: described[name] for name in ("id", *wanted) if name in described}
    )


@route("tree", "GET", "DATASET/tree/(?P<revision>[^/]+)(/(?P<path>.*))?")
def _tree(memory: Memory, call: Call) -> Answer:
    repository = memory.readable(call.repo, call.user)
    commit = repository.at(call.revision)
    folder = call.parts["path"].strip("/")
    return _paged(memory, call, repository.entries(commit, folder, call.asks("recursive"), call.asks("expand")))


@route("paths", "POST", "DATASET/paths-info/(?P<revision>[^/]+)")
def _paths(memory: Memory, call: Call) -> Answer:
    repository = memory.readable(call.repo, call.user)
    commit = repository.at(call.revision)
    form = parse_qs(call.body.decode())
    known = {"/".join(path.split("/")[:n]) for path in commit.files for n in range(1, path.count("/") + 2)}
    expand = form.get("expand", ["false"]) == ["true"]
    return as_json([repository.entry(commit, path, expand) for path in form.get("paths", []) if path in known])


@route("refs", "GET", "DATASET/refs")
def _refs(memory: Memory, call: Call) -> Answer:
    repository = memory.readable(call.repo, call.user)
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repository.tags.items()]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head.id}
    return as_json({"branches": [main], "converts": [], "tags": tags, "pullRequests": []})


@route("commits", "GET", "DATASET/commits/(?P<revision>[^/]+)")
def _commits(memory: Memory, call: Call) -> Answer:
    repository = memory.readable(call.repo, call.user)
    described = [
        {
            "id": commit.id,
            "title": commit.summary,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.stamp,
        }
        for commit in repository.history(repository.at(call.revision))
    ]
    return _paged(memory, call, described)


@route("resolve", "GET HEAD", "/datasets/REPO/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def _resolve(memory: Memory, call: Call) -> Answer:
    commit = memory.readable(call.repo, call.user).at(call.revision)
    file = commit.files.get(call.parts["path"])
    headers = {"X-Repo-Commit": commit.id}
    if file is None:
        missing = refusal(404, "Entry not found", "EntryNotFound")
        return Answer(404, missing.body, {**missing.headers, **headers})
    if not file.large:
        return _content(call, file.content, {**headers, "ETag": f'"{file.etag}"'})
    linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    if file.sha256 in memory.xet_hashes:
        tokens = f"{memory.endpoint}/api/datasets/{call.repo}/xet-read-token/{commit.id}"
        linked |= {"X-Xet-Hash": memory.xet_hashes[file.sha256], "Link": f'<{tokens}>; rel="xet-auth"'}
    return Answer(302, b"", {**headers, **linked, "Location": f"{memory.store}/{file.sha256}"})


@route("lfs-get", "GET HEAD", "/(?P<oid>[0-9a-f]{64})", STORE)
def _lfs_get(memory: Memory, call: Call) -> Answer:
    if call.parts["oid"] not in memory.objects:
        raise RefusalError(404, "No such object")
    return _content(call, memory.objects[call.parts["oid"]], {"ETag": f'"{call.parts["oid"]}"'})


def _paged(memory: Memory, call: Call, items: Iterable[object]) -> Answer:
    """One page of a list, with a link to the next one."""
    items = list(items)
    start = int(call.query.get("cursor", ["0"])[-1])
    end = start + memory.page_size
    if end >= len(items):
        return as_json(items[start:])
    query = urlencode({**call.query, "cursor": [str(end)]}, doseq=True)
    return as_json(items[start:end], Link=f'<{memory.endpoint}{call.path}?{query}>; rel="next"')


def _content(call: Call, content: bytes, headers: dict[str, str]) -> Answer:
    """Bytes, or the part of them that the Range header asks for."""
    headers = {**headers, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if match is None or not any(match.groups()):
        return Answer(200, content, headers)
    first, last = match.groups()
    start = int(first) if first else max(0, len(content) - int(last))
    end = min(int(last) + 1, len(content)) if first and last else len(content)
    if start >= end:
        return Answer(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[start:end], {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})
