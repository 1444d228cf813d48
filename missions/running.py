"""Runs one job of the queue: its chunks on the cores of this machine or on a cluster, then its result."""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from habsim.errors import (
    BucketError,
    BusyError,
    CycleChangedError,
    DatabaseError,
    HabsimError,
    JobLostError,
    StoppedError,
    UnavailableError,
    WindFileError,
)
from missions.jobs import Job, Outcome, Queue
from missions.jobtypes import JobType
from missions.results import Results
from simulate import Orchestrator

log = logging.getLogger(__name__)

# What is better another time, if days later.
_PASSING = (UnavailableError, BucketError, BusyError, DatabaseError)
_FULL = {errno.ENOSPC, errno.EDQUOT}
# Without any chunk that finishes, while all are to take some seconds: more than any queue before them should need.
_LONGEST_STILL_SECONDS = 3600.0
_LOOK_SECONDS = 0.5  # how often a job that waits for its chunks looks whether it should end


class Cores(Protocol):
    """Where chunks run. Both raise UnavailableError while there is nowhere to."""

    def at_once(self) -> int:
        """How many chunks of one job are given to it at a time."""
        ...

    def submit(self, kind: JobType, spec: Any) -> Future[tuple[bytes, float]]:
        """Compute a chunk; its result and the seconds that it took."""
        ...


def timed(kind: JobType, spec: Any, orchestrator: Orchestrator) -> tuple[bytes, float]:
    """The result of a chunk, and the seconds that it took."""
    began = time.perf_counter()
    return kind.run_chunk(spec, orchestrator), time.perf_counter() - began


@dataclass
class Running:
    """A job under way: `lost` is set when it is no longer this worker's, `stopping` when the worker is to end."""

    job: Job
    stopping: Event
    lost: Event = field(default_factory=Event)


class Runner:
    """Runs the jobs of a worker, in any of its threads."""

    def __init__(
        self,
        queue: Queue,
        results: Results,
        types: dict[str, JobType],
        orchestrator: Orchestrator,
        cores: Cores,
    ) -> None:
        self._queue = queue
        self._results = results
        self._types = types
        self._orchestrator = orchestrator
        self._cores = cores

    def run(self, running: Running) -> None:
        """Compute a job and record what it came to. Raises DatabaseError where that cannot be recorded."""
        job = running.job
        try:
            self._compute(running)
        except JobLostError:
            log.info("job %s was taken away", job.id)
        except StoppedError:
            self._unless_lost(lambda: self._queue.release(job))
        except CycleChangedError as error:
            reason = error.message
            self._unless_lost(lambda: self._queue.retry(job, reason, anew=True))
        except (*_PASSING, WindFileError, OSError) as error:
            reason = error.message if isinstance(error, HabsimError) else str(error)
            log.warning("job %s, attempt %d: %s", job.id, job.attempts, reason)
            # A file may have been replaced while it was read; one that is damaged stays so.
            passes = isinstance(error, _PASSING) or (isinstance(error, OSError) and error.errno in _FULL)
            self._unless_lost(lambda: self._queue.retry(job, reason, counted=not passes))
        except HabsimError as error:
            reason = error.message
            self._unless_lost(lambda: self._queue.fail(job, reason))
        except Exception:
            # The outermost of a job, as that of a request: what nobody thought of fails this one and no other.
            log.exception("job %s failed", job.id)
            self._unless_lost(lambda: self._queue.fail(job, f"internal error; the log has it under job {job.id}"))

    def _unless_lost(self, write: Callable[[], object]) -> None:
        try:
            write()
        except JobLostError:
            log.info("a job was taken away")

    def _compute(self, running: Running) -> None:
        job = running.job
        kind = self._types[job.type]
        plan = job.plan
        if plan is None:
            plan = kind.plan(job.config, self._orchestrator)
            self._queue.save_plan(job, plan)
        specs = list(kind.chunks(plan))
        if len(specs) == 1:
            ((_, result, seconds),) = self._computed(running, kind, {0: specs[0]})
            combined = kind.combine(plan, [result])
        else:
            seconds = self._compute_chunks(running, kind, specs)
            combined = kind.combine(plan, self._queue.chunk_results(job, len(specs)))
        kept = self._results.keep(job.id, job.fence, combined.content)
        try:
            self._queue.complete(job, Outcome(kept, combined.provenance, seconds))
        except JobLostError:
            self._results.remove([kept.reference] if kept.reference else [])
            raise

    def _compute_chunks(self, running: Running, kind: JobType, specs: list[Any]) -> float:
        """Compute the chunks that are not kept yet, keep each; the seconds that all took."""
        kept = self._queue.kept_chunks(running.job)
        missing = {number: spec for number, spec in enumerate(specs) if number not in kept}
        for number, result, seconds in self._computed(running, kind, missing):
            kept[number] = seconds
            self._queue.keep_chunk(running.job, number, result, seconds, 100.0 * len(kept) / (len(specs) + 1))
        return sum(kept.values())

    def _computed(self, running: Running, kind: JobType, specs: dict[int, Any]) -> Iterator[tuple[int, bytes, float]]:
        """Each chunk's number, result and seconds, as they finish.

        Raises JobLostError, StoppedError, and UnavailableError where none finishes.
        """
        pending = deque(specs.items())
        under_way: dict[Future[tuple[bytes, float]], int] = {}
        finished = time.monotonic()
        try:
            while True:
                at_once = self._cores.at_once()
                # What runs when the worker is to end is waited for, and kept.
                while pending and len(under_way) < at_once and not running.stopping.is_set():
                    number, spec = pending.popleft()
                    under_way[self._cores.submit(kind, spec)] = number
                if not under_way:
                    if pending:
                        raise StoppedError("the worker ends")
                    return
                done, _ = wait(under_way, _LOOK_SECONDS, FIRST_COMPLETED)
                if done:
                    finished = time.monotonic()
                elif time.monotonic() - finished > _LONGEST_STILL_SECONDS:
                    raise UnavailableError(f"no chunk has finished in {_LONGEST_STILL_SECONDS:g} s")
                for future in done:
                    yield (under_way.pop(future), *future.result())
                if running.lost.is_set():
                    raise JobLostError(f"job {running.job.id} is no longer this worker's")
        finally:
            for future in under_way:
                future.cancel()
