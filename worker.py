"""The worker: computes the jobs of the queue. `python worker.py`, any number of them on any number of machines.

Two lanes: forward jobs two at once, reverse searches one at once. A worker that is asked to end lets go of its jobs,
which others then go on with; one that is killed loses at most the chunks under way.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cutfiles
from habsim.errors import DatabaseError, HabsimError, UnavailableError
from housekeeping import Housekeeper
from missions.cluster import open_cores, orchestrator_for
from missions.database import Database
from missions.jobs import Claim, Queue
from missions.jobtypes import JOB_TYPES, JobType
from missions.leftovers import sweep
from missions.results import Results
from missions.running import Runner, Running
from opening import look_for_cycle
from settings import Settings, read_settings

log = logging.getLogger("worker")

AT_ONCE = {"forward": 2, "reverse": 1}
POLL_SECONDS = 0.15
RECOVER_SECONDS = 2.0
SWEEP_SECONDS = 3600.0
_AFTER_FAILURE_SECONDS = 2.0


class Worker:
    """Claims jobs, runs each in a thread, and keeps their leases alive."""

    def __init__(self, settings: Settings, types: dict[str, JobType]) -> None:
        self.name = f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._database = Database(settings)
        self._settings = settings
        self._queue = Queue(self._database, settings, self.name, list(types))
        orchestrator = orchestrator_for(settings)
        self.cycles = orchestrator.cycles
        self._results = Results(settings, shared_database=self._database.is_shared)
        self._cores = open_cores(settings, orchestrator)
        self._runner = Runner(self._queue, self._results, types, orchestrator, self._cores)
        self._threads = ThreadPoolExecutor(sum(AT_ONCE.values()), thread_name_prefix="jobs")
        self._started = time.time()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._next_look = self._next_recovery = 0.0
        # Protects the jobs under way.
        self._lock = threading.Lock()
        self._running: dict[Claim, Running] = {}

    def stop(self) -> None:
        """End soon: from a signal."""
        self._stopping.set()
        self._wake.set()

    def run(self, parent: int | None = None) -> None:
        """Work until `stop`, or until the process `parent` that started this one is gone."""
        heart = threading.Thread(target=self._beat, name="heartbeat")
        heart.start()
        threading.Thread(target=self._sweep, name="sweeping", daemon=True).start()
        log.info("worker %s waits for jobs", self.name)
        try:
            while not self._stopping.is_set():
                if parent is not None and os.getppid() != parent:
                    log.info("what started this worker is gone: it ends")
                    break
                pause = POLL_SECONDS
                try:
                    self._start_jobs()
                except (DatabaseError, UnavailableError, OSError) as error:
                    log.warning("no jobs can be claimed: %s", error)
                    pause = _AFTER_FAILURE_SECONDS
                    if not isinstance(error, UnavailableError):
                        # Others could not renew their leases either: they get the time to do so first.
                        self._next_recovery = time.monotonic() + self._settings.job_lease_seconds
                self._wake.wait(pause)
                self._wake.clear()
        finally:
            self._stopping.set()
            self._threads.shutdown(wait=True)
            heart.join()
            try:
                self._queue.leave()
            except (DatabaseError, OSError) as error:
                log.warning("the worker leaves without a word: %s", error)
        log.info("worker %s has ended", self.name)

    def _start_jobs(self) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + RECOVER_SECONDS
            self._queue.give_back(self._under_way())
            if time.monotonic() >= self._next_recovery:
                self._queue.recover()
        while (free := self._free_lanes()) and (waiting := self._queue.waiting(free)):
            self._cores.at_once()  # what cannot be computed now is not claimed
            for lane in waiting:
                job = self._queue.claim(lane)
                if job is None:
                    return  # another worker was faster
                running = Running(job, self._stopping)
                with self._lock:
                    self._running[job.id, job.fence] = running
                self._threads.submit(self._run, running)

    def _free_lanes(self) -> list[str]:
        lanes = [running.job.lane for running in self._under_way().values()]
        return [lane for lane, places in AT_ONCE.items() if lanes.count(lane) < places]

    def _under_way(self) -> dict[Claim, Running]:
        with self._lock:
            return dict(self._running)

    def _run(self, running: Running) -> None:
        job = running.job
        began = time.monotonic()
        try:
            self._runner.run(running)
        except (DatabaseError, OSError) as error:
            # It is given back when the database answers again.
            log.warning("what job %s came to cannot be recorded: %s", job.id, error)
        finally:
            with self._lock:
                self._running.pop((job.id, job.fence), None)
            self._wake.set()
        log.info("job %s (%s, attempt %d) took %.2f s", job.id, job.type, job.attempts, time.monotonic() - began)

    def _beat(self) -> None:
        """Renew the leases, and tell the jobs that are no longer ours."""
        while True:
            mine = self._under_way()
            try:
                held = self._queue.heartbeat(self._started, mine)
            except (DatabaseError, OSError) as error:
                log.warning("the leases cannot be renewed: %s", error)
            else:
                for key, running in mine.items():
                    if key not in held:
                        running.lost.set()
            if self._stopping.wait(self._settings.job_lease_seconds / 4) and not self._running:
                return
            if self._stopping.is_set():
                time.sleep(0.1)  # its last jobs still need their leases

    def _sweep(self) -> None:
        """Remove now and then what workers that were killed have left, and give space back."""
        while True:
            try:
                removed = sweep(self._database, self._results)
                if removed:
                    log.info("%d files of workers that were killed are removed", removed)
                self._database.shrink()
            except (HabsimError, OSError) as error:
                log.warning("files that workers left are not looked for: %s", error)
            if self._stopping.wait(SWEEP_SECONDS):
                return


def main() -> int:
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    parent = int(sys.argv[1]) if len(sys.argv) > 1 else None
    settings = read_settings()
    try:
        worker = Worker(settings, JOB_TYPES)
    except HabsimError as error:
        raise SystemExit(error.message) from None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: worker.stop())
    cutfiles.install()
    look_for_cycle(worker.cycles)
    lock = settings.data_dir / "locks" / "housekeeping.lock"
    Housekeeper(worker.cycles, lock, settings.prefetch, settings.prefetch_mb_per_second * 1e6).start()
    worker.run(parent)
    return 0


if __name__ == "__main__":
    # The kernels leave little to the interpreter, but a heartbeat must not wait for what they leave.
    sys.setswitchinterval(0.0005)
    sys.exit(main())
