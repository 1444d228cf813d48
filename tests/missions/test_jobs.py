"""The queue: one holder of a job at a time, its result once, nothing lost; on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text, update

from habsim.errors import ConflictError, JobLostError
from missions.accounts import Page, Viewer
from missions.database import now_seconds
from missions.jobs import Job, Outcome, Queue
from missions.models import Simulation
from missions.opening import Missions
from missions.results import Kept
from missions.simulations import Filter, NewSimulation
from settings import Settings
from tests.faults import ROOT, wait_until
from tests.missions.backends import CONFIG, Contract, OnPostgreSQL, OnSQLite, signed_in

OUTCOME = Outcome(Kept(b"packed", None, 6), {"cycle": "2026111900"}, 1.5)


def submitted(missions: Missions, viewer: Viewer, count: int = 1, kind: str = "forward") -> list[uuid.UUID]:
    return [missions.simulations.submit(viewer, NewSimulation(kind, CONFIG)).id for _ in range(count)]


def claimed(queue: Queue, lane: str = "forward") -> Job:
    job = queue.claim(lane)
    assert job is not None
    return job


def run_out(missions: Missions) -> None:
    """All leases end now."""
    with missions.database.writing() as session:
        session.execute(text("UPDATE simulations SET lease_until = 1 WHERE lease_until IS NOT NULL"))


def start_now(missions: Missions) -> None:
    with missions.database.writing() as session:
        session.execute(text("UPDATE simulations SET ready = 1"))


def letting_go_on() -> str:
    """What the operator is told to do when the cause is mended."""
    statement = re.search(r"UPDATE simulations [^;]*", (ROOT / "docs" / "operations.md").read_text())
    assert statement is not None
    return statement[0]


class QueueContract(Contract):
    @pytest.fixture
    def one(self, missions: Missions, settings: Settings) -> Queue:
        return Queue(missions.database, settings, "one")

    @pytest.fixture
    def other(self, missions: Missions, settings: Settings) -> Queue:
        return Queue(missions.database, settings, "other")

    def row(self, missions: Missions, viewer: Viewer, simulation_id: uuid.UUID) -> Simulation:
        return missions.simulations.get(viewer, simulation_id)

    def test_jobs_are_claimed_oldest_first_and_once(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        ids = submitted(missions, ann, 3)
        assert [claimed(one).id, claimed(other).id, claimed(one).id] == ids
        assert one.claim("forward") is None
        assert other.claim("forward") is None

    def test_a_claim_says_who_holds_it_and_when_it_began(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        assert (job.type, job.lane, job.config, job.plan) == ("forward", "forward", CONFIG, None)
        assert (job.fence, job.attempts) == (1, 1)
        row = self.row(missions, ann, simulation_id)
        assert (row.status, row.worker) == ("processing", "one")
        assert row.started is not None
        assert row.lease_until is not None
        assert row.created <= row.started < row.lease_until

    def test_many_claim_at_once_and_none_gets_anothers(
        self, missions: Missions, settings: Settings, ann: Viewer
    ) -> None:
        ids = submitted(missions, ann, 60)

        def drain(name: int) -> list[uuid.UUID]:
            queue, found = Queue(missions.database, settings, f"worker {name}"), []
            while queue.waiting(["forward"]):
                if (job := queue.claim("forward")) is not None:
                    found.append(job.id)
            return found

        with ThreadPoolExecutor(6) as threads:
            taken = [simulation_id for found in threads.map(drain, range(6)) for simulation_id in found]
        assert sorted(taken) == sorted(ids)

    def test_lanes_are_apart(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        assert one.waiting(["forward", "reverse"]) == {"forward"}
        assert one.claim("reverse") is None
        with missions.database.writing() as session:
            session.execute(text("UPDATE simulations SET lane = 'reverse'"))
        assert one.waiting(["forward", "reverse"]) == {"reverse"}
        assert claimed(one, "reverse").id == simulation_id

    def test_jobs_of_users_who_are_not_active_wait(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        bob = signed_in(missions, "bob")
        (waits,) = submitted(missions, bob)
        (goes,) = submitted(missions, ann)
        missions.accounts.change(bob.id, {"is_active": False})
        assert claimed(one).id == goes
        assert one.waiting(["forward"]) == set()
        assert one.claim("forward") is None
        missions.accounts.change(bob.id, {"is_active": True})
        assert claimed(one).id == waits

    def test_a_worker_leaves_what_it_does_not_know(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        older = Queue(missions.database, settings, "older", ["ensemble"])
        assert older.waiting(["forward"]) == set()
        assert older.claim("forward") is None
        newer = Queue(missions.database, settings, "newer", ["ensemble", "forward"])
        assert newer.waiting(["forward"]) == {"forward"}
        assert claimed(newer).id == simulation_id

    def test_a_result_is_recorded_once(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        one.complete(job, OUTCOME)
        row = self.row(missions, ann, simulation_id)
        assert (row.status, row.progress, row.result_bytes, row.computation_seconds) == ("completed", 100.0, 6, 1.5)
        assert row.provenance == {"cycle": "2026111900"}
        assert row.completed is not None
        assert (row.worker, row.lease_until) == (None, None)
        assert missions.simulations.result(ann, simulation_id) == b"packed"
        for write in self.writes(one, job):
            with pytest.raises(JobLostError):
                write()
        assert self.row(missions, ann, simulation_id).completed == row.completed

    def writes(self, queue: Queue, job: Job) -> list[Any]:
        """Everything that a worker can write of a job."""
        return [
            lambda: queue.save_plan(job, {"cycle": "x"}),
            lambda: queue.keep_chunk(job, 0, b"chunk", 1.0, 50.0),
            lambda: queue.complete(job, OUTCOME),
            lambda: queue.fail(job, "no"),
            lambda: queue.retry(job, "no"),
            lambda: queue.retry(job, "no", anew=True),
            lambda: queue.release(job),
        ]

    def test_who_lost_the_lease_writes_nothing(self, missions: Missions, ann: Viewer, one: Queue, other: Queue) -> None:
        """The first worker was only slow: it comes back while another computes, and after it is done."""
        (simulation_id,) = submitted(missions, ann)
        slow = claimed(one)
        run_out(missions)
        assert other.recover() == 1
        quick = claimed(other)
        assert quick.id == slow.id
        assert quick.fence > slow.fence
        for _ in range(2):
            for write in self.writes(one, slow):
                with pytest.raises(JobLostError):
                    write()
            assert one.heartbeat(time.time(), [(slow.id, slow.fence)]) == set()
            if self.row(missions, ann, simulation_id).status == "processing":
                other.complete(quick, OUTCOME)
        assert self.row(missions, ann, simulation_id).status == "completed"
        assert missions.simulations.result(ann, simulation_id) == b"packed"

    def test_a_worker_that_lives_gives_none_of_its_jobs_away(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue
    ) -> None:
        """The database was away for longer than a lease, again and again, and the worker asks before its heartbeat."""
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        mine = {(simulation_id, job.fence)}
        for _ in range(settings.job_attempts):
            run_out(missions)
            assert one.recover() == 0
            assert one.heartbeat(time.time(), mine) == mine
        one.complete(job, OUTCOME)
        assert self.row(missions, ann, simulation_id).attempts == 1

    def test_a_lease_that_ran_out_alone_takes_nothing_away(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        submitted(missions, ann)
        job = claimed(one)
        run_out(missions)
        one.complete(job, OUTCOME)  # nobody has claimed it meanwhile
        assert other.recover() == 0

    def test_heartbeats_keep_a_job(self, missions: Missions, ann: Viewer, one: Queue, other: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        run_out(missions)
        mine = {(simulation_id, job.fence)}
        assert one.heartbeat(time.time(), mine) == mine
        assert other.recover() == 0
        assert other.heartbeat(time.time(), mine) == set()
        one.keep_chunk(job, 0, b"x", 1.0, 10.0)

    def test_leases_go_by_the_clock_of_the_database(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submitted(missions, ann)
        claimed(one)
        monkeypatch.setattr(time, "time", lambda: 4e9)
        assert other.recover() == 0
        wait_until(lambda: other.recover() == 1, "the lease of a second runs out")

    def test_jobs_that_kill_their_workers_fail_at_last(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        for attempt in range(1, settings.job_attempts + 1):
            assert claimed(one).attempts == attempt
            run_out(missions)
            assert other.recover() == 1
        row = self.row(missions, ann, simulation_id)
        assert row.status == "failed"
        assert row.error == "the worker that computed it ended, 5 times in a row"
        assert one.claim("forward") is None

    def test_what_a_worker_has_and_does_not_run_is_given_back(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        """The answer to its claim was lost, or what the job came to: the worker knows nothing of the row any more."""
        submitted(missions, ann, 3)
        lost, runs, anothers = claimed(one), claimed(one), claimed(other)
        mine = {(runs.id, runs.fence)}
        run_out(missions)
        assert one.give_back(mine) == 1
        assert one.give_back(mine) == 0
        row = self.row(missions, ann, lost.id)
        assert (row.status, row.worker, row.attempts) == ("pending", None, lost.attempts - 1)
        assert {self.row(missions, ann, job.id).status for job in (runs, anothers)} == {"processing"}
        with pytest.raises(JobLostError):
            one.complete(lost, OUTCOME)

    def test_attempts_that_come_further_are_not_counted(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        chunks = 2 * settings.job_attempts
        for number in range(chunks):
            job = claimed(one)
            one.keep_chunk(job, number, b"x", 1.0, 100.0 * (number + 1) / (chunks + 1))
            run_out(missions)
            assert other.recover() == 1
        job = claimed(one)
        assert list(one.kept_chunks(job)) == list(range(chunks))
        one.complete(job, OUTCOME)
        assert self.row(missions, ann, simulation_id).status == "completed"

    def failing_for(self, missions: Missions, seconds: float) -> None:
        """All jobs have been failing so long."""
        with missions.database.writing() as session:
            session.execute(update(Simulation).values(failing_since=now_seconds() - seconds, ready=now_seconds()))

    def test_what_may_pass_is_tried_again_later_each_time(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        for failing, wait in [(0, 2), (10, 10), (100, 100), *[(20 * 3600, 300)] * (2 * settings.job_attempts)]:
            self.failing_for(missions, failing)
            job, before = claimed(one), missions.database.now()
            assert job.attempts == 1
            assert one.retry(job, "the store is down")
            row, after = self.row(missions, ann, simulation_id), missions.database.now()
            assert (row.status, row.error) == ("pending", "the store is down")
            # It has been failing a little longer by now; the clock of SQLite has milliseconds.
            assert before + wait - 0.01 <= row.ready <= after + wait + (after - before) + 60.0
            assert one.claim("forward") is None
        self.failing_for(missions, 0)
        one.keep_chunk(claimed(one), 0, b"x", 1.0, 50.0)
        with missions.database.reading() as session:
            assert session.execute(select(Simulation.failing_since)).scalar_one() is None

    def test_what_does_not_pass_in_days_fails_with_its_chunks_kept(
        self, missions: Missions, ann: Viewer, one: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        one.keep_chunk(job, 0, b"x", 1.0, 50.0)
        self.failing_for(missions, 73 * 3600)
        assert not one.retry(job, "the store is down")
        row = self.row(missions, ann, simulation_id)
        assert (row.status, row.error) == ("failed", "the store is down (tried for 72 hours)")
        assert row.completed is not None
        assert one.kept_chunks(job) == {0: 1.0}
        with missions.database.writing() as session:
            session.execute(text(letting_go_on()))
        resumed = claimed(one)
        assert one.kept_chunks(resumed) == {0: 1.0}
        one.keep_chunk(resumed, 1, b"y", 1.0, 99.0)
        missions.simulations.delete(ann, simulation_id)
        assert one.kept_chunks(resumed) == {}

    @pytest.mark.parametrize("left", ["waiting", "by a worker that was killed"])
    def test_hours_in_which_nobody_tried_do_not_count(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue, left: str
    ) -> None:
        """No worker ran over a long weekend, after the store had been down for an hour."""
        (simulation_id,) = submitted(missions, ann)
        assert one.retry(claimed(one), "the store is down")
        start_now(missions)
        if left != "waiting":
            claimed(one)
        hour, days = 3600.0, 100 * 3600.0
        with missions.database.writing() as session:
            then = {"failing_since": now_seconds() - days - hour, "ready": now_seconds() - days}
            over = {} if left == "waiting" else {"lease_until": now_seconds() - days}
            session.execute(update(Simulation).values(**then, **over))
        other.recover()
        other.release(claimed(other))
        assert other.retry(claimed(other), "the store is down")
        with missions.database.reading() as session:
            failing = session.execute(select(now_seconds() - Simulation.failing_since)).scalar_one()
        assert hour - 1 < failing < days
        assert self.row(missions, ann, simulation_id).status == "pending"

    def test_tries_that_count_end_after_some_with_its_chunks_kept(
        self, missions: Missions, settings: Settings, ann: Viewer, one: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        one.keep_chunk(claimed(one), 0, b"x", 1.0, 50.0)
        one.give_back([])
        for attempt in range(1, settings.job_attempts + 1):
            start_now(missions)
            job = claimed(one)
            assert job.attempts == attempt
            assert one.retry(job, "the file is damaged", counted=True) == (attempt < settings.job_attempts)
        row = self.row(missions, ann, simulation_id)
        assert (row.status, row.error) == ("failed", f"the file is damaged (tried {settings.job_attempts} times)")
        with missions.database.writing() as session:
            session.execute(text(letting_go_on()))
        again = claimed(one)
        assert again.attempts == 1
        assert one.kept_chunks(again) == {0: 1.0}

    def test_released_jobs_go_on_at_once_and_lose_no_attempt(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        submitted(missions, ann)
        job = claimed(one)
        one.release(job)
        again = claimed(other)
        assert (again.id, again.attempts, again.fence) == (job.id, 1, 2)

    def test_chunks_are_kept_for_the_next_worker(
        self, missions: Missions, ann: Viewer, one: Queue, other: Queue
    ) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        one.save_plan(job, {"cycle": "2026111900"})
        one.keep_chunk(job, 1, b"second", 2.0, 50.0)
        run_out(missions)
        other.recover()
        again = claimed(other)
        assert again.plan == {"cycle": "2026111900"}
        assert other.kept_chunks(again) == {1: 2.0}
        assert self.row(missions, ann, simulation_id).progress == 50.0
        other.keep_chunk(again, 0, b"first", 1.0, 99.0)
        assert list(other.chunk_results(again, 2)) == [b"first", b"second"]
        other.keep_chunk(again, 0, b"another", 1.0, 99.0)  # computed twice: the first stays
        assert list(other.chunk_results(again, 2)) == [b"first", b"second"]
        other.complete(again, OUTCOME)
        assert other.kept_chunks(again) == {}

    def test_beginning_anew_forgets_plan_and_chunks(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        one.save_plan(job, {"cycle": "2026111900"})
        one.keep_chunk(job, 0, b"x", 1.0, 50.0)
        assert one.retry(job, "the cycle is gone", anew=True)
        row = self.row(missions, ann, simulation_id)
        assert (row.plan, row.progress) == (None, 0.0)
        assert one.kept_chunks(job) == {}

    def test_cancelled_while_it_waits(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        assert missions.simulations.cancel(ann, simulation_id).status == "cancelled"
        assert one.claim("forward") is None
        with pytest.raises(ConflictError, match="any more: it is cancelled"):
            missions.simulations.cancel(ann, simulation_id)

    def test_cancelled_while_it_runs(self, missions: Missions, ann: Viewer, one: Queue, other: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        one.keep_chunk(job, 0, b"x", 1.0, 50.0)
        assert missions.simulations.cancel(ann, simulation_id).status == "cancelled"
        assert one.heartbeat(time.time(), [(job.id, job.fence)]) == set()
        for write in self.writes(one, job):
            with pytest.raises(JobLostError):
                write()
        assert one.kept_chunks(job) == {}
        run_out(missions)
        assert other.recover() == 0

    def test_deleted_while_it_runs(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        (simulation_id,) = submitted(missions, ann)
        job = claimed(one)
        missions.simulations.delete(ann, simulation_id)
        for write in self.writes(one, job):
            with pytest.raises(JobLostError):
                write()

    def test_counts_of_lanes_and_workers(self, missions: Missions, ann: Viewer, one: Queue, other: Queue) -> None:
        submitted(missions, ann, 3)
        claimed(one)
        assert missions.queue.counts()[1] == 0
        one.heartbeat(time.time(), [])
        other.heartbeat(time.time(), [])
        lanes, workers = missions.queue.counts()
        assert lanes["forward"] == {"pending": 2, "processing": 1}
        assert lanes["reverse"] == {"pending": 0, "processing": 0}
        assert workers == 2
        other.leave()
        assert missions.queue.counts()[1] == 1

    def test_all_rows_are_there_at_the_end(self, missions: Missions, ann: Viewer, one: Queue) -> None:
        bob = signed_in(missions, "bob")
        mine, theirs = submitted(missions, ann, 2), submitted(missions, bob, 2)
        for _ in range(4):
            one.complete(claimed(one), OUTCOME)
        for viewer, ids in ((ann, mine), (bob, theirs)):
            rows, total = missions.simulations.own(viewer, Filter(status="completed"), Page())
            assert total == 2
            assert [row.id for row in rows] == ids[::-1]


class TestQueueOnSQLite(OnSQLite, QueueContract):
    pass


class TestQueueOnPostgreSQL(OnPostgreSQL, QueueContract):
    pass
