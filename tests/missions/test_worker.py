"""Real worker processes, killed and stopped: no job is lost, and no result is recorded twice; on both databases."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bench.missions import Drain, Winds, drained
from missions.accounts import Viewer
from missions.database import FILE
from missions.jobs import Queue
from missions.jobtypes import JOB_TYPES
from missions.opening import Missions
from missions.simulations import NewSimulation
from settings import Settings
from tests import postgresql
from tests.faults import ROOT, wait_until
from tests.missions.backends import CONFIG, Contract, OnPostgreSQL, OnSQLite
from tests.missions.jobs_for_tests import TYPES
from tests.serving import _OWN
from tests.worlds import START, make_bucket, make_elevation


class Worker:
    """A worker process that knows the job type of the tests."""

    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        own = {
            "HABSIM_DATA_DIR": str(settings.data_dir),
            "HABSIM_BUCKET_DIR": str(folder / "bucket"),
            "HABSIM_ELEVATION": str(settings.elevation),
            "HABSIM_JOB_LEASE": str(settings.job_lease_seconds),
            "DATABASE_URL": settings.database_url.get_secret_value() if settings.database_url else "",
            **environment,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        self.log = folder / f"worker-{uuid.uuid4().hex}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.missions.jobs_for_tests"],
                cwd=ROOT, env={**inherited, **own}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "waits for jobs" in self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def working(settings: Settings, folder: Path, count: int = 1, **environment: str) -> Iterator[list[Worker]]:
    workers = [Worker(settings, folder, **environment) for _ in range(count)]
    try:
        for worker in workers:
            wait_until(worker.is_up, "the worker is up")
        yield workers
    finally:
        for worker in workers:
            worker.kill()


# Where nobody is killed, no lease may run out on a busy machine.
LONG_LEASE = "60"


class WorkerContract(Contract):
    def away(self, settings: Settings) -> contextlib.AbstractContextManager[None]:
        """The database does not answer in the block."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(JOB_TYPES, "reverse", TYPES["reverse"])
        make_bucket(tmp_path / "bucket", members=2)

    def submit(self, missions: Missions, ann: Viewer, kind: str = "reverse", **config: Any) -> uuid.UUID:
        values = {**CONFIG, **config} if kind == "forward" else {"chunks": 4, **config}
        return missions.simulations.submit(ann, NewSimulation(kind, values)).id

    def fly(self, missions: Missions, ann: Viewer) -> None:
        """A worker is there, and has asked the database for all that it asks it for."""
        flight = self.submit(missions, ann, "forward")
        wait_until(lambda: self.status(missions, ann, flight) == "completed", "a worker flies")

    def status(self, missions: Missions, ann: Viewer, simulation_id: uuid.UUID) -> str:
        return missions.simulations.get(ann, simulation_id).status

    def result(self, missions: Missions, ann: Viewer, simulation_id: uuid.UUID) -> Any:
        return json.loads(gzip.decompress(missions.simulations.result(ann, simulation_id)))

    def test_two_workers_share_the_jobs_and_each_is_done_once(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        notes = tmp_path / "notes"
        with working(settings, tmp_path, 2, HABSIM_JOB_LEASE=LONG_LEASE):
            ids = [self.submit(missions, ann, notes=str(notes), chunks=1, seconds=0.2) for _ in range(20)]
            flights = [self.submit(missions, ann, "forward") for _ in range(20)]
            wait_until(
                lambda: {self.status(missions, ann, i) for i in (*ids, *flights)} == {"completed"}, "all is done"
            )
        assert len(notes.read_text().split()) == 20
        assert len({tuple(self.result(missions, ann, i)["pids"]) for i in ids}) == 2

    def test_workers_killed_at_random_points_lose_nothing(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        """One of two is killed again and again, at any point of claiming, computing, keeping and recording."""
        chance, notes = random.Random(7), tmp_path / "notes"
        kills = 0
        with working(settings, tmp_path, 2, HABSIM_JOB_LEASE="3") as workers:
            ids = [self.submit(missions, ann, notes=str(notes), chunks=6, seconds=0.3) for _ in range(4)]
            ids += [self.submit(missions, ann, "forward") for _ in range(20)]
            while any(self.status(missions, ann, i) in {"pending", "processing"} for i in ids):
                time.sleep(chance.uniform(0.0, 0.6))
                victims = [index for index, worker in enumerate(workers) if worker.is_up()]
                if kills < 4 and victims:
                    victim = chance.choice(victims)
                    workers[victim].kill()
                    workers[victim] = Worker(settings, tmp_path, HABSIM_JOB_LEASE="3")
                    kills += 1
        assert kills > 0
        for simulation_id in ids:
            row = missions.simulations.get(ann, simulation_id)
            assert (row.status, row.error) == ("completed", None)
        for simulation_id in ids[:4]:
            assert self.result(missions, ann, simulation_id)["sums"] == list(range(6))
        with missions.database.reading() as session:
            assert session.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 0
        # Each kill costs the chunks under way at most: two at once.
        assert 4 * 6 <= len(notes.read_text().split()) <= 4 * 6 + 4 * (os.cpu_count() or 1)

    def test_a_worker_that_is_asked_to_end_hands_its_job_over(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        simulation_id = self.submit(missions, ann, chunks=60, seconds=0.05)
        with working(settings, tmp_path, HABSIM_JOB_LEASE=LONG_LEASE) as workers:
            wait_until(lambda: missions.simulations.get(ann, simulation_id).progress > 0, "it has begun")
            assert workers[0].stop() == 0
            row = missions.simulations.get(ann, simulation_id)
            assert (row.status, row.attempts) == ("pending", 0)
            assert missions.queue.counts()[1] == 0
        with working(settings, tmp_path):
            wait_until(lambda: self.status(missions, ann, simulation_id) == "completed", "another goes on")
        assert len(self.result(missions, ann, simulation_id)["pids"]) == 2

    def test_a_job_that_kills_its_worker_fails_at_last(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        simulation_id = self.submit(missions, ann, wrong="kill", chunks=1)
        for _ in range(2):
            worker = Worker(settings, tmp_path, HABSIM_JOB_ATTEMPTS="2")
            assert worker.process.wait(60) == -signal.SIGKILL
        with working(settings, tmp_path, HABSIM_JOB_ATTEMPTS="2"):
            wait_until(lambda: self.status(missions, ann, simulation_id) == "failed", "it is given up")

    def test_a_job_goes_on_after_the_database_was_away(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        simulation_id = self.submit(missions, ann, chunks=12, seconds=0.05)
        with working(settings, tmp_path) as (worker,):
            wait_until(lambda: missions.simulations.get(ann, simulation_id).progress > 0, "it has begun")
            with self.away(settings):
                wait_until(lambda: "cannot be recorded" in worker.log.read_text(), "it was to be recorded")
            wait_until(lambda: self.status(missions, ann, simulation_id) == "completed", "it goes on")
        assert self.result(missions, ann, simulation_id)["sums"] == list(range(12))

    def test_the_jobs_of_others_stay_theirs_after_the_database_was_away(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        """Their leases have run out meanwhile, and the other worker is the first to come back."""
        theirs = self.submit(missions, ann)
        other, at_last = (
            Queue(missions.database, settings.model_copy(update={"job_lease_seconds": seconds}), "other")
            for seconds in (3600.0, 3.0)
        )
        job = other.claim("reverse")
        assert job is not None
        mine = {(theirs, job.fence)}
        with working(settings, tmp_path, HABSIM_JOB_LEASE=LONG_LEASE) as (worker,):
            self.fly(missions, ann)
            at_last.heartbeat(time.time(), mine)
            with self.away(settings):
                wait_until(lambda: worker.log.read_text().count("no jobs can be claimed") >= 3, "leases are over")
            self.fly(missions, ann)
            assert other.heartbeat(time.time(), mine) == mine

    def test_a_cancelled_job_leaves_its_worker_free(
        self, missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path
    ) -> None:
        with working(settings, tmp_path):
            long = self.submit(missions, ann, chunks=500, seconds=0.1)
            wait_until(lambda: missions.simulations.get(ann, long).progress > 0, "it has begun")
            missions.simulations.cancel(ann, long)
            after = self.submit(missions, ann, chunks=1)
            wait_until(lambda: self.status(missions, ann, after) == "completed", "the next one runs")
        assert self.status(missions, ann, long) == "cancelled"


class TestWorkerOnSQLite(OnSQLite, WorkerContract):
    @contextlib.contextmanager
    def away(self, settings: Settings) -> Iterator[None]:
        file = settings.data_dir / FILE
        file.rename(file.with_suffix(".away"))
        try:
            yield
        finally:
            file.with_suffix(".away").rename(file)


class TestWorkerOnPostgreSQL(OnPostgreSQL, WorkerContract):
    @contextlib.contextmanager
    def away(self, settings: Settings) -> Iterator[None]:
        postgresql.server().stop()
        try:
            yield
        finally:
            postgresql.server().start()


@pytest.mark.soak
def test_a_thousand_jobs_are_drained_while_a_worker_is_killed_every_second(tmp_path: Path) -> None:
    make_bucket(tmp_path / "bucket")
    winds = Winds(tmp_path / "bucket", make_elevation(tmp_path / "ground.npz"))
    told = drained(tmp_path, winds, Drain(1000, 3, 1.0), {"timestamp": START + 3600.0})
    assert told.statuses == {"completed": 1000}
    assert told.kills > 0
