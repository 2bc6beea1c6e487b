"""A Hugging Face Hub on the loopback interface: one origin for the Hub, another for the store of large files.

The unmodified clients talk to it. It speaks what they need for dataset repositories, without multipart uploads. Of Xet
it knows only where the store is (``xet``), such as ``local:///folder``, which the client then writes and reads
itself, and the names of files there (``xet_hashes``); else set HF_HUB_DISABLE_XET, for the clients do not ask whether a
Hub has it.
"""

import socket
import sys
import threading
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, ThreadingTCPServer
from typing import Literal, Self
from urllib.parse import parse_qs

from tests.hub import reading, writing  # noqa: F401 - they fill the lists of routes
from tests.hub.repositories import Memory, RefusalError
from tests.hub.routing import HUB, STORE, UNKNOWN, Answer, Call, Route, find, refusal

__all__ = ["Hub", "Request"]

NAMES = {route.name for route in HUB + STORE} | {UNKNOWN.name}

Fault = int | Literal["drop", "drop-after"] | Callable[[], object]
Respond = Callable[[str, str, Message, bytes], Answer | None]
FAULTS = {
    401: "Invalid credentials in Authorization header",
    403: "Authorization error.",
    409: "Another commit is in progress. Please retry.",
    412: "A commit has happened since. Please refresh and try again.",
    429: "Too many requests",
}


@dataclass
class Request:
    """A request as it came in; the status is 0 where the connection was closed instead of an answer."""

    method: str
    route: str
    path: str
    size: int
    had_token: bool
    status: int = 0


class Hub(Memory):
    """The Hub while the `with` block runs; `endpoint` is its address, `requests` is what came in."""

    def __init__(self, page_size: int = 1_000) -> None:
        super().__init__(page_size)
        self.requests: list[Request] = []
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._origins: list[_Origin] = []
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        for routes in HUB, STORE:
            self._origins.append(_Origin(self._responder(routes)))
        self.endpoint, self.store = (origin.address for origin in self._origins)
        return self

    def __exit__(self, *_: object) -> None:
        while self._origins:
            self._origins.pop().close()

    def fail(self, route: str, *faults: Fault) -> None:
        """Let the next requests on a route meet these faults, one each and in order.

        A number is the status of the answer. "drop" closes the connection without work or answer, "drop-after" does
        the work first. A function is called before the request is handled as usual.
        """
        if route not in NAMES:
            raise ValueError(f"No route is named {route}; there are {sorted(NAMES)}")
        self._faults[route].extend(faults)

    def hear_out(self) -> None:
        """Wait until all that connected before are done: a killed client's requests. Faults they did not meet go."""
        for origin in self._origins:
            origin.hear_out()
        self._faults.clear()

    def count(self, route: str, method: str | None = None) -> int:
        """How many requests came in on a route."""
        return sum(seen.route == route and method in {None, seen.method} for seen in self.requests)

    def counts(self) -> Counter[str]:
        """How many requests came in on each route."""
        return Counter(seen.route for seen in self.requests)

    def _responder(self, routes: list[Route]) -> Respond:
        def respond(method: str, target: str, headers: Message, body: bytes) -> Answer | None:
            path, _, query = target.partition("?")
            route, parts = find(routes, method, path)
            authorization = headers.get("Authorization")
            seen = Request(method, route.name, target, len(body), authorization is not None)
            with self._lock:
                self.requests.append(seen)
                fault = self._faults[route.name].popleft() if self._faults[route.name] else None
            if fault == "drop":
                return None
            try:
                if callable(fault):
                    fault()  # not under the lock: it may send requests to this Hub
                with self._lock:
                    if isinstance(fault, int):
                        raise RefusalError(fault, FAULTS.get(fault, "Internal error"))
                    if routes is STORE and authorization is not None:
                        raise RefusalError(400, "A token came to the store of large files, which is another server")
                    user = None if routes is STORE else self.visitor(authorization)
                    answer = route.endpoint(self, Call(method, path, parse_qs(query), parts, headers, body, user))
            except RefusalError as error:
                answer = refusal(error.status, error.message, error.code)
            except Exception:
                # No client repeats a request after this status, and each shows the text.
                answer = refusal(501, f"The Hub of the tests failed\n{traceback.format_exc()}")
            if fault == "drop-after":
                return None
            seen.status = answer.status
            return answer

        return respond


class _Origin(ThreadingTCPServer):
    """A server on a port of its own, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.respond = respond
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open: set[socket.socket] = set()
        self.closed = threading.Condition()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()
        for connection in self.open.copy():  # clients keep theirs open for a next request
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def hear_out(self) -> None:
        # Connections are accepted in their order; so once this one is closed, all earlier ones are known.
        with socket.create_connection(self.socket.getsockname()) as last:
            last.shutdown(socket.SHUT_WR)
            assert last.recv(1) == b""
        with self.closed:
            assert self.closed.wait_for(lambda: not self.open, timeout=120)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self.closed:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        super().shutdown_request(request)
        with self.closed:
            self.open.discard(request)
            self.closed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has enough hangs up
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Connection(BaseHTTPRequestHandler):
    """Reads requests and writes answers, whatever they are."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    # Else every answer on a connection in use waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    def __init__(self, request: socket.socket, client_address: object, server: BaseServer) -> None:
        assert isinstance(server, _Origin)
        self.origin = server
        super().__init__(request, client_address, server)

    def respond(self) -> None:
        answer = self.origin.respond(self.command, self.path, self.headers, self._body())
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
