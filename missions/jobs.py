"""The queue of jobs, which are the rows of `simulations` that are pending or processing.

A worker claims a job by one statement and holds it by a lease that its heartbeat renews. When the lease runs out the
job is pending again and another worker may claim it, with a greater fence: whatever the first one still writes is
refused. So a job may be computed more than once, and its result is recorded once. Leases go by the database's clock.

A job that ends its worker or fails again and again, and comes no further meanwhile, fails for good. What may pass (a
store that is down, a full disk) does not count for that: the job waits, longer each time, and fails after days only.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, exists, func, select, tuple_, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from habsim.errors import JobLostError
from missions.database import Database, insert_if_absent, now_seconds
from missions.models import (
    CANCELLED,
    COMPLETED,
    FAILED,
    LANES,
    PENDING,
    PROCESSING,
    Chunk,
    Simulation,
    User,
    WorkerProcess,
)
from missions.results import Kept
from settings import Settings

_FIRST_RETRY_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 300.0
_LONGEST_FAILING_HOURS = 72.0
_FORGET_WORKER_SECONDS = 3600.0
_LONGEST_ERROR = 2000  # characters

Claim = tuple[uuid.UUID, int]  # a job and the fence that it was claimed with


@dataclass(frozen=True)
class Job:
    """A job as its worker holds it."""

    id: uuid.UUID
    type: str
    lane: str
    config: dict[str, Any]
    plan: dict[str, Any] | None
    fence: int
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """What a job came to: its result as it is kept, what it was made from, and how long that took."""

    kept: Kept
    provenance: dict[str, Any]
    seconds: float


class Queue:
    """The jobs of a database, for one worker process; what only looks needs no worker's name."""

    def __init__(
        self, database: Database, settings: Settings, worker: str = "", types: Collection[str] | None = None
    ) -> None:
        """`types`: which the worker can compute; None for all. Others wait for a worker of another version."""
        self._database = database
        self._worker = worker
        self._types = types
        self._lease = settings.job_lease_seconds
        self._attempts = settings.job_attempts

    # Claiming and holding

    def waiting(self, lanes: Collection[str]) -> set[str]:
        """Those of the lanes that have a job that may start now. Changes nothing, so it costs little."""
        found = set()
        with self._database.reading() as session:
            for lane in lanes:
                if session.execute(select(self._next_in(lane).exists())).scalar_one():
                    found.add(lane)
        return found

    def _next_in(self, lane: str) -> Select[uuid.UUID]:
        found = select(Simulation.id).where(
            Simulation.status == PENDING,
            Simulation.lane == lane,
            Simulation.ready <= now_seconds(),
            # Those of others wait until they are active again.
            Simulation.user_id.in_(select(User.id).where(User.is_active)),
        )
        if self._types is not None:
            found = found.where(Simulation.type.in_(self._types))
        # A job that killed its worker, or was tried in vain, waits behind those that were not.
        return found.order_by(Simulation.ready)

    def claim(self, lane: str) -> Job | None:
        """The job of a lane that has waited longest, which is this worker's from now on; None where there is none."""
        candidate = self._next_in(lane).limit(1).with_for_update(skip_locked=True).scalar_subquery()
        claimed = (
            update(Simulation)
            .where(Simulation.id == candidate)
            .values(
                status=PROCESSING,
                worker=self._worker,
                fence=Simulation.fence + 1,
                attempts=Simulation.attempts + 1,
                lease_until=now_seconds() + self._lease,
                started=func.coalesce(Simulation.started, now_seconds()),
                failing_since=_failing_since(Simulation.ready),
                # What it waited is counted off once, also when the worker lets go of it.
                ready=case((Simulation.failing_since.is_(None), Simulation.ready), else_=now_seconds()),
                error=None,
            )
            .returning(
                Simulation.id, Simulation.type, Simulation.lane, Simulation.config, Simulation.plan, Simulation.fence,
                Simulation.attempts,
            )
            .execution_options(synchronize_session=False)
        )  # fmt: skip
        with self._database.writing() as session:
            row = session.execute(claimed).first()
        return None if row is None else Job(*row)

    def heartbeat(self, started: float, mine: Collection[Claim]) -> set[Claim]:
        """Renew the leases of what this worker runs; those that it still holds. `started` in Unix seconds."""
        with self._database.writing() as session:
            insert_if_absent(session, WorkerProcess, id=self._worker, started=started, seen=started)
            seen = update(WorkerProcess).where(WorkerProcess.id == self._worker).values(seen=now_seconds())
            session.execute(seen.execution_options(synchronize_session=False))
            session.execute(delete(WorkerProcess).where(WorkerProcess.seen < now_seconds() - _FORGET_WORKER_SECONDS))
            renewed = (
                update(Simulation)
                .where(*self._claimed(), _among(mine))
                .values(lease_until=now_seconds() + self._lease)
                .returning(Simulation.id, Simulation.fence)
                .execution_options(synchronize_session=False)
            )
            return {(row[0], row[1]) for row in session.execute(renewed)}

    def recover(self) -> int:
        """Give back the jobs of workers that are not heard of any more; how many. Those tried too often fail.

        Its own stay: this worker lives, only its heartbeat was kept from the database. `give_back` is for those.
        """
        over = (
            Simulation.status == PROCESSING,
            Simulation.lease_until < now_seconds(),
            Simulation.worker != self._worker,
        )
        with self._database.reading() as session:
            if not session.execute(select(exists().where(*over))).scalar_one():
                return 0
        with self._database.writing() as session:
            text = f"the worker that computed it ended, {self._attempts} times in a row"
            failed = session.execute(
                update(Simulation)
                .where(*over, Simulation.attempts >= self._attempts)
                .values(status=FAILED, error=text, completed=now_seconds(), worker=None, lease_until=None)
                .returning(Simulation.id)
                .execution_options(synchronize_session=False)
            ).all()
            for (simulation_id,) in failed:
                session.execute(delete(Chunk).where(Chunk.simulation_id == simulation_id))
            again = session.execute(
                update(Simulation)
                .where(*over)
                .values(
                    status=PENDING,
                    worker=None,
                    lease_until=None,
                    ready=now_seconds(),
                    failing_since=_failing_since(Simulation.lease_until),
                )
                .returning(Simulation.id)
                .execution_options(synchronize_session=False)
            ).all()
        return len(failed) + len(again)

    def give_back(self, mine: Collection[Claim]) -> int:
        """Put back what this worker has by the database, but does not run; how many.

        The database was away when it was to take what the job came to, or to answer the claim. To be called where jobs
        are claimed: one that was claimed and is not among `mine` yet would be given back too.
        """
        left = select(Simulation.id, Simulation.fence).where(*self._claimed(), ~_among(mine))
        with self._database.reading() as session:
            if not session.execute(left).first():
                return 0
        with self._database.writing() as session:
            rows = session.execute(left).all()
            for simulation_id, fence in rows:
                reason = "what it came to could not be recorded: the database did not answer"
                self._put_back(session, simulation_id, fence, reason)
        return len(rows)

    def _claimed(self) -> tuple[ColumnElement[bool], ...]:
        return Simulation.status == PROCESSING, Simulation.worker == self._worker

    def leave(self) -> None:
        """This worker ends: it is not listed any more."""
        with self._database.writing() as session:
            session.execute(delete(WorkerProcess).where(WorkerProcess.id == self._worker))

    # What a worker writes; each raises JobLostError where the job is no longer its own

    def save_plan(self, job: Job, plan: dict[str, Any]) -> None:
        """Fix what the job computes, before its first chunk."""
        with self._database.writing() as session:
            self._write(session, job, plan=plan)

    def keep_chunk(self, job: Job, number: int, result: bytes, seconds: float, progress: float) -> None:
        """Keep the result of a chunk; `progress` in percent is then that of the job."""
        with self._database.writing() as session:
            # It comes further: what went wrong before counts no more, and this is the first of its attempts.
            going_on = {"attempts": 1, "failing_since": None, "lease_until": now_seconds() + self._lease}
            self._write(session, job, progress=progress, **going_on)
            insert_if_absent(session, Chunk, simulation_id=job.id, number=number, result=result, seconds=seconds)

    def kept_chunks(self, job: Job) -> dict[int, float]:
        """The chunks that are kept, with the seconds that each took."""
        with self._database.reading() as session:
            query = select(Chunk.number, Chunk.seconds).where(Chunk.simulation_id == job.id)
            return {row.number: row.seconds for row in session.execute(query)}

    def chunk_results(self, job: Job, count: int) -> Iterator[bytes]:
        """The results of chunks 0 to `count` - 1, one after the other."""
        for number in range(count):
            with self._database.reading() as session:
                query = select(Chunk.result).where(Chunk.simulation_id == job.id, Chunk.number == number)
                yield session.execute(query).scalar_one()

    def complete(self, job: Job, outcome: Outcome) -> None:
        """Record the result, once and for all."""
        with self._database.writing() as session:
            self._end(
                session,
                job,
                status=COMPLETED,
                progress=100.0,
                error=None,
                provenance=outcome.provenance,
                computation_seconds=outcome.seconds,
                result=outcome.kept.inline,
                result_reference=outcome.kept.reference,
                result_bytes=outcome.kept.size,
            )

    def fail(self, job: Job, reason: str) -> None:
        """It cannot be done, and would not be another time."""
        with self._database.writing() as session:
            self._end(session, job, status=FAILED, error=reason[:_LONGEST_ERROR])

    def retry(self, job: Job, reason: str, *, anew: bool = False, counted: bool = False) -> bool:
        """It may be done another time: later, on any worker; `anew` forgets what it had come to.

        False when it was tried for long enough or, where tries are `counted`, as often as is allowed, and has failed;
        its chunks are kept.
        """
        with self._database.writing() as session:
            if anew:
                self._write(session, job, plan=None, progress=0.0)
                session.execute(delete(Chunk).where(Chunk.simulation_id == job.id))
            return self._put_back(session, job.id, job.fence, reason, counted=counted)

    def _put_back(
        self, session: Session, simulation_id: uuid.UUID, fence: int, reason: str, *, counted: bool = False
    ) -> bool:
        """Wait as long as it has been failing, so that each wait doubles that."""
        held = _held(simulation_id, fence)
        failing = held.values(failing_since=func.coalesce(Simulation.failing_since, now_seconds()))
        columns = Simulation.attempts, Simulation.failing_since, now_seconds()
        row: Any = session.execute(failing.returning(*columns)).first()
        if row is None:
            raise JobLostError(f"job {simulation_id} is no longer this worker's")
        attempts, since, now = row[-3:]
        reason = reason[:_LONGEST_ERROR]
        tried = None
        if counted and attempts >= self._attempts:
            tried = f"tried {attempts} times"
        elif now - since > _LONGEST_FAILING_HOURS * 3600.0:
            tried = f"tried for {_LONGEST_FAILING_HOURS:.0f} hours"
        if tried is not None:
            session.execute(held.values(status=FAILED, error=f"{reason} ({tried})", completed=now, **_FREE))
            return False
        wait = min(max(now - since, _FIRST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
        again = {"status": PENDING, "error": reason, "ready": now + wait, "attempts": attempts - (not counted)}
        session.execute(held.values(**again, **_FREE))
        return True

    def release(self, job: Job) -> None:
        """This worker ends, and another may go on at once; the attempt does not count."""
        with self._database.writing() as session:
            self._write(session, job, status=PENDING, attempts=Simulation.attempts - 1, **_FREE)

    def _end(self, session: Session, job: Job, **values: Any) -> None:
        self._write(session, job, completed=now_seconds(), **_FREE, **values)
        session.execute(delete(Chunk).where(Chunk.simulation_id == job.id))

    def _write(self, session: Session, job: Job, **values: Any) -> None:
        if not session.execute(_held(job.id, job.fence).values(**values)).first():
            raise JobLostError(f"job {job.id} is no longer this worker's")

    # For everybody

    def cancel(self, simulation_id: uuid.UUID) -> bool:
        """Cancel a job that is pending or processing: from now on no worker can record anything. False if it ended."""
        with self._database.writing() as session:
            cancelled = (
                update(Simulation)
                .where(Simulation.id == simulation_id, Simulation.status.in_((PENDING, PROCESSING)))
                .values(status=CANCELLED, completed=now_seconds(), **_FREE)
                .returning(Simulation.id)
                .execution_options(synchronize_session=False)
            )
            if session.execute(cancelled).first() is None:
                return False
            session.execute(delete(Chunk).where(Chunk.simulation_id == simulation_id))
            return True

    def counts(self) -> tuple[dict[str, dict[str, int]], int]:
        """Jobs by lane and status (pending, processing), and the workers that have been heard of lately."""
        lanes = {lane: {PENDING: 0, PROCESSING: 0} for lane in LANES}
        with self._database.reading() as session:
            query = (
                select(Simulation.lane, Simulation.status, func.count())
                .where(Simulation.status.in_((PENDING, PROCESSING)))
                .group_by(Simulation.lane, Simulation.status)
            )
            for lane, status, count in session.execute(query):
                lanes.setdefault(lane, {PENDING: 0, PROCESSING: 0})[status] = count
            fresh = case((WorkerProcess.seen > now_seconds() - self._lease, 1), else_=0)
            workers = session.execute(select(func.coalesce(func.sum(fresh), 0))).scalar_one()
        return lanes, int(workers)


_FREE: dict[str, Any] = {"worker": None, "lease_until": None}


def _failing_since(idle_since: Any) -> Any:
    """Later by the time in which nobody tried: only that of tries, and of the waits between them, counts as failing."""
    return Simulation.failing_since + (now_seconds() - idle_since)


def _among(claims: Collection[Claim]) -> ColumnElement[bool]:
    return tuple_(Simulation.id, Simulation.fence).in_(claims)


def _held(simulation_id: uuid.UUID, fence: int) -> ReturningUpdate[Any]:
    return (
        update(Simulation)
        .where(Simulation.id == simulation_id, Simulation.fence == fence, Simulation.status == PROCESSING)
        .returning(Simulation.id)
        .execution_options(synchronize_session=False)
    )
