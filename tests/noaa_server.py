"""A server like NOAA's on this machine: files with inventories, ranges, and everything that goes wrong with them."""

from __future__ import annotations

import dataclasses
import email.utils
import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from forecasts.noaa import Product, Source
from tests import gribs

_SLOW_PIECES = 10
CYCLE = "2026072400"  # that of `gribs.RUN`


class Bytes(Protocol):
    """What is served of a file: `bytes`, or whatever can be measured and cut like them."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


Content = Callable[[str], Bytes | None]  # the file of a path, None where there is none


@dataclass
class Fault:
    """What goes wrong with the next `times` answers whose path matches `path`, only for ranges if `ranges`.

    `kind`: `cut` and `reset` break the body in its middle, `short` and `long` send another length than was asked for,
    `shifted` other bytes, `whole` ignores the range, `busy` is 503 with `retry_after`, `moved` 302 to another page,
    `missing` 404, `silent` sends nothing for `seconds`, `slow` takes as
    long for the body, `damaged` has a wrong byte, `replaced` has
    a new ETag from now on.
    """

    kind: str
    path: str = ""
    times: int = 1
    ranges: bool = True
    retry_after: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request as it was answered; `sent` counts the bytes of the body."""

    method: str
    path: str
    range: tuple[int, int] | None
    status: int
    sent: int
    moment: float


