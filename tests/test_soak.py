"""Nothing leaks: files, threads and memory of the workers after many mixed requests are what they were."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from bench import load
from tests.asking import launch, single, spaceshot, tawhiri, url
from tests.serving import HOST, Server, open_files, private_mb, serving, threads, wait_until
from tests.worlds import CYCLE, START, make_bucket

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="looks at processes in /proc")

LATER = "2026111906"
POINT = {"lat": "10", "lon": "20", "alt": "1000", "timestamp": f"{START + 30000:.0f}"}


def mixed() -> Iterator[str]:
    """Addresses of all kinds, good and bad, without end; flights and ensembles never the same twice."""
    number = 0
    while True:
        number += 1
        place = {"timestamp": START + 30000, "lat": f"{number % 80}.{number % 997:03d}", "eqtime": 0}
        yield from (
            single(number % 2, **place),
            single(0, **place, format=("kml", "csv", "gpx", "geojson")[number % 4]),
            spaceshot(**place, num_perturbations=2, request_id=f"mixed-{number}"),
            f"/sim/progress?request_id=mixed-{number}",
            f"/sim/progress-stream?request_id=mixed-{number}",
            url("/sim/windensemble", POINT),
            url("/api/v1/", tawhiri(launch_datetime="2026-11-19T08:00:00Z")),
            single(99, **place),
            url("/sim/singlezpb", {**launch(), "model": "x", f"unknown-{number}": "1"}),
            f"/nowhere/{number}",
            ("/", "/docs", "/static/style.css", "/openapi.json", "/metrics", "/sim/status")[number % 6],
            "/sim/cache-status",
        )


@dataclass(frozen=True)
class Held:
    """What one worker holds."""

    files: int
    threads: int
    megabytes: float


def held(server: Server) -> dict[int, Held]:
    return {pid: Held(open_files(pid), threads(pid), private_mb(pid)) for pid in server.workers()}


def ask(server: Server, addresses: Iterator[str], count: int) -> None:
    """Ask on keep-alive connections; every answer is a whole one."""
    head = "HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    requests = [f"GET {address} {head}".encode() for address in islice(addresses, count)]
    result = load.run(HOST, server.port, requests, connections=6, count=count, limit_seconds=300.0)
    assert result.completed + result.errors == count
    bad = sum(any(word in request for word in (b"/nowhere", b"unknown-", b"model=99")) for request in requests)
    # Progress may be asked for before its ensemble begins, and by more clients than a worker has streams.
    early = sum(b"/sim/progress" in request for request in requests)
    assert bad <= result.errors <= bad + early


def settle(server: Server, before: dict[int, Held], megabytes: float) -> None:
    """Wait until the workers hold no more than before, and no more threads than their pools may have."""
    most = 8 + (os.cpu_count() or 1) + 1

    def settled() -> bool:
        now = held(server)
        return now.keys() == before.keys() and all(
            now[pid].files <= before[pid].files and now[pid].threads <= max(before[pid].threads, most) for pid in now
        )

    wait_until(settled, f"files and threads are as before, {before}, and not {held(server)}", server, 30.0)
    grown = {pid: now.megabytes - before[pid].megabytes for pid, now in held(server).items()}
    assert max(grown.values()) < megabytes, grown


@pytest.fixture(autouse=True)
def long_runs_only_when_asked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("soak") and "soak" not in request.config.getoption("markexpr"):
        pytest.skip("a long run; `make soak` starts it")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    make_bucket(tmp_path / "bucket", members=2, cycle=CYCLE)
    with serving(tmp_path, HABSIM_CACHE_PREDICTIONS="20", HABSIM_REFRESH_SECONDS="5") as running:
        yield running


def test_2000_mixed_requests_leave_nothing_behind(server: Server) -> None:
    addresses = mixed()
    ask(server, addresses, 960)
    before = held(server)
    ask(server, addresses, 2000)
    settle(server, before, megabytes=8.0)
    kept = [folder for folder in ("results", "progress", "locks") for _ in (server.data / folder).iterdir()]
    assert kept.count("results") <= 20
    assert kept.count("locks") < 10


@pytest.mark.soak
def test_minutes_of_mixed_requests_and_changing_cycles_leave_nothing_behind(server: Server) -> None:
    addresses = mixed()
    ask(server, addresses, 2400)
    before = held(server)
    deadline = time.monotonic() + 300.0
    rounds = 0
    while time.monotonic() < deadline:
        rounds += 1
        cycle = (LATER, CYCLE)[rounds % 2]
        make_bucket(server.bucket, members=2, cycle=cycle)
        assert server.get("/sim/refresh").json["gefs"] == cycle
        ask(server, addresses, 2400)
        settle(server, before, megabytes=20.0)
    assert rounds > 3


@pytest.mark.soak
def test_clients_that_never_finish_their_request_do_not_hold_the_service(server: Server) -> None:
    """More of them than there are threads; each is dropped after some seconds without a byte."""
    silent = [server.connect() for _ in range(40)]
    for connection in silent:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost:")
    assert server.get("/health", timeout=80).status == 200
    for connection in silent:
        connection.close()
