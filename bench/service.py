"""The service over HTTP on loopback: a gunicorn of two workers, started in folders of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from bench import cycles, load
from bench.table import Row
from scripts import demo_cycle
from store.manifest import cycle_start

WORKERS = 2
ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_SECONDS = 120.0
DEMO_NOW = cycle_start(cycles.CYCLE)  # any moment: the demo is made for it
LAUNCH = {"alt": 24, "equil": 30000, "eqtime": 0, "asc": 4, "desc": 8}


class Server:
    """A running service. `first_answer_seconds` is the time from its start to its first flight."""

    def __init__(
        self, bucket: Path | None, elevation: Path, folder: Path, settings: dict[str, str] | None = None
    ) -> None:
        """Serve the folder `bucket`, or what the `settings` name; `folder` takes the data."""
        self.port = free_port()
        environment = {
            **os.environ,
            "PORT": str(self.port),
            "HABSIM_WEB_WORKERS": str(WORKERS),
            "HABSIM_DATA_DIR": str(folder),
            "HABSIM_BUCKET_DIR": str(bucket or ""),
            "HABSIM_ELEVATION": str(elevation),
            "HABSIM_PASSWORD": "",
            **(settings or {}),
        }
        command = [sys.executable, "-m", "gunicorn", "--config", "gunicorn_config.py", "app:app"]
        self._log = (folder / "log").open("wb")
        began = time.perf_counter()
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)
        self._wait_for(request_path(0) if bucket is not None else "/health")
        self.first_answer_seconds = time.perf_counter() - began

    def _wait_for(self, path: str) -> None:
        limit = time.perf_counter() + START_LIMIT_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30).close()
                return
            except urllib.error.HTTPError as error:
                reason = error.read().decode()
            except OSError as error:
                reason = str(error)
            if self._process.poll() is not None or time.perf_counter() > limit:
                self.stop()
                raise SystemExit(f"the service does not answer: {reason}\n{Path(self._log.name).read_text()[-2000:]}")
            time.sleep(0.01)

    def load(self, paths: list[str], *, connections: int, count: int, seconds: float = 30.0) -> load.Result:
        """Ask for `paths` in turn, `count` times in all or as often as the time allows."""
        requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for path in paths]
        result = load.run("127.0.0.1", self.port, requests, connections, count, limit_seconds=seconds)
        if not result.completed:
            raise SystemExit(f"no answer to {paths[0]}\n{Path(self._log.name).read_text()[-2000:]}")
        if result.errors:
            print(f"  {result.errors} of {result.errors + result.completed} requests failed", flush=True)
        return result

    def private_megabytes(self) -> list[float]:
        """Memory of each worker that no other process shares, wind files and kernels included where it mapped them."""
        return [_private_bytes(pid) / 1e6 for pid in _children(self._process.pid)]

    def stop(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()
        self._log.close()


def rows(data_dir: Path) -> Iterator[Row]:
    folder = data_dir / "bench"
    elevation = data_dir / "elevation.npz"
    if not elevation.exists():
        yield Row("skipped: there is no ground elevation; `make setup` makes it", "")
        return
    files, told = cycles.bucket(folder, cycles.CLASSIC)
    demo_cycle.make_if_needed(folder / "demo", DEMO_NOW)
    for name, bucket in (("demo", folder / "demo"), ("classic", files.root)):
        with tempfile.TemporaryDirectory(prefix="habsim-bench-") as temporary:
            server = Server(bucket, elevation, Path(temporary))
            try:
                yield from _of_server(f"{name} files", server)
            finally:
                server.stop()
    yield Row("the classic files are", told)


def _of_server(name: str, server: Server) -> Iterator[Row]:
    yield Row(f"{name}: start to first flight answered", f"{server.first_answer_seconds:.2f} s", "<= 5 s")
    for first in range(900, 1000, 10):  # on connections of their own each time, so that both workers get some
        server.load([ensemble_path(n) for n in range(first, first + 10)], connections=2 * WORKERS, count=10)
    apart = server.load([ensemble_path(n) for n in range(100)], connections=1, count=100)
    yield Row(f"{name}: /sim/spaceshot, 441 landings, each request another, p50", _ms(apart.p50_ms), "<= 40 ms")
    yield Row(f"{name}: /sim/spaceshot, 441 landings, each request another, p99", _ms(apart.p99_ms))
    again = server.load([ensemble_path(0)], connections=1, count=200)
    yield Row(f"{name}: /sim/spaceshot, the same request again, p50", _ms(again.p50_ms))
    memory = ", ".join(f"{megabytes:.0f}" for megabytes in server.private_megabytes())
    yield Row(f"{name}: private memory of the workers, 21 members open", f"{memory} MB", "<= 300 MB each")
    for route, path, asked in (("/sim/singlezpb", request_path, 1500), ("/api/v1/", tawhiri_path, 1200)):
        paths = [path(n) for n in range(500)]
        server.load(paths, connections=4, count=1000)
        # Connections stay with the worker that took them, however unevenly: the median of three sets of them.
        runs = [server.load(paths, connections=4, count=6_000, seconds=8.0) for _ in range(3)]
        result = sorted(runs, key=lambda run: run.requests_per_second)[1]
        rate = f"{result.requests_per_second:,.0f}/s"
        yield Row(f"{name}: {route}, 4 connections, 2 workers", rate, f">= {asked:,}/s")
        latency = f"{result.p50_ms:.2f} / {result.p99_ms:.2f} ms"
        yield Row(f"{name}: {route}, p50 and p99", latency, "p99 <= 10 ms")
        yield Row(f"{name}: {route}, time of the client itself for a request", f"{result.client_cpu_us:.0f} us")


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms"


def _when(n: int) -> float:
    return DEMO_NOW + 40_000.0 + 60.0 * n


def ensemble_path(n: int) -> str:
    return f"/sim/spaceshot?{urlencode({'timestamp': _when(n), 'lat': 37.0 + n / 1000, 'lon': -121.8763, **LAUNCH})}"


def request_path(n: int) -> str:
    place = {"timestamp": _when(n), "lat": 30.0 + n / 50, "lon": -121.8763, "model": n % cycles.MEMBERS}
    return f"/sim/singlezpb?{urlencode({**place, **LAUNCH})}"


def tawhiri_path(n: int) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_when(n)))
    flight = {"ascent_rate": 5, "burst_altitude": 30000, "descent_rate": 5}
    place = {"launch_latitude": 30.0 + n / 50, "launch_longitude": 238.1237, "launch_datetime": moment}
    return f"/api/v1/?{urlencode({**place, **flight})}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
