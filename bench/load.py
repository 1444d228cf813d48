"""HTTP load for benchmarks on loopback: keep-alive connections that each wait for an answer before they ask again.

One process with a selector and raw sockets: about 6 microseconds of client time a request against a trivial server, as
little as threads or bare epoll need, so the cores stay with the server under test. `Result.client_cpu_us` says what
the client took in a given run.
"""

from __future__ import annotations

import math
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

# How long answers that are still due are waited for once no new request goes out.
GRACE_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_RECEIVE_BYTES = 1 << 16


@dataclass(frozen=True)
class Result:
    """What came back.

    Rate and latencies (request sent to last byte received, nearest rank) are of answers with status 200 only and NaN
    without any. `errors` counts everything else: another status, a broken or unframed answer, a refused or lost
    connection, no answer in time. `bytes` is all that was received in whole answers, heads included.
    `client_cpu_us` is this process's own time per request, microseconds.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    bytes: int
    completed: int
    client_cpu_us: float


def run(
    host: str,
    port: int,
    requests: Sequence[bytes],
    connections: int = 4,
    count: int = 10_000,
    *,
    limit_seconds: float = 60.0,
) -> Result:
    """Send `count` requests, cycling through `requests`, and wait for the answers.

    Each request is a whole HTTP/1.1 GET or POST, small enough for one send. No new request goes out after
    `limit_seconds`, so a large `count` makes the run a duration. No request is sent twice.
    """
    load = _Load((host, port), requests, count, time.perf_counter() + limit_seconds)
    cpu = time.process_time()
    start = time.perf_counter()
    end = load.exchange(connections)
    cpu = time.process_time() - cpu
    latencies = sorted(load.latencies)
    return Result(
        requests_per_second=len(latencies) / (end - start) if latencies else math.nan,
        p50_ms=_percentile_ms(latencies, 0.50),
        p99_ms=_percentile_ms(latencies, 0.99),
        errors=load.errors,
        bytes=load.received,
        completed=len(latencies),
        client_cpu_us=cpu / load.issued * 1e6 if load.issued else math.nan,
    )


class FramingError(Exception):
    """An answer whose end cannot be told on a connection that stays open."""


def answer_end(data: bytes | bytearray) -> int | None:
    """Return the length of the answer that `data` begins with, or None while it is not whole.

    Raises `FramingError` when the head gives neither a length nor chunks, or gives nonsense.
    """
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    fields = data[: head + 2].lower()
    at = fields.find(b"\r\ncontent-length:")
    try:
        if at >= 0:
            end = head + 4 + int(fields[at + 17 : fields.find(b"\r\n", at + 17)])
            return end if len(data) >= end else None
        if b"\r\ntransfer-encoding: chunked\r\n" in fields:
            return _chunks_end(data, head + 4)
    except ValueError as error:
        raise FramingError(str(error)) from error
    raise FramingError("neither Content-Length nor chunks")


def _chunks_end(data: bytes | bytearray, position: int) -> int | None:
    """Return where the chunks that begin at `position` end. Trailer fields are not expected."""
    while True:
        line = data.find(b"\r\n", position)
        if line < 0:
            return None
        size = int(data[position:line].split(b";")[0], 16)
        position = line + 2 + size + 2
        if len(data) < position:
            return None
        if data[position - 2 : position] != b"\r\n":
            raise FramingError("a chunk does not end with its size")
        if size == 0:
            return position


def _percentile_ms(ordered: list[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1] * 1000 if ordered else math.nan


@dataclass(eq=False)
class _Connection:
    """A keep-alive connection with at most one request under way."""

    address: tuple[str, int]
    selector: selectors.BaseSelector
    sock: socket.socket | None = None
    pending: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0

    def send(self, request: bytes) -> None:
        """Send, connecting first where needed. Raises `OSError`."""
        if self.sock is None:
            self.sock = socket.create_connection(self.address, _CONNECT_SECONDS)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.setblocking(False)
            self.selector.register(self.sock, selectors.EVENT_READ, self)
        self.sent_at = time.perf_counter()
        if self.sock.send(request) != len(request):
            raise OSError("the request is larger than the send buffer")

    def receive(self) -> bytes | bytearray | None:
        """Return the answer once it is whole. Raises `OSError` when it is cut, `FramingError`."""
        assert self.sock is not None
        data = self.sock.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("closed before the answer was whole")
        answer: bytes | bytearray = data
        if self.pending:
            self.pending += data
            answer = self.pending
        end = answer_end(answer)
        if end is None:
            if not self.pending:
                self.pending += data
            return None
        if end != len(answer):
            raise FramingError("bytes after the answer")
        self.pending = bytearray()
        return answer

    def close(self) -> None:
        if self.sock is not None:
            self.selector.unregister(self.sock)
            self.sock.close()
        self.sock = None
        self.pending = bytearray()


@dataclass
class _Load:
    """The requests of one run and what came of them."""

    address: tuple[str, int]
    requests: Sequence[bytes]
    count: int
    stop_at: float
    issued: int = 0
    under_way: int = 0
    errors: int = 0
    received: int = 0
    latencies: list[float] = field(default_factory=list)

    def exchange(self, connections: int) -> float:
        """Send all requests and take the answers. Returns the `perf_counter` of the last answer."""
        end = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            opened = [_Connection(self.address, selector) for _ in range(connections)]
            for connection in opened:
                self.issue(connection)
            while self.under_way and end < self.stop_at + GRACE_SECONDS:
                for key, _ in selector.select(self.stop_at + GRACE_SECONDS - end):
                    self.take(key.data)
                end = time.perf_counter()
            self.errors += self.under_way
            for connection in opened:
                connection.close()
        return end

    def issue(self, connection: _Connection) -> None:
        """Put the next request under way; one that cannot be sent is an error, and the one after it is tried."""
        while self.issued < self.count and time.perf_counter() < self.stop_at:
            request = self.requests[self.issued % len(self.requests)]
            self.issued += 1
            try:
                connection.send(request)
            except OSError:
                self.errors += 1
                connection.close()
            else:
                self.under_way += 1
                return

    def take(self, connection: _Connection) -> None:
        """Take what has arrived; after a whole or a broken answer, go on with the next request."""
        try:
            answer = connection.receive()
        except (OSError, FramingError):
            self.errors += 1
            connection.close()
        else:
            if answer is None:
                return
            self.record(connection, answer)
        self.under_way -= 1
        self.issue(connection)

    def record(self, connection: _Connection, answer: bytes | bytearray) -> None:
        latency = time.perf_counter() - connection.sent_at
        self.received += len(answer)
        if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
            self.latencies.append(latency)
        else:
            self.errors += 1
        if b"\r\nconnection: close\r\n" in answer[: answer.find(b"\r\n\r\n") + 2].lower():
            connection.close()
