"""Chunks on a Dask cluster: the same results as on this machine, and clear words where there is none."""

from __future__ import annotations

import gzip
import json
import os
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


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A scheduler and a worker, each a process with settings from its own environment."""
    address = str(settings.dask_scheduler)
    own = {
        "HABSIM_DATA_DIR": str(tmp_path / "data of the cluster"),
        "HABSIM_BUCKET_DIR": str(settings.bucket_dir),
        "HABSIM_ELEVATION": str(settings.elevation),
        "PYTHONPATH": str(ROOT),
    }
    (tmp_path / "data of the cluster").mkdir()
    environment = {**{n: v for n, v in os.environ.items() if not n.startswith(_OWN)}, **own}
    port = address.rpartition(":")[2]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
    commands = [[sys.executable, "-m", *arguments] for arguments in (scheduler, worker)]
    processes = []
    for number, command in enumerate(commands):
        with (tmp_path / f"dask-{number}.log").open("wb") as log:
            processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
    try:
        wait_until(lambda: b"Registered to" in (tmp_path / "dask-1.log").read_bytes(), "the cluster is up")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_jobs_are_computed_there(
    settings: Settings, cluster: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOB_TYPES, "reverse", TYPES["reverse"])
    missions = open_missions(settings, SECRET)
    ann = signed_in(missions, "ann")
    queue = Queue(missions.database, settings, "one")
    orchestrator = orchestrator_for(settings)
    cores = open_cores(settings, orchestrator)
    assert isinstance(cores, DaskCores)
    assert cores.at_once == 4
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
    assert found["pids"] == [cluster[1].pid]
    assert run("reverse", "reverse", {"chunks": 2, "wrong": "final"})[:2] == ("failed", "it cannot be done")
    assert run("reverse", "reverse", {"chunks": 2, "wrong": "bug"})[0] == "failed"
    status, error, _ = run("reverse", "reverse", {"chunks": 1, "seconds": 0.0, "wrong": "passing", "until": "/nowhere"})
    assert (status, error) == ("pending", "the store is down")
    cores.close()
    missions.database.close()


def test_without_a_cluster_the_worker_says_so(settings: Settings) -> None:
    with pytest.raises(UnavailableError, match="there is no Dask scheduler at tcp://127"):
        DaskCores(str(settings.dask_scheduler), wait_seconds=0.5)
