"""Where the chunks of jobs run: the cores of this machine, or a Dask cluster."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from gefs import Remote
from habsim.balloons import warm_up as warm_up_climbs
from habsim.classes import Simulator
from habsim.errors import UnavailableError
from missions.jobtypes import JobType
from missions.running import Cores, timed
from opening import open_orchestrator
from settings import Settings
from simulate import Orchestrator
from store.opening import open_bucket

log = logging.getLogger(__name__)

_ASK_SECONDS = 3.0  # how long an answer of the scheduler is taken as it is
_TRUST_SECONDS = 60.0  # and for how long while it gives no other


class LocalCores:
    """Threads of this process: the kernels leave the interpreter to others while they run."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._cores = os.cpu_count() or 1
        # One more than cores: a short job does not wait for the chunks of a long one.
        self._threads = ThreadPoolExecutor(self._cores + 1, thread_name_prefix="chunks")

    def at_once(self) -> int:
        return self._cores

    def submit(self, kind: JobType, spec: Any) -> Future[tuple[bytes, float]]:
        return self._threads.submit(timed, kind, spec, self._orchestrator)


class DaskCores:
    """The workers of a Dask cluster. A spec names wind files; each of them opens its own, by its own settings."""

    def __init__(self, address: str, wait_seconds: float = 5.0) -> None:
        """Raises UnavailableError where there is no cluster, or no `dask.distributed` here."""
        try:
            from distributed import KilledWorker
        except ImportError as error:
            raise UnavailableError("HABSIM_DASK_SCHEDULER needs `pip install -r requirements-dask.txt`") from error
        self._losses = (KilledWorker, CancelledError)
        self._address = address
        self._wait_seconds = wait_seconds
        # Protects the client while it is made anew.
        self._lock = threading.Lock()
        self._client: Any = None
        # How many at once, and when that was answered; then when it was asked last. Both by the monotonic clock.
        self._answer: tuple[int, float] | None = None
        self._asked = 0.0
        self._connected()

    def _connected(self) -> Any:
        """A client that has its scheduler: one that lost it tries for a while, and is made anew when it gave up."""
        from distributed import Client

        with self._lock:
            if self._client is None or self._client.status == "closed":
                try:
                    self._client = Client(self._address, timeout=self._wait_seconds, set_as_default=False)
                except OSError as error:
                    raise UnavailableError(f"there is no Dask scheduler at {self._address}: {error}") from error
            if self._client.status != "running":
                raise UnavailableError(f"the Dask scheduler at {self._address} does not answer")
            return self._client

    def at_once(self) -> int:
        """Two for each thread of the cluster, so that none waits for its next one; asked every few seconds at most."""
        client, answer, now = self._connected(), self._answer, time.monotonic()
        if answer is not None and now - self._asked < _ASK_SECONDS:
            return answer[0]
        self._asked = now
        try:
            threads: dict[str, int] = client.sync(client.scheduler.ncores, callback_timeout=self._wait_seconds)
        except TimeoutError as error:
            # The chunks run on while the scheduler has much to do.
            if answer is not None and now - answer[1] < _TRUST_SECONDS:
                self._asked = time.monotonic()
                return answer[0]
            self._answer = None
            raise UnavailableError(f"the Dask scheduler at {self._address} does not answer") from error
        except (OSError, AttributeError, CancelledError) as error:  # a client that closes now has no scheduler
            raise UnavailableError(f"the Dask scheduler at {self._address} does not answer") from error
        if not threads:
            self._answer = None
            raise UnavailableError(f"the Dask cluster at {self._address} has no workers")
        at_once = 2 * sum(threads.values())
        self._answer = at_once, now
        return at_once

    def close(self) -> None:
        self._client.close()

    def submit(self, kind: JobType, spec: Any) -> Future[tuple[bytes, float]]:
        from distributed.client import ClosedClientError

        future: Future[tuple[bytes, float]] = Future()
        try:
            computed = self._connected().get_executor(pure=False, retries=3).submit(compute_here, kind, spec)
        except ClosedClientError as error:
            raise UnavailableError(f"the Dask cluster does not take a chunk: {error}") from error
        computed.add_done_callback(lambda done: self._hand_over(done, future))
        future.add_done_callback(lambda asked: computed.cancel() if asked.cancelled() else None)
        return future

    def _hand_over(self, done: Future[tuple[bytes, float]], future: Future[tuple[bytes, float]]) -> None:
        """What came of a chunk; that the cluster lost it may be better another time."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = done.result()
        except self._losses as error:
            future.set_exception(UnavailableError(f"the Dask cluster lost a chunk: {type(error).__name__}"))
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is asked for)
            future.set_exception(error)
        else:
            future.set_result(result)


def compute_here(kind: JobType, spec: Any) -> tuple[bytes, float]:
    """A chunk on a worker of the cluster."""
    return timed(kind, spec, _orchestrator_of_process())


@functools.cache
def _orchestrator_of_process() -> Orchestrator:
    return orchestrator_for(Settings())


def orchestrator_for(settings: Settings) -> Orchestrator:
    """An orchestrator with its kernels compiled, for a process that computes jobs."""
    remote = Remote(cache_files=settings.cache_files, cache_bytes=settings.cache_gb * 1e9)
    orchestrator, _ = open_orchestrator(settings, open_bucket(settings), remote)
    Simulator.warm_up(orchestrator.ground, approaches=True)
    warm_up_climbs()
    return orchestrator


def open_cores(settings: Settings, orchestrator: Orchestrator) -> Cores:
    """Where this worker computes. Raises UnavailableError where that cannot be reached."""
    if settings.dask_scheduler is None:
        return LocalCores(orchestrator)
    return DaskCores(settings.dask_scheduler)
