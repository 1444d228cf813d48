"""Runs of ensembles, shared by all workers of a machine: their progress, their turns and their kept results.

All of it is files in the data folder, so that any worker can tell, and any can be killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import habsim
import sharedfiles
from habsim.errors import BusyError, HabsimError
from settings import Settings

log = logging.getLogger(__name__)

PROGRESS_INTERVAL_SECONDS = 0.05
PROGRESS_KEPT_SECONDS = 30.0
RESULT_BYTES = 256 << 20  # of all kept results together
RESULT_WAIT_SECONDS = 900.0  # the web server's own limit for a request


class Progress:
    """The progress file of one ensemble, for whoever watches it from whichever worker.

    A failure to write is logged once and otherwise ignored: the answer matters more than its progress. A computation
    turns `keep_result` off when a later one may do better, for example because a member could not be read now.
    """

    def __init__(self, path: Path, run: str, members: int, perturbations: int) -> None:
        self._path = path
        self._next_write = 0.0
        self._writable = True
        # The winds of many members are fetched at once.
        self._lock = threading.Lock()
        self.keep_result = True
        self.state: dict[str, Any] = {
            "completed": 0,
            "total": members * (1 + perturbations),
            "ensemble_completed": 0,
            "ensemble_total": members,
            "montecarlo_completed": 0,
            "montecarlo_total": members * perturbations,
            "percentage": 0,
            "status": "loading",
            "run": run,
        }

    def begin(self) -> None:
        self._write()

    def fetching(self, asked: int, come: int) -> None:
        """So many more bytes of winds are asked for, so many more have come. From any thread."""
        with self._lock:
            self.state["bytes_total"] = self.state.get("bytes_total", 0) + asked
            self.state["bytes_loaded"] = self.state.get("bytes_loaded", 0) + come
            self._write(throttled=True)

    def flown(self, perturbations: int) -> None:
        with self._lock:
            state = self.state
            state["status"] = "simulating"
            state["ensemble_completed"] += 1
            state["montecarlo_completed"] += perturbations
            state["completed"] += 1 + perturbations
            # 100 is said by `complete` alone.
            state["percentage"] = min(99, 100 * state["completed"] // state["total"])
            self._write(throttled=True)

    def complete(self) -> None:
        state = self.state
        state.update(status="complete", percentage=100, completed=state["total"])
        state.update(ensemble_completed=state["ensemble_total"], montecarlo_completed=state["montecarlo_total"])
        self._write()

    def failed(self, reason: str) -> None:
        self.state.update(status="failed", error=reason)
        self._write()

    def _write(self, *, throttled: bool = False) -> None:
        now = time.monotonic()
        if not self._writable or (throttled and now < self._next_write):
            return
        self._next_write = now + PROGRESS_INTERVAL_SECONDS
        try:
            sharedfiles.write_atomically(self._path, json.dumps(self.state).encode(), durable=False)
        except OSError as error:
            self._writable = False
            log.warning("progress %s is not shown: %s", self._path.stem, error.strerror)


class Runs:
    """Every ensemble that runs on this machine, or ran a while ago."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        data = settings.data_dir
        self._results, self._progress, self._locks = data / "results", data / "progress", data / "locks"
        self._slots = [self._locks / f"ensemble-{n}.lock" for n in range(settings.max_ensembles)]
        for folder in (self._results, self._progress, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        for slot in self._slots:
            slot.touch()  # now, so that a full disk later takes nobody's turn

    def once(
        self, request_id: str, key: str, members: int, perturbations: int, compute: Callable[[Progress], bytes]
    ) -> bytes:
        """The result kept under `key`, computed when there is none; by one process at a time on this machine.

        Raises BusyError when no slot for an ensemble gets free in time.
        """
        content = self._kept(key)
        if content is None:
            with contextlib.ExitStack() as stack:
                try:
                    # Whoever holds it computes this very result; a killed process gives it back by dying.
                    stack.enter_context(sharedfiles.exclusive(self._run_lock(key), RESULT_WAIT_SECONDS))
                except OSError as error:
                    log.warning("computing %s without its lock: %s", key, error.strerror)
                content = self._kept(key)
                if content is None:
                    progress = Progress(self._progress_file(request_id), key, members, perturbations)
                    return self._compute(key, progress, compute)
        shown = (self.progress(request_id) or {}).get("status", "failed")
        if shown == "failed":  # else it is complete, or another request of this name is running
            Progress(self._progress_file(request_id), key, members, perturbations).complete()
        return content

    def _compute(self, key: str, progress: Progress, compute: Callable[[Progress], bytes]) -> bytes:
        reason = "internal error"
        progress.begin()
        try:
            with sharedfiles.first_free(self._slots, self._settings.ensemble_wait_seconds) as slot:
                if slot is None:
                    limit = self._settings.max_ensembles
                    raise BusyError(f"{limit} ensembles are running, which is the limit; try again soon", 5)
                content = compute(progress)
            if progress.keep_result:
                self._keep(key, content)
            reason = ""
            return content
        except HabsimError as error:
            reason = error.message
            raise
        finally:
            if reason:
                progress.failed(reason)
            else:
                progress.complete()
            with contextlib.suppress(OSError):
                sharedfiles.prune(self._progress, keep=1000, max_age_seconds=RESULT_WAIT_SECONDS, now=time.time())

    def _kept(self, key: str) -> bytes | None:
        path = self._results / f"{key}.json"
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime <= self._settings.prediction_seconds:
                return path.read_bytes()
        return None

    def _keep(self, key: str, content: bytes) -> None:
        settings, now = self._settings, time.time()
        try:
            sharedfiles.write_atomically(self._results / f"{key}.json", content, durable=False)
            sharedfiles.prune(
                self._results,
                keep=settings.cached_predictions,
                keep_bytes=RESULT_BYTES,
                max_age_seconds=settings.prediction_seconds,
                now=now,
            )
        except OSError as error:
            log.warning("result %s is not kept: %s", key, error.strerror)

    def drop_results(self) -> None:
        """Forget kept results, which a power cut may have damaged; for the start of a server."""
        sharedfiles.prune(self._results, keep=0, max_age_seconds=0.0, now=time.time())

    def progress(self, request_id: str) -> dict[str, Any] | None:
        """The progress of a request; None before it starts and 30 s after it ended.

        A run whose process died reads as failed.
        """
        path = self._progress_file(request_id)
        try:
            state: dict[str, Any] = json.loads(path.read_bytes())
            age = time.time() - path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None
        run = str(state.pop("run"))
        if state["status"] in {"complete", "failed"}:
            return state if age <= PROGRESS_KEPT_SECONDS else None
        if not sharedfiles.is_locked(self._run_lock(run)):
            # It may have ended between the two looks.
            with contextlib.suppress(FileNotFoundError, ValueError):
                state = json.loads(path.read_bytes())
            state.pop("run", None)
            if state["status"] not in {"complete", "failed"}:
                state.update(status="failed", error="the process that computed it ended; ask again")
        return state

    def _progress_file(self, request_id: str) -> Path:
        return self._progress / f"{request_id}.json"

    def _run_lock(self, key: str) -> Path:
        return self._locks / f"run-{key}.lock"

    def kept_results(self) -> int:
        return sum(1 for _ in os.scandir(self._results))

    def running_ensembles(self) -> int:
        """Ensembles that run on this machine now."""
        return sum(sharedfiles.is_locked(slot) for slot in self._slots)


def result_key(*parts: object) -> str:
    """The name under which the result of a request is kept: everything that changes the answer belongs in `parts`."""
    return sha256(repr((habsim.__version__, *parts)).encode()).hexdigest()[:32]
