"""A network that is slow or broken, on demand: an HTTP proxy in front of a real server.

    with Proxy(port, latency_seconds=0.05, bytes_per_second=100e6) as proxy:
        proxy.add(Fault("cut", after=1000), times=2)
        ...  # talk to 127.0.0.1:proxy.port
    assert proxy.counters.requests == 3

As a process of its own: `python -m tests.proxy --upstream 127.0.0.1:9000 --latency-ms 50 --megabytes-per-second 100`
prints its port, answers `GET /-/counters` itself with JSON and sets the counters to 0 after `POST /-/counters`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NoReturn

HOST = "127.0.0.1"
_CHUNK = 256 * 1024
# Bytes are let through in steps of about so long; what a late wake-up has lost is made up for.
_STEP_SECONDS, _CATCH_UP_SECONDS = 0.002, 0.01
_CONTROL = "/-/counters"


class Request(NamedTuple):
    """What a client asks; `range` is the value of its header, or None."""

    method: str
    target: str
    range: str | None


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    `cut`, `reset` and `stall`: the answer ends after `after` bytes of its body, by an end of the connection, by a
    reset, or by silence. `lost`: the server does as asked, and its answer is a reset. `length`: the answer says `more`
    bytes than come. `whole`: the range is not asked for, so that 200 comes for 206. `unavailable`: 503, with
    `retry_after`. `etag`: another one. `silent`: the request is never answered.
    """

    kind: Literal["cut", "reset", "stall", "lost", "length", "whole", "unavailable", "etag", "silent"]
    after: int = 0
    more: int = 0
    retry_after: int | None = None


@dataclass
class Counters:
    """What has gone through since the start; bytes are those of heads and bodies, as they are on the wire."""

    connections: int = 0
    requests: int = 0
    ranges: int = 0
    refusals: int = 0  # answers with 4xx and 5xx, also those of a fault
    bytes_to_store: int = 0
    bytes_from_store: int = 0
    most_at_once: int = 0  # requests that were under way together
    by_method: dict[str, int] = field(default_factory=dict)


@dataclass
class _Rule:
    fault: Fault
    left: float
    when: Callable[[Request], bool]


class _EndError(Exception):
    """The connection is over."""


