"""Which endpoint answers a request, and what endpoints take and give."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import unquote

from tests.hub.repositories import Memory, RefusalError, User


@dataclass(frozen=True)
class Call:
    """A request, taken apart."""

    method: str
    path: str
    query: dict[str, list[str]]
    parts: dict[str, str]
    headers: Message
    body: bytes
    user: User | None

    @property
    def repo(self) -> str:
        return self.parts["repo"]

    @property
    def revision(self) -> str:
        return self.parts["revision"] or "main"

    def json(self) -> Any:
        return json.loads(self.body)

    def asks(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in {"1", "true"}


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Endpoint = Callable[[Memory, Call], Answer]


@dataclass(frozen=True)
class Route:
    """Requests of one kind, by the name under which tests count them and make them fail."""

    name: str
    methods: str
    pattern: re.Pattern[str]
    endpoint: Endpoint


HUB: list[Route] = []
STORE: list[Route] = []


def route(name: str, methods: str, pattern: str, routes: list[Route] = HUB) -> Callable[[Endpoint], Endpoint]:
    """Register the endpoint for paths that match; DATASET and REPO stand for a repository's address."""
    address = r"(?P<repo>[^/]+/[^/]+)"
    pattern = pattern.replace("DATASET", f"/api/datasets/{address}").replace("REPO", address)

    def register(endpoint: Endpoint) -> Endpoint:
        routes.append(Route(name, methods, re.compile(pattern), endpoint))
        return endpoint

    return register


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON; dates in a card's metadata become texts."""
    return Answer(status, json.dumps(value, default=str).encode(), {"Content-Type": "application/json", **headers})


def refusal(status: int, message: str, code: str = "") -> Answer:
    """An error as the Hub words it: in headers too, for an answer to HEAD has no body."""
    headers = {"X-Error-Message": message.partition("\n")[0].encode("ascii", "replace").decode()}
    if code:
        headers["X-Error-Code"] = code
    if status == 429:
        headers["Retry-After"] = "0"
    return as_json({"error": message}, status, **headers)


def find(routes: list[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request, and the parts of its path."""
    for route in routes:
        match = route.pattern.fullmatch(path)
        if match and method in route.methods.split():
            return route, {name: unquote(part or "") for name, part in match.groupdict().items()}
    return UNKNOWN, {}


def _unknown(memory: Memory, call: Call) -> Answer:
    raise RefusalError(404, f"The Hub of the tests does not know {call.method} {call.path}")


UNKNOWN = Route("unknown", "", re.compile(""), _unknown)
