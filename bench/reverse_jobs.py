"""Searches as jobs: from the request that submits one to the answer with its result, over HTTP."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import cycles
from bench.service import ROOT, Server
from bench.table import Row

RUNS = 7
_LOOK_SECONDS = 0.01
_LONGEST_SECONDS = 300.0
_API = "/api/v1"
# The searches of `bench.reverse`: 100 km about (45, 1) on a 10 km grid, 7 days every 6 h.
SEARCH: dict[str, Any] = {
    "target": {"lat": 45.0, "lon": 2.5, "radius": 20_000},
    "area": {"lat": 45.0, "lon": 1.0, "radius": 100_000, "spacing": 10_000},
    "mission": "launch_window",
    "window": {"from": "2026-11-19T00:00:00Z", "to": "2026-11-26T00:00:00Z"},
    "balloons": [{"name": "30 km", "profile": "standard", "asc": 5, "desc": 7, "equil": 30_000, "eqtime": 0}],
}


class _Client:
    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}{_API}"
        self._headers = {"Content-Type": "application/json"}
        self.ask("POST", "/auth/register", {"username": "bench", "email": "b@example.org", "password": "up-and-away"})
        token = self.ask("POST", "/auth/login", {"username": "bench", "password": "up-and-away"})["token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def search(self, body: Any) -> tuple[float, Any]:
        """Seconds from the submission to the result, and the result."""
        began = time.perf_counter()
        simulation = self.ask("POST", "/reverse/plan", body)["id"]
        while (status := self.ask("GET", f"/simulations/{simulation}")["status"]) in {"pending", "processing"}:
            if time.perf_counter() - began > _LONGEST_SECONDS:
                raise SystemExit(f"the search is {status} after {_LONGEST_SECONDS:.0f} s")
            time.sleep(_LOOK_SECONDS)
        result = self.ask("GET", f"/reverse/plan/{simulation}/results")
        return time.perf_counter() - began, result


def rows(bucket: Path, elevation: Path) -> Iterator[Row]:
    """`bucket` holds the classic cycle of `bench.cycles`."""
    with tempfile.TemporaryDirectory(prefix="habsim-bench-") as name:
        folder = Path(name)
        server = Server(bucket, elevation, folder)
        environment = {
            **os.environ,
            "HABSIM_DATA_DIR": str(folder),
            "HABSIM_BUCKET_DIR": str(bucket),
            "HABSIM_ELEVATION": str(elevation),
        }
        worker = None
        try:
            with (folder / "worker.log").open("wb") as log:
                command = [sys.executable, "worker.py"]
                worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            yield from _measured(_Client(server.port))
        finally:
            if worker is not None:
                worker.terminate()
                worker.wait()
            server.stop()


def _measured(client: _Client) -> Iterator[Row]:
    for how, changes, asked in (
        ("refined", {"members": [0]}, "<= 2 s"),
        (f"{cycles.MEMBERS} members, refined", {}, "<= 20 s"),
        (f"{cycles.MEMBERS} members", {"refine": False}, "<= 20 s"),
    ):
        body = {**SEARCH, **changes}
        taken = []
        for _ in range(RUNS + 1):  # the first opens the wind files
            seconds, found = client.search(body)
            taken.append(seconds)
        what = f"submitted as a job, until its result is here: {found['flights']['asked']:,} flights, {how}"
        yield Row(what, f"{statistics.median(taken[1:]):.2f} s", asked)
