"""The endpoints that change something, or prepare a change."""

import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from tests.hub.cards import findings
from tests.hub.repositories import File, Memory, RefusalError, Repository, is_large
from tests.hub.routing import STORE, Answer, Call, as_json, route


@route("create", "POST", "/api/repos/create")
def _create(memory: Memory, call: Call) -> Answer:
    if call.user is None:
        raise RefusalError(401, "Invalid username or password.")
    wish = call.json()
    if wish.get("type") != "dataset":
        raise RefusalError(400, "The Hub of the tests has datasets only")
    name = f"{wish['organization'] or call.user.name}/{wish['name']}"
    if not call.user.may_write(name):
        raise RefusalError(403, "You don't have the rights to create a dataset under this namespace")
    described = {"url": f"{memory.endpoint}/datasets/{name}", "name": name, "id": name}
    if name in memory.repos:
        return as_json({"error": "You already created this dataset repo", **described}, 409)
    memory.repos[name] = Repository(name, wish.get("visibility") == "private", call.user.name)
    return as_json(described)


@route("settings", "PUT", "DATASET/settings")
def _settings(memory: Memory, call: Call) -> Answer:
    repository = memory.writable(call.repo, call.user)
    wish = call.json()
    if "visibility" in wish:
        repository.private = wish["visibility"] == "private"
    return as_json({"private": repository.private})


@route("tag", "POST", "DATASET/tag/(?P<revision>[^/]+)")
def _tag(memory: Memory, call: Call) -> Answer:
    repository = memory.writable(call.repo, call.user)
    tag = call.json()["tag"]
    if tag in repository.tags:
        raise RefusalError(409, f"Tag {tag} already exists")
    repository.tags[tag] = repository.at(call.revision).id
    return as_json({})


@route("delete-tag", "DELETE", "DATASET/tag/(?P<revision>[^/]+)")
def _delete_tag(memory: Memory, call: Call) -> Answer:
    repository = memory.writable(call.repo, call.user)
    if repository.tags.pop(call.revision, None) is None:
        raise RefusalError(404, f"Invalid rev id: {call.revision}", "RevisionNotFound")
    return as_json({})


@route("validate-yaml", "POST", "/api/validate-yaml")
def _validate_yaml(memory: Memory, call: Call) -> Answer:
    errors, warnings = findings(call.json()["content"])
    described = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return as_json(described, 400 if errors else 200)


@route("preupload", "POST", "DATASET/preupload/(?P<revision>[^/]+)")
def _preupload(memory: Memory, call: Call) -> Answer:
    present = memory.writable(call.repo, call.user).at(call.revision).files
    described = []
    for file in call.json()["files"]:
        path = file["path"]
        mode = "lfs" if is_large(path, file["size"], base64.b64decode(file["sample"])) else "regular"
        described.append({"path": path, "uploadMode": mode, "shouldIgnore": False})
        if path in present:
            described[-1]["oid"] = present[path].etag
    return as_json({"files": described})


@route("lfs-batch", "POST", r"/datasets/REPO\.git/info/lfs/objects/batch")
def _lfs_batch(memory: Memory, call: Call) -> Answer:
    memory.writable(call.repo, call.user)
    described = []
    for wanted in call.json()["objects"]:
        described.append({"oid": wanted["oid"], "size": wanted["size"]})
        if wanted["oid"] not in memory.objects:
            verify = f"{memory.endpoint}/datasets/{quote(call.repo)}.git/info/lfs/objects/verify"
            upload = f"{memory.store}/{wanted['oid']}"
            described[-1]["actions"] = {
                "upload": {"href": upload, "header": {}},
                "verify": {"href": verify, "header": {}},
            }
    return as_json({"transfer": "basic", "objects": described})


@route("lfs-verify", "POST", r"/datasets/REPO\.git/info/lfs/objects/verify")
def _lfs_verify(memory: Memory, call: Call) -> Answer:
    memory.writable(call.repo, call.user)
    _stored(memory, call.json())
    return as_json({})


def _stored(memory: Memory, pointer: dict[str, Any]) -> bytes:
    """The content that a pointer means, if it was uploaded."""
    content = memory.objects.get(pointer["oid"])
    if content is None:
        raise RefusalError(400, f"LFS pointer pointed to a file that does not exist: {pointer['oid']}")
    if pointer.get("size", len(content)) != len(content):
        raise RefusalError(400, f"{pointer['oid']} has {len(content)} bytes, not {pointer['size']}")
    return content


@route("commit", "POST", "DATASET/commit/(?P<revision>[^/]+)")
def _commit(memory: Memory, call: Call) -> Answer:
    repository = memory.writable(call.repo, call.user)
    if call.revision != "main":
        raise RefusalError(404, f"Invalid rev id: {call.revision}", "RevisionNotFound")
    lines = [json.loads(line) for line in call.body.splitlines()]
    header: dict[str, Any] = next((line["value"] for line in lines if line["key"] == "header"), {})
    if not header.get("summary"):
        raise RefusalError(400, "A commit needs a summary")
    if header.get("parentCommit", repository.head.id) != repository.head.id:
        raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
    files = dict(repository.head.files)
    for line in lines:
        _change(memory, files, line["key"], line["value"])
    author = call.user.name if call.user else ""
    commit = repository.commit(files, header["summary"], author, header.get("description", ""))
    url = f"{memory.endpoint}/datasets/{call.repo}/commit/{commit.id}"
    return as_json({"success": True, "commitOid": commit.id, "commitUrl": url, "hookOutput": ""})


def _change(memory: Memory, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
    path = value.get("path", "")
    if key == "file":
        content = base64.b64decode(value["content"]) if value.get("encoding") == "base64" else value["content"].encode()
        if path == "README.md" and (errors := findings(content.decode())[0]):
            raise RefusalError(400, "Invalid metadata in README.md: " + "; ".join(errors))
        files[path] = File(content, large=False)
    elif key == "lfsFile":
        files[path] = File(_stored(memory, value), large=True)
    elif key in {"deletedFile", "deletedFolder"}:
        folder = path.rstrip("/") + "/"
        deleted = [name for name in files if (name == path if key == "deletedFile" else name.startswith(folder))]
        if not deleted:
            raise RefusalError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in deleted:
            del files[name]
    elif key != "header":
        raise RefusalError(400, f"Unknown operation {key}")


@route("lfs-put", "PUT", "/(?P<oid>[0-9a-f]{64})", STORE)
def _lfs_put(memory: Memory, call: Call) -> Answer:
    if sha256(call.body).hexdigest() != call.parts["oid"]:
        raise RefusalError(400, "The bytes do not have the checksum in their address")
    memory.objects[call.parts["oid"]] = call.body
    return Answer()


@route("xet-token", "GET", "DATASET/xet-(?P<right>read|write)-token/(?P<revision>[^/]+)")
def _xet_token(memory: Memory, call: Call) -> Answer:
    (memory.writable if call.parts["right"] == "write" else memory.readable)(call.repo, call.user)
    answer = as_json({"casUrl": memory.xet, "exp": 2_000_000_000, "accessToken": "of-xet"})
    described = {"X-Xet-Cas-Url": memory.xet, "X-Xet-Token-Expiration": "2000000000", "X-Xet-Access-Token": "of-xet"}
    return replace(answer, headers={**answer.headers, **described})