class NoaaServer:
    """Serves `content` at `base`; a context manager."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.files: dict[str, bytes] = {}
        self.generation: dict[str, int] = {}
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.noaa = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def source(self) -> Source:
        return Source("aws", self.base, connections=4, gap_bytes=64)

    def __enter__(self) -> NoaaServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, kind: str, path: str = "", **more: Any) -> None:
        self.faults.append(Fault(kind, path, **more))

    def take_fault(self, path: str, is_range: bool) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.path, path) and (is_range or not fault.ranges):
                    fault.times -= 1
                    return fault
        return None

    def ranges(self, path: str) -> list[tuple[int, int]]:
        """The ranges that were asked of files whose path matches."""
        return [asked.range for asked in self.asked if asked.range is not None and re.search(path, asked.path)]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    noaa: NoaaServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here on purpose."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Not on the terminal of the tests."""

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def _answer(self, method: str) -> None:
        noaa, path = self.server.noaa, self.path
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        fault = noaa.take_fault(path, wanted is not None)
        kind = fault.kind if fault else ""
        if kind == "replaced":
            noaa.generation[path] = noaa.generation.get(path, 0) + 1
        if fault and kind == "silent":
            time.sleep(fault.seconds)
        content = None if kind == "missing" else noaa.content(path)
        etag = f'"{path}-{noaa.generation.get(path, 0)}"'
        headers = {"ETag": etag, "Last-Modified": email.utils.formatdate(1.8e9 + noaa.generation.get(path, 0))}
        if fault and kind == "busy":
            status, body, headers = 503, b"slow down", {"Retry-After": fault.retry_after} if fault.retry_after else {}
        elif kind == "moved":
            status, body, headers = 302, b"", {"Location": "/abuse.html"}
        elif content is None:
            status, body, headers = 404, b"no such file", {}
        elif self.headers.get("If-Match", etag) != etag:
            status, body = 412, b"another file"
        elif wanted and kind != "whole":
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            status, body = 206, content[first : last + 1]
            shift = 16 if kind == "shifted" else 0
            headers["Content-Range"] = f"bytes {first + shift}-{last + shift}/{len(content)}"
        elif method == "HEAD":
            status, body = 200, b""
            headers["Content-Length"] = str(len(content))
        else:
            status, body = 200, content[: len(content)]
        if kind in _SPOILED:
            body = _SPOILED[kind](body)
        sent = 0 if method == "HEAD" else len(body) // 2 if kind in ("cut", "reset") else len(body)
        span = (int(wanted[1]), int(wanted[2]) + 1) if wanted else None
        with noaa.lock:
            noaa.asked.append(Asked(method, path, span, status, sent, time.monotonic()))
        self._send(method, status, headers, body, fault)

    def _send(self, method: str, status: int, headers: dict[str, str], body: bytes, fault: Fault | None) -> None:
        kind, seconds = (fault.kind, fault.seconds) if fault else ("", 0.0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if method == "HEAD":
            return
        if kind in ("cut", "reset"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "reset":
                # Closing with this option sends a reset in the place of an orderly end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        pieces = _SLOW_PIECES if kind == "slow" else 1
        for i in range(pieces):
            time.sleep(seconds / pieces if kind == "slow" else 0.0)
            self.wfile.write(body[len(body) * i // pieces : len(body) * (i + 1) // pieces])


def _damaged(body: bytes) -> bytes:
    """`body` with a wrong byte in the length of its first message: damage of values cannot be seen in GRIB2."""
    return body[:14] + bytes((body[14] ^ 1,)) + body[15:]


_SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda body: body[:-7],
    "long": lambda body: body + b"surplus",
    "damaged": _damaged,
}


# --- A small cycle

LEVELS_A, LEVELS_B = (10.0, 250.0, 400.0, 1000.0), (20.0, 650.0)
SMALL_FULL = Product(
    "full", ("pgrb2a", "pgrb2b"), tuple(sorted(LEVELS_A + LEVELS_B)), (0, 3, 6), has_height=True, stride=1, rows=13,
    columns=24,
)  # fmt: skip
SMALL_CLASSIC = Product("classic", ("pgrb2b",), LEVELS_B, (0, 6), has_height=False, stride=2, rows=13, columns=24)


def inventory(parts: Iterable[tuple[str, bytes]], cycle: str = CYCLE, member: int = 0) -> bytes:
    """The inventory of messages that are called `VAR:level:step`."""
    lines, start = [], 0
    who = f"ENS=+{member}" if member else "ENS=low-res ctl"
    for number, (name, content) in enumerate(parts, 1):
        lines.append(f"{number}:{start}:d={cycle}:{name}:{who}\n")
        start += len(content)
    return "".join(lines).encode()


def parts_of(kind: str, member: int, step: int, **changes: Any) -> list[tuple[str, bytes]]:
    """The messages of a small file, each with its name, as the real files have them: ours and others between."""
    when = f"{step} hour fcst" if step else "anl"
    spec = gribs.Spec(step_hours=step, member=member, packing=gribs.SPATIAL, **changes)

    def one(variable: str, level: float, **more: Any) -> bytes:
        return gribs.message(dataclasses.replace(spec, variable=variable, level=level, **more))

    noise = np.full((spec.rows, spec.columns), 99.0)
    parts = []
    if kind == "pgrb2b":
        elsewhere = one("UGRD", 650, values=noise, keys={"typeOfFirstFixedSurface": 105})
        parts += [("PRES:mean sea level:" + when, one("TMP", 1000)), ("UGRD:1 hybrid level:" + when, elsewhere)]
    for level in LEVELS_A if kind == "pgrb2a" else (*LEVELS_B, 400.0):
        if (kind, level) != ("pgrb2a", 400.0):
            parts.append((f"HGT:{level:g} mb:{when}", one("HGT", level)))
        parts.append((f"TMP:{level:g} mb:{when}", one("TMP", level)))
        if (kind, level) != ("pgrb2b", 400.0):
            parts += [(f"{variable}:{level:g} mb:{when}", one(variable, level)) for variable in ("UGRD", "VGRD")]
    average = {"productDefinitionTemplateNumber": 11, "typeOfStatisticalProcessing": 0}
    parts.append((f"UGRD:{parts_level(kind):g} mb:{step}-{step + 3} hour ave fcst", one("UGRD", 650, keys=average)))
    return parts


def parts_level(kind: str) -> float:
    return LEVELS_A[-1] if kind == "pgrb2a" else LEVELS_B[-1]


class Archive:
    """Files of a small cycle, encoded when they are first asked for. `files` may be changed by tests."""

    def __init__(self, steps: Iterable[int] = (0, 3, 6), members: Iterable[int] = (0, 1, 2)) -> None:
        self.files: dict[str, bytes] = {}
        source = Source("aws", "", 1, 0)
        for member in members:
            for step in steps:
                for kind in ("pgrb2a", "pgrb2b"):
                    parts = parts_of(kind, member, step)
                    path = source.address(CYCLE, member, step, kind)
                    self.files[path] = b"".join(content for _, content in parts)
                    self.files[path + ".idx"] = inventory(parts, CYCLE, member)

    def __call__(self, path: str) -> bytes | None:
        return self.files.get(path)


def path(kind: str, member: int, step: int) -> str:
    """The path of a file of the small cycle."""
    return Source("aws", "", 1, 0).address(CYCLE, member, step, kind)
