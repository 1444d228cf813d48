"""Accounts, jobs and history over HTTP on loopback: gunicorn and workers on SQLite, in folders of their own."""

from __future__ import annotations

import functools
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.service import DEMO_NOW, ROOT, Server
from bench.table import Row
from missions.accounts import NewAccount, Viewer
from missions.models import Simulation
from missions.opening import Missions, open_missions
from missions.simulations import NewSimulation
from scripts import demo_cycle
from settings import Settings

PASSWORD = "up-and-away"
ROWS = 100_000
_SECRET = "only for this benchmark, and longer than 32 bytes"
CONFIG: dict[str, Any] = {
    "timestamp": DEMO_NOW + 40_000.0, "lat": 37.0, "lon": -121.8763, "alt": 24.0, "equil": 30000.0, "eqtime": 0.0,
    "asc": 4.0, "desc": 8.0, "model": 0,
}  # fmt: skip
_LIMIT_SECONDS = 600.0


@dataclass(frozen=True)
class Winds:
    """What workers fly on."""

    bucket: Path
    elevation: Path


@dataclass(frozen=True)
class Drain:
    """So many forward jobs, by so many workers, one of which is killed every so often."""

    jobs: int
    workers: int
    kill_every_seconds: float | None = None


@dataclass(frozen=True)
class Drained:
    """What came of it: jobs by their status, workers killed, and how long it took."""

    statuses: dict[str, int]
    kills: int
    seconds: float


def rows(data_dir: Path) -> Iterator[Row]:
    winds = Winds(data_dir / "bench" / "demo", data_dir / "elevation.npz")
    if not winds.elevation.exists():
        yield Row("skipped: there is no ground elevation; `make setup` makes it", "")
        return
    demo_cycle.make_if_needed(winds.bucket, DEMO_NOW)
    with tempfile.TemporaryDirectory(prefix="habsim-bench-") as temporary:
        yield from _over_http(winds, Path(temporary))
    for drain in (Drain(1000, 1), Drain(1000, 3), Drain(1000, 3, 1.0)):
        with tempfile.TemporaryDirectory(prefix="habsim-bench-") as temporary:
            told = drained(Path(temporary), winds, drain)
        killed = f", {told.kills} killed, one a second" if drain.kill_every_seconds else ""
        what = f"{drain.jobs:,} forward jobs, {drain.workers} worker{'s' * (drain.workers > 1)}{killed}"
        lost = drain.jobs - told.statuses.get("completed", 0)
        yield Row(what, f"{told.seconds:.1f} s, {lost} lost", "none lost")


def _over_http(winds: Winds, folder: Path) -> Iterator[Row]:
    server = Server(winds.bucket, winds.elevation, folder, {"SECRET_KEY": _SECRET})
    worker = _worker(folder, winds)
    try:
        missions = open_missions(Settings(HABSIM_DATA_DIR=folder), _SECRET)
        client = _Client(server.port)
        missions.accounts.register(NewAccount("ann", "ann@example.org", PASSWORD))
        signed_in = [client.ask("POST", "auth/login", {"username": "ann", "password": PASSWORD}) for _ in range(3)]
        client.token = signed_in[0][1]["token"]
        logins = _times(20, lambda _: client.ask("POST", "auth/login", {"username": "ann", "password": PASSWORD}))
        yield Row("login, p50 / max", _p50_max(logins), "<= 300 ms")
        client.flown(0)
        flights = _times(50, client.flown)
        yield Row("submit to result of a forward job, p50 / max", _p50_max(flights), "<= 500 ms")
        yield from _lists(missions, client)
        missions.database.close()
    finally:
        worker.terminate()
        worker.wait()
        server.stop()


_PARTS = ("status=completed", "type=forward", "type=forward&status=failed", "page=400&per_page=100")


def _lists(missions: Missions, client: _Client) -> Iterator[Row]:
    ann = missions.accounts.login("ann", PASSWORD, "127.0.0.1")[0]
    club = missions.organizations.create("club", "").id
    missions.accounts.register(NewAccount("bob", "bob@example.org", PASSWORD))
    bob = missions.accounts.login("bob", PASSWORD, "127.0.0.1")[0]
    for viewer in (ann, bob):
        missions.accounts.change(viewer.id, {"organization_id": club})
    _fill(missions, ann, club)
    client.close()  # the service has by now
    names = {"of one's own": "ann", "half of them shared by another": "bob"}
    for name, username in names.items():
        client.token = client.ask("POST", "auth/login", {"username": username, "password": PASSWORD})[1]["token"]
        for path in ("simulations/", *(f"simulations/?{part}" for part in _PARTS)):
            times = _times(40, functools.partial(client.got, path))
            yield Row(f"GET {path}, {ROWS:,} rows, {name}, p50 / max", _p50_max(times), "<= 50 ms")
    client.token = client.ask("POST", "auth/login", {"username": "ann", "password": PASSWORD})[1]["token"]
    times = _times(5, lambda _: client.ask("GET", "history/stats"))
    yield Row(f"GET history/stats, {ROWS:,} rows, p50 / max", _p50_max(times))


