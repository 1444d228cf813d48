"""Chunks on a Dask cluster: the same results as on this machine, and clear words where there is none."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from habsim.errors import UnavailableError
from missions.cluster import DaskCores, open_cores, orchestrator_for
from missions.jobs import Queue
from missions.jobtypes import JOB_TYPES
from missions.opening import open_missions
from missions.running import Runner, Running
from missions.simulations import NewSimulation
from settings import Settings
from tests.faults import ROOT, wait_until
from tests.missions.backends import CONFIG, SECRET, signed_in
from tests.missions.jobs_for_tests import TYPES
from tests.missions.test_worker import working
from tests.serving import _OWN
from tests.worlds import make_bucket, make_settings

pytest.importorskip("distributed", reason="Dask is not installed: pip install -r requirements-dask.txt")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_bucket(tmp_path / "bucket", members=2)
    address = f"tcp://127.0.0.1:{free_port()}"
    return make_settings(tmp_path, bucket_folder=tmp_path / "bucket", dask_scheduler=address)


class Cluster:
    """A scheduler and a worker, each a process with settings from its own environment."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._address, self._folder = str(settings.dask_scheduler), folder
        own = {
            "HABSIM_DATA_DIR": str(folder / "data of the cluster"),
            "HABSIM_BUCKET_DIR": str(settings.bucket_dir),
            "HABSIM_ELEVATION": str(settings.elevation),
            "PYTHONPATH": str(ROOT),
        }
        (folder / "data of the cluster").mkdir()
        self._environment = {**{n: v for n, v in os.environ.items() if not n.startswith(_OWN)}, **own}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()
        self.worker = self.start_worker()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        port = self._address.rpartition(":")[2]
        self.scheduler, _ = self._started("dask_scheduler", "--host", "127.0.0.1", "--port", port)
        return self.scheduler

    def start_worker(self) -> subprocess.Popen[bytes]:
        self.worker, log = self._started("dask_worker", self._address, "--nthreads", "2", "--no-nanny")
        wait_until(lambda: b"Registered to" in log.read_bytes(), "the cluster is up")
        return self.worker

    def _started(self, program: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"dask-{len(self.processes)}.log"
        command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments, "--no-dashboard"]
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=file, stderr=file)
        self.processes.append(process)
        return process, log

    def kill(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(settings, tmp_path)
    try:
        yield made
    finally:
        made.kill(*made.processes)


def test_jobs_are_computed_there(settings: Settings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOB_TYPES, "reverse", TYPES["reverse"])
    missions = open_missions(settings, SECRET)
    ann = signed_in(missions, "ann")
    queue = Queue(missions.database, settings, "one")
    orchestrator = orchestrator_for(settings)
    cores = open_cores(settings, orchestrator)
    assert isinstance(cores, DaskCores)
    assert cores.at_once() == 4
    runner = Runner(queue, missions.results, TYPES, orchestrator, cores)

    def run(kind: str, lane: str, config: dict[str, Any]) -> tuple[str, str | None, bytes]:
        made = missions.simulations.submit(ann, NewSimulation(kind, config)).id
        job = queue.claim(lane)
        assert job is not None
        runner.run(Running(job, threading.Event()))
        row = missions.simulations.get(ann, made)
        return row.status, row.error, missions.simulations.result(ann, made) if row.status == "completed" else b""

    status, error, packed = run("forward", "forward", CONFIG)
    assert (status, error) == ("completed", None)
    plan = JOB_TYPES["forward"].plan(CONFIG, orchestrator)
    assert gzip.decompress(packed) == JOB_TYPES["forward"].run_chunk(plan, orchestrator)
    status, _, packed = run("reverse", "reverse", {"chunks": 9})
    found = json.loads(gzip.decompress(packed))
    assert found["sums"] == list(range(9))
    assert found["pids"] == [cluster.worker.pid]
    assert run("reverse", "reverse", {"chunks": 2, "wrong": "final"})[:2] == ("failed", "it cannot be done")
    assert run("reverse", "reverse", {"chunks": 2, "wrong": "bug"})[0] == "failed"
    status, error, _ = run("reverse", "reverse", {"chunks": 1, "seconds": 0.0, "wrong": "passing", "until": "/nowhere"})
    assert (status, error) == ("pending", "the store is down")
    cores.close()
    missions.database.close()


def test_jobs_wait_while_the_cluster_is_away_and_go_on_when_it_is_back(
    settings: Settings, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOB_TYPES, "reverse", TYPES["reverse"])
    missions = open_missions(settings, SECRET)
    ann = signed_in(missions, "ann")
    search = missions.simulations.submit(ann, NewSimulation("reverse", {"chunks": 60, "seconds": 0.2})).id

    def row() -> Any:
        return missions.simulations.get(ann, search)

    with working(settings, tmp_path, HABSIM_DASK_SCHEDULER=str(settings.dask_scheduler)) as (worker,):
        wait_until(lambda: row().progress > 0, "it has begun")
        cluster.kill(cluster.worker)
        wait_until(lambda: row().status == "pending", "it waits for a worker of the cluster")
        assert "Dask" in row().error
        reached = row().progress
        cluster.start_worker()
        wait_until(lambda: row().progress > reached, "it goes on")
        cluster.kill(cluster.scheduler, cluster.worker)
        wait_until(lambda: row().status == "pending", "it waits for the scheduler")
        flight = missions.simulations.submit(ann, NewSimulation("forward", CONFIG)).id
        wait_until(lambda: "claimed: there is no Dask scheduler" in worker.log.read_text(), "the client has given up")
        assert missions.simulations.get(ann, flight).status == "pending"
        assert missions.simulations.get(ann, flight).attempts == 0
        cluster.start_scheduler()
        cluster.start_worker()
        both = (search, flight)
        wait_until(
            lambda: {missions.simulations.get(ann, made).status for made in both} == {"completed"}, "all is done"
        )
    found = json.loads(gzip.decompress(missions.simulations.result(ann, search)))
    assert found["sums"] == list(range(60))
    assert missions.simulations.get(ann, flight).attempts == 1
    missions.database.close()


def test_the_scheduler_is_asked_now_and_then_and_may_be_slow(
    settings: Settings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = DaskCores(str(settings.dask_scheduler), wait_seconds=0.5)
    asked = []

    def counted(*arguments: Any, **more: Any) -> Any:
        asked.append(1)
        return sync(*arguments, **more)

    sync = cores._client.sync
    monkeypatch.setattr(cores._client, "sync", counted)
    monkeypatch.setattr("missions.cluster._ASK_SECONDS", 3600.0)
    assert {cores.at_once() for _ in range(100)} == {4}
    assert len(asked) == 1
    monkeypatch.setattr("missions.cluster._ASK_SECONDS", 0.0)
    os.kill(cluster.scheduler.pid, signal.SIGSTOP)
    try:
        assert cores.at_once() == 4
        assert len(asked) == 2
        monkeypatch.setattr("missions.cluster._TRUST_SECONDS", 0.0)
        with pytest.raises(UnavailableError, match="does not answer"):
            cores.at_once()
    finally:
        os.kill(cluster.scheduler.pid, signal.SIGCONT)
    cores._wait_seconds = 60.0
    assert cores.at_once() == 4
    cores.close()


def test_without_a_cluster_the_worker_says_so(settings: Settings) -> None:
    with pytest.raises(UnavailableError, match="there is no Dask scheduler at tcp://127"):
        DaskCores(str(settings.dask_scheduler), wait_seconds=0.5)
