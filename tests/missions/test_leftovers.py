"""No file of a result is left that no row names; on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from habsim.errors import DatabaseError
from missions.accounts import Viewer
from missions.jobs import Job, Outcome, Queue
from missions.leftovers import deleted, sweep
from missions.models import Simulation
from missions.opening import Missions
from missions.simulations import NewSimulation
from settings import Settings
from tests.faults import wait_until
from tests.missions.backends import CONFIG, Contract, OnPostgreSQL, OnSQLite, signed_in
from tests.missions.test_results import LARGE, on_s3
from tests.missions.test_worker import working
from tests.worlds import make_bucket


class LeftoversContract(Contract):
    @pytest.fixture(autouse=True)
    def in_files(self, missions: Missions) -> None:
        missions.results._in_rows = False  # PostgreSQL too, as a service that was on SQLite before

    @pytest.fixture
    def queue(self, missions: Missions, settings: Settings) -> Queue:
        return Queue(missions.database, settings, "one")

    def claimed(self, missions: Missions, ann: Viewer, queue: Queue) -> Job:
        missions.simulations.submit(ann, NewSimulation("forward", CONFIG))
        job = queue.claim("forward")
        assert job is not None
        return job

    def killed(self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue) -> Job:
        """A job whose worker was killed after it had written the file of the result, and before the row."""
        job = self.claimed(missions, ann, queue)
        missions.results.keep(job.id, job.fence, LARGE)
        with missions.database.writing() as session:
            session.execute(text("UPDATE simulations SET lease_until = 1 WHERE lease_until IS NOT NULL"))
        assert Queue(missions.database, settings, "other").recover() == 1
        return job

    def completed(self, missions: Missions, ann: Viewer, queue: Queue) -> tuple[Job, str]:
        job = self.claimed(missions, ann, queue)
        kept = missions.results.keep(job.id, job.fence, LARGE)
        queue.complete(job, Outcome(kept, {}, 1.0))
        assert kept.reference is not None
        return job, kept.reference

    @pytest.mark.parametrize("end", ["cancelled", "failed", "computed again"])
    def test_what_a_killed_worker_left_goes_when_its_job_has_ended(
        self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, end: str
    ) -> None:
        job = self.killed(missions, settings, ann, queue)
        if end == "cancelled":
            missions.simulations.cancel(ann, job.id)
        else:
            again = queue.claim("forward")
            assert again is not None
            if end == "failed":
                queue.fail(again, "it cannot be done")
            else:
                queue.complete(again, Outcome(missions.results.keep(again.id, again.fence, LARGE), {}, 1.0))
        assert sweep(missions.database, missions.results) == 1
        assert missions.results.names() == ({f"result-{job.id}-2.json.gz"} if end == "computed again" else set())

    @pytest.mark.parametrize("who", ["simulation", "user"])
    def test_what_a_killed_worker_left_goes_with_its(
        self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, who: str
    ) -> None:
        _, others = self.completed(missions, signed_in(missions, "bob"), queue)
        job = self.killed(missions, settings, ann, queue)
        if who == "user":
            missions.delete_user(ann.id)
        else:
            missions.simulations.delete(ann, job.id)
        assert missions.results.names() == {others}

    def test_no_file_is_left_of_what_went_before_the_database_failed(
        self,
        missions: Missions,
        ann: Viewer,
        queue: Queue,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("missions.accounts._DELETED_AT_A_TIME", 1)
        for _ in range(3):
            self.completed(missions, ann, queue)
        times = iter(range(3))

        def failing(*arguments: Any) -> Any:
            if next(times) == 2:
                raise DatabaseError("the database does not answer")
            return deleted(*arguments)

        with monkeypatch.context() as patch, pytest.raises(DatabaseError):
            patch.setattr("missions.accounts.deleted", failing)
            missions.delete_user(ann.id)
        assert len(missions.results.names()) == 1
        missions.delete_user(ann.id)
        assert missions.results.names() == set()

    def test_what_is_named_or_under_way_or_unknown_stays(self, missions: Missions, ann: Viewer, queue: Queue) -> None:
        _, named = self.completed(missions, ann, queue)
        running = self.claimed(missions, ann, queue)
        under_way = missions.results.keep(running.id, running.fence, LARGE)
        unknown = missions.results.keep(uuid.uuid4(), 1, LARGE)
        for name in ("result-of-something-else.json.gz", "notes.txt"):
            (missions.results._folder / name).touch()
        assert sweep(missions.database, missions.results) == 0
        assert missions.results.names() == {named, under_way.reference, unknown.reference}
        queue.complete(running, Outcome(under_way, {}, 1.0))
        assert missions.simulations.result(ann, running.id)

    @pytest.mark.parametrize(("fence", "status"), [(0, "pending"), (1, "pending"), (1, "failed"), (0, "cancelled")])
    def test_results_that_are_later_than_a_backup_stay(
        self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, fence: int, status: str
    ) -> None:
        """The database is that of before the job's last claim, for as long as somebody looks into a backup."""
        self.killed(missions, settings, ann, queue)
        job = queue.claim("forward")
        assert job is not None
        kept = missions.results.keep(job.id, job.fence, LARGE)
        with missions.database.writing() as session:
            before = {"fence": fence, "status": status, "worker": None, "lease_until": None}
            session.execute(update(Simulation).values(**before))
        sweep(missions.database, missions.results)
        assert kept.reference in missions.results.names()

    def test_files_of_many_simulations_are_swept(
        self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("missions.leftovers._AT_A_TIME", 2)
        for _ in range(5):
            missions.simulations.cancel(ann, self.killed(missions, settings, ann, queue).id)
        assert sweep(missions.database, missions.results) == 5
        assert missions.results.names() == set()

    def test_on_s3(self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, tmp_path: Path) -> None:
        missions.results._bucket = type(missions.results)(on_s3(tmp_path / "s3"), shared_database=True)._bucket
        cancelled = self.killed(missions, settings, ann, queue)
        missions.simulations.cancel(ann, cancelled.id)
        removed, _ = self.completed(missions, ann, queue)
        _, named = self.completed(missions, ann, queue)
        assert sweep(missions.database, missions.results) == 1
        missions.simulations.delete(ann, removed.id)
        assert missions.results.names() == {named}

    def test_a_worker_sweeps(
        self, missions: Missions, settings: Settings, ann: Viewer, queue: Queue, tmp_path: Path
    ) -> None:
        make_bucket(tmp_path / "bucket", members=2)
        job = self.killed(missions, settings, ann, queue)
        missions.simulations.cancel(ann, job.id)
        with working(settings, tmp_path):
            wait_until(lambda: not missions.results.names(), "the file is removed")


class TestLeftoversOnSQLite(OnSQLite, LeftoversContract):
    pass


class TestLeftoversOnPostgreSQL(OnPostgreSQL, LeftoversContract):
    def test_deleted_while_its_result_is_recorded(self, missions: Missions, ann: Viewer, queue: Queue) -> None:
        """The row names a file by the time that it is deleted."""
        job = self.claimed(missions, ann, queue)
        name = missions.results.keep(job.id, job.fence, LARGE).reference
        deleting = threading.Thread(target=missions.simulations.delete, args=(ann, job.id))

        def waits() -> bool:
            with missions.database.reading() as session:
                return bool(session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())

        with missions.database.writing() as session:
            session.execute(
                update(Simulation).where(Simulation.id == job.id).values(status="completed", result_reference=name)
            )
            deleting.start()
            wait_until(waits, "the deletion waits for the row")
        deleting.join()
        assert missions.results.names() == set()