def _fill(missions: Missions, viewer: Viewer, club: uuid.UUID) -> None:
    made = [
        {
            "id": uuid.uuid4(), "user_id": viewer.id, "organization_id": club if n % 2 else None, "type": "forward",
            "name": f"flight {n}", "description": "", "config": CONFIG, "status": "failed" if n % 10 == 0 else
            "completed", "progress": 100.0, "created": 1.7e9 + n, "ready": 1.7e9 + n, "started": 1.7e9 + n,
            "completed": 1.7e9 + n + 1, "computation_seconds": 0.01, "result_bytes": 4000, "lane": "forward",
            "attempts": 1, "fence": 1, "result": bytes(4000),
        }
        for n in range(ROWS)
    ]  # fmt: skip
    with missions.database.writing() as session:
        session.execute(insert(Simulation), made)


def drained(folder: Path, winds: Winds, drain: Drain, launch: dict[str, Any] | None = None) -> Drained:
    """Let workers compute forward jobs until none is left; `launch` changes where and when they begin."""
    config = {**CONFIG, **(launch or {})}
    missions = open_missions(Settings(HABSIM_DATA_DIR=folder), _SECRET)
    missions.accounts.register(NewAccount("ann", "ann@example.org", PASSWORD))
    ann = missions.accounts.login("ann", PASSWORD, "127.0.0.1")[0]
    for number in range(drain.jobs):
        moved = {**config, "timestamp": config["timestamp"] + number}
        missions.simulations.submit(ann, NewSimulation("forward", moved))
    workers = [_worker(folder, winds) for _ in range(drain.workers)]
    began = last_kill = time.monotonic()
    kills = 0
    try:
        while any(missions.queue.counts()[0]["forward"].values()):
            now = time.monotonic()
            if now - began > _LIMIT_SECONDS:
                break
            if drain.kill_every_seconds is not None and now - last_kill >= drain.kill_every_seconds:
                # One that has had its second: on a busy machine it takes longer than that to begin.
                last_kill = now
                victims = [worker for worker in workers if _is_up(folder, worker)]
                if victims:
                    victims[0].kill()
                    victims[0].wait()
                    workers.remove(victims[0])
                    workers.append(_worker(folder, winds))
                    kills += 1
            time.sleep(0.05)
        seconds = time.monotonic() - began
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    totals = missions.simulations.totals(ann, organization=False)
    missions.database.close()
    return Drained({status: count for (_, status), count in totals.by.items()}, kills, seconds)


def _worker(folder: Path, winds: Winds) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "HABSIM_DATA_DIR": str(folder),
        "HABSIM_BUCKET_DIR": str(winds.bucket),
        "HABSIM_ELEVATION": str(winds.elevation),
        "HABSIM_JOB_LEASE": "5",
    }
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "worker.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)


def _is_up(folder: Path, worker: subprocess.Popen[bytes]) -> bool:
    log = (folder / "worker.log").read_text()
    return f"-{worker.pid}-" in log and worker.poll() is None


class _Client:
    """Asks one service, on a connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        self._connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 400 and response.status != 409:
            raise SystemExit(f"{method} {path}: {response.status} {content[:300]!r}")
        return response.status, json.loads(content)

    def close(self) -> None:
        """The next request makes a new connection."""
        self._connection.close()

    def got(self, path: str, _number: int) -> None:
        self.ask("GET", path)

    def flown(self, number: int) -> None:
        """Submit a forward job, and ask for its result until it is there."""
        config = {**CONFIG, "lat": 37.0 + number / 100}
        simulation_id = self.ask("POST", "simulations/submit", {"type": "forward", "config": config})[1]["id"]
        while self.ask("GET", f"simulations/{simulation_id}/results")[0] != 200:
            time.sleep(0.01)


def _times(count: int, what: Callable[[int], object]) -> list[float]:
    times = []
    for number in range(count):
        began = time.perf_counter()
        what(number)
        times.append((time.perf_counter() - began) * 1e3)
    return times


def _p50_max(milliseconds: list[float]) -> str:
    return f"{statistics.median(milliseconds):.0f} / {max(milliseconds):.0f} ms"
