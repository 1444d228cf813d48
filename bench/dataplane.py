"""The service on a bucket behind a network: an S3 server, a proxy of 50 ms and 100 MB/s, and an empty cache."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import cycles, flights
from bench.service import ROOT, Server, ensemble_path, free_port, request_path
from bench.table import Row
from habsim.classes import Simulator
from habsim.profiles import PROFILES
from simulate import MemberSimulator
from store import resident
from store.bucket import LocalBucket
from store.manifest import wind_file_name
from store.ranges import RangeReader
from windfile import WindFile

LATENCY_MS, MEGABYTES_PER_SECOND = 50, 100
RUNS = 5
KEY, SECRET = "bench", "benchmark-secret"
BUCKET = "winds"


def rows(data_dir: Path) -> Iterator[Row]:
    if not Path(sys.executable).with_name("rclone").exists():
        yield Row("skipped: rclone, which serves the bucket, is not installed", "")
        return
    folder = data_dir / "bench"
    for kind, seconds, megabytes in ((cycles.CLASSIC, 3, 60), (cycles.FULL, 6, 200)):
        files, told = cycles.bucket(folder, kind)
        yield Row(f"{kind.name}: {told}", "")
        with (
            tempfile.TemporaryDirectory(prefix="habsim-bench-") as temporary,
            _store(files.root, Path(temporary)) as network,
        ):
            for what, path, asked in (
                ("/sim/spaceshot, 441 landings", ensemble_path(0), f"<= {seconds} s, <= {megabytes} MB"),
                ("/sim/singlezpb", request_path(0), "<= 0.8 s"),
            ):
                took, moved = network.first(path, data_dir, Path(temporary), RUNS)
                yield Row(f"{kind.name}: first {what}, empty cache", f"{took:.2f} s, {moved:.1f} MB", asked)
    ratio, told = _partly_resident(data_dir)
    yield Row(f"flights on partly resident files against whole ones, warm, {told}", f"{ratio:.3f} x", "<= 1.1 x")


class _Network:
    """An S3 server behind a proxy, which listens at `port`."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def first(self, path: str, data_dir: Path, folder: Path, runs: int) -> tuple[float, float]:
        """Median seconds to the first answer of a service with an empty cache, and MB moved for it."""
        seconds, megabytes = [], []
        for _ in range(runs):
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                server = Server(None, data_dir / "elevation.npz", Path(temporary), self._settings())
                try:
                    urllib.request.urlopen(f"{self._address}/-/counters", data=b"").close()
                    began = time.perf_counter()
                    urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=120).read()
                    seconds.append(time.perf_counter() - began)
                    with urllib.request.urlopen(f"{self._address}/-/counters") as answer:
                        megabytes.append(json.load(answer)["bytes_from_store"] / 1e6)
                finally:
                    server.stop()
        return statistics.median(seconds), statistics.median(megabytes)

    def _settings(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT_URL": self._address,
            "S3_BUCKET_NAME": BUCKET,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "HABSIM_PREFETCH": "off",
        }


@contextlib.contextmanager
def _store(files: Path, folder: Path) -> Iterator[_Network]:
    (folder / "root").mkdir()
    (folder / "root" / BUCKET).symlink_to(files.resolve())
    port, slow_port = free_port(), free_port()
    rclone = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--copy-links", "--etag-hash", ""]
    # Without ETags, which it computes by reading all files at each listing.
    rclone += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", str(folder / "root")]
    proxy = [sys.executable, "-m", "tests.proxy", "--upstream", f"127.0.0.1:{port}", "--port", str(slow_port)]
    proxy += ["--latency-ms", str(LATENCY_MS), "--megabytes-per-second", str(MEGABYTES_PER_SECOND)]
    with contextlib.ExitStack() as stack:
        for command, listens in ((rclone, port), (proxy, slow_port)):
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _wait_for(listens)
        yield _Network(slow_port)


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens at port {port}")


def _partly_resident(data_dir: Path) -> tuple[float, str]:
    """Time of an ensemble on files of which just its tiles are here, against that on the whole files."""
    files, _ = cycles.bucket(data_dir / "bench", cycles.CLASSIC)
    ground, _ = flights.elevation(data_dir)
    batch, profile = flights.ensemble(ground), PROFILES["zpb"]
    names = [wind_file_name(cycles.CYCLE, member) for member in range(cycles.MEMBERS)]
    whole = [Simulator(WindFile(files.local_path(name)).winds, ground) for name in names]
    with tempfile.TemporaryDirectory(prefix="habsim-bench-") as temporary:
        part = [_partly(files, Path(temporary), name) for name in names]
        partly = [MemberSimulator(file, ground) for file in part]
        ratios = []
        for simulator in partly:
            simulator.fly(batch, profile)
        for _ in range(200):
            took = []
            for simulators in (list[Simulator](partly), whole):
                began = time.perf_counter()
                for each in simulators:
                    Simulator.fly(each, batch, profile)
                took.append(time.perf_counter() - began)
            ratios.append(took[0] / took[1])
        share = 1 - float(np.mean([len(file.missing()) / file.head.layout.tiles for file in part]))
    return statistics.median(ratios), f"{share:.1%} of the tiles"


def _partly(files: LocalBucket, folder: Path, name: str) -> resident.ResidentFile:
    reader = RangeReader(files)
    resident.create(folder, name, files.info(name), "", reader)
    return resident.ResidentFile(folder, name, reader, lambda: False)