class Proxy:
    """Forwards to `upstream_port` of this machine. Latency comes once for each request, the rate is shared by all."""

    def __init__(
        self,
        upstream_port: int,
        *,
        upstream_host: str = HOST,
        port: int = 0,
        latency_seconds: float = 0.0,
        bytes_per_second: float | None = None,
    ) -> None:
        self.upstream = (upstream_host, upstream_port)
        self.latency_seconds = latency_seconds
        self.counters = Counters()
        self._link = _Link(bytes_per_second)
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()  # protects the rules
        self._under_way = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._listen(port)
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._run(self._accept())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- What a test says

    def add(
        self, fault: Fault, *, times: float = float("inf"), when: Callable[[Request], bool] = lambda _: True
    ) -> None:
        """Let the next requests `when` it holds suffer, so many `times`. The first fault that fits is taken."""
        with self._lock:
            self._rules.append(_Rule(fault, times, when))

    def heal(self) -> None:
        """No faults any more."""
        with self._lock:
            self._rules.clear()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Requests are taken and never answered, while the block runs."""
        self.add(Fault("silent"))
        try:
            yield
        finally:
            self.heal()

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """Nobody listens, and all connections are gone, while the block runs."""
        self._run(self._hang_up())
        try:
            yield
        finally:
            self._listen(self.port)
            self._run(self._accept())

    def reset_counters(self) -> None:
        self.counters = Counters()

    # --- Connections

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30.0)

    def _listen(self, port: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(256)
        listener.setblocking(False)
        self._listener = listener
        self.port: int = listener.getsockname()[1]

    async def _accept(self) -> None:
        self._accepting = self._loop.create_task(self._accept_all())

    async def _accept_all(self) -> None:
        assert self._listener is not None
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.counters.connections += 1
            task = self._loop.create_task(self._serve(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _hang_up(self) -> None:
        tasks = [*self._connections]
        if self._accepting is not None:
            tasks.append(self._accepting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def _serve(self, client_socket: socket.socket) -> None:
        client, upstream = _Peer(client_socket, self._loop), None
        try:
            while head := await client.head():
                upstream = await self._exchange(client, upstream, head)
        except (_EndError, OSError):
            pass
        finally:
            client.close()
            if upstream is not None:
                upstream.close()

    async def _exchange(self, client: _Peer, upstream: _Peer | None, head: bytes) -> _Peer | None:
        """Forward one request and its answer; returns the connection to the server while it stays open."""
        began = self._loop.time()
        lines = head[:-4].split(b"\r\n")
        method, target, _ = lines[0].decode("latin-1").split(" ", 2)
        if target == _CONTROL:
            await self._say_counters(client, method)
            return upstream
        asked = _header(lines, b"range")
        request = Request(method, target, asked.decode("latin-1") if asked else None)
        self._count(request)
        self._under_way += 1
        self.counters.most_at_once = max(self.counters.most_at_once, self._under_way)
        try:
            fault = self._fault(request)
            if fault is not None and fault.kind == "silent":
                await client.drain()
            if fault is not None and fault.kind == "unavailable":
                await self._refuse(client, lines, fault)
                return upstream
            if _header(lines, b"expect"):
                lines = _without(lines, b"expect")
                await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if fault is not None and fault.kind == "whole":
                lines = _without(lines, b"range")
            upstream = upstream or await self._connect()
            sent = _joined(lines)
            self.counters.bytes_to_store += len(sent)
            await upstream.send(sent)
            await self._relay(client, upstream, lines, None, to_store=True)
            answer = await upstream.head()
            if not answer:
                raise _EndError
            if fault is not None and fault.kind == "lost":
                client.reset()
                raise _EndError
            await asyncio.sleep(self.latency_seconds - (self._loop.time() - began))
            stays = await self._answer(client, upstream, method, answer, fault)
            if not stays:
                upstream.close()
                upstream = None
        except BaseException:
            if upstream is not None:
                upstream.close()
            raise
        finally:
            self._under_way -= 1
        return upstream

    async def _answer(self, client: _Peer, upstream: _Peer, method: str, head: bytes, fault: Fault | None) -> bool:
        """Forward an answer. Returns whether the server keeps its connection."""
        lines = head[:-4].split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        if status >= 400:
            self.counters.refusals += 1
        stays = (_header(lines, b"connection") or b"").lower() != b"close"
        length = _header(lines, b"content-length")
        is_chunked = b"chunked" in (_header(lines, b"transfer-encoding") or b"").lower()
        if fault is not None and fault.kind == "etag":
            lines = [b'ETag: "another"' if line.lower().startswith(b"etag:") else line for line in lines]
        if fault is not None and fault.kind == "length" and length is not None:
            lines = _without(lines, b"content-length")
            lines.append(b"Content-Length: %d" % (int(length) + fault.more))
        if not stays and length is not None:
            lines = _without(lines, b"connection")
        has_body = method != "HEAD" and status not in (204, 304)
        answer = _joined(lines)
        self.counters.bytes_from_store += len(answer)
        await client.send(answer)
        if not has_body:
            return stays
        if length is None and not is_chunked:
            await self._relay_until_end(client, upstream)
            raise _EndError
        await self._relay(client, upstream, head[:-4].split(b"\r\n"), fault, to_store=False)
        if fault is not None and fault.kind == "length":
            raise _EndError
        return stays

    async def _relay(
        self, client: _Peer, upstream: _Peer, lines: list[bytes], fault: Fault | None, *, to_store: bool
    ) -> None:
        """Forward the body that a head announces."""
        source, target = (client, upstream) if to_store else (upstream, client)
        if b"chunked" in (_header(lines, b"transfer-encoding") or b"").lower():
            size = -1
            while size != 0:
                line = await source.line()
                size = int(line.split(b";")[0], 16)
                await target.send(line)
                await self._relay_bytes(source, target, size + 2, to_store=to_store)
            return
        length = int(_header(lines, b"content-length") or 0)
        if fault is not None and fault.kind in ("cut", "reset", "stall"):
            await self._relay_bytes(source, target, min(fault.after, length), to_store=to_store)
            if fault.kind == "reset":
                target.reset()
            if fault.kind == "stall":
                await target.drain()
            raise _EndError
        await self._relay_bytes(source, target, length, to_store=to_store)

    async def _relay_bytes(self, source: _Peer, target: _Peer, count: int, *, to_store: bool) -> None:
        while count > 0:
            some = await source.some(min(count, self._link.step))
            count -= len(some)
            if to_store:
                self.counters.bytes_to_store += len(some)
            else:
                self.counters.bytes_from_store += len(some)
            await self._link.take(len(some), self._loop)
            await target.send(some)

    async def _relay_until_end(self, client: _Peer, upstream: _Peer) -> None:
        with contextlib.suppress(_EndError):
            while True:
                await self._relay_bytes(upstream, client, 1, to_store=False)

    async def _connect(self) -> _Peer:
        upstream = socket.socket()
        upstream.setblocking(False)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(upstream, self.upstream)
        except BaseException:
            upstream.close()
            raise
        return _Peer(upstream, self._loop)

    async def _refuse(self, client: _Peer, lines: list[bytes], fault: Fault) -> None:
        """503 without asking the server; what the client sends is read, so that the connection goes on."""
        left = int(_header(lines, b"content-length") or 0)
        while left > 0:
            left -= len(await client.some(min(left, _CHUNK)))
        await asyncio.sleep(self.latency_seconds)
        again = b"" if fault.retry_after is None else b"Retry-After: %d\r\n" % fault.retry_after
        answer = b"HTTP/1.1 503 Service Unavailable\r\n%bContent-Length: 0\r\n\r\n" % again
        self.counters.refusals += 1
        self.counters.bytes_from_store += len(answer)
        await client.send(answer)

    async def _say_counters(self, client: _Peer, method: str) -> None:
        content = json.dumps(dataclasses.asdict(self.counters)).encode()
        if method == "POST":
            self.reset_counters()
        await client.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(content), content)
        )

    def _count(self, request: Request) -> None:
        counters = self.counters
        counters.requests += 1
        counters.ranges += request.range is not None
        counters.by_method[request.method] = counters.by_method.get(request.method, 0) + 1

    def _fault(self, request: Request) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.left > 0 and rule.when(request):
                    rule.left -= 1
                    return rule.fault
        return None


class _Link:
    """The line that all connections share."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free = 0.0
        self.step = _CHUNK if bytes_per_second is None else max(1, min(_CHUNK, int(bytes_per_second * _STEP_SECONDS)))

    async def take(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until so many bytes are through."""
        if self._rate is None:
            return
        now = loop.time()
        self._free = max(self._free, now - _CATCH_UP_SECONDS) + count / self._rate
        if self._free - now > _STEP_SECONDS:
            await asyncio.sleep(self._free - now)


class _Peer:
    """A connection, read into one buffer: asyncio's streams would copy every byte twice."""

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._loop = connection, loop
        self._early = b""  # read with a head, and not yet asked for
        self._buffer = memoryview(bytearray(_CHUNK))

    async def head(self) -> bytes:
        """The head of a message with its empty line; nothing at the end of the connection."""
        return await self._until(b"\r\n\r\n")

    async def line(self) -> bytes:
        line = await self._until(b"\r\n")
        if not line:
            raise _EndError
        return line

    async def _until(self, end: bytes) -> bytes:
        while (found := self._early.find(end)) < 0:
            more = await self._loop.sock_recv(self._socket, 65536)
            if not more:
                return b""
            self._early += more
        found += len(end)
        head, self._early = self._early[:found], self._early[found:]
        return head

    async def some(self, limit: int) -> bytes | memoryview:
        """Bytes as they come, at most `limit` and at least one; they are good until the next call."""
        if self._early:
            some, self._early = self._early[:limit], self._early[limit:]
            return some
        count = await self._loop.sock_recv_into(self._socket, self._buffer[:limit])
        if count == 0:
            raise _EndError
        return self._buffer[:count]

    async def send(self, content: bytes | memoryview) -> None:
        await self._loop.sock_sendall(self._socket, content)

    async def drain(self) -> NoReturn:
        """Read what comes and say nothing, until the other side goes."""
        while True:
            await self.some(_CHUNK)

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self._socket.close()


def _header(lines: list[bytes], name: bytes) -> bytes | None:
    start = name + b":"
    return next((line[len(start) :].strip() for line in lines if line[: len(start)].lower() == start), None)


def _without(lines: list[bytes], name: bytes) -> list[bytes]:
    return [line for line in lines if not line.lower().startswith(name + b":")]


def _joined(lines: list[bytes]) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n"


def main() -> None:
    """Forward until the process is ended."""
    parser = argparse.ArgumentParser(description="a slow network in front of an HTTP server")
    parser.add_argument("--upstream", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--megabytes-per-second", type=float)
    arguments = parser.parse_args()
    host, _, port = arguments.upstream.rpartition(":")
    rate = arguments.megabytes_per_second
    with Proxy(
        int(port),
        upstream_host=host,
        port=arguments.port,
        latency_seconds=arguments.latency_ms / 1e3,
        bytes_per_second=None if rate is None else rate * 1e6,
    ) as proxy:
        print(proxy.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
