"""What one process of a machine does in the background for all of them, where the bucket is elsewhere.

It looks for a new cycle, fetches the rest of wind files that flights have begun to use, and keeps the disk cache within
its bounds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Literal

import sharedfiles
from gefs import Cycle, Cycles
from habsim.errors import HabsimError, NotFoundError, WindFileError
from store.cache import Published

log = logging.getLogger(__name__)

Prefetch = Literal["off", "used", "all"]
LOOK_SECONDS = 5.0


class Housekeeper:
    """Runs in every web process; the one that holds the lock does the work, and gives it up by dying."""

    def __init__(self, cycles: Cycles, lock: Path, prefetch: Prefetch, bytes_per_second: float) -> None:
        """`prefetch`: which wind files of the current cycle are completed; at most `bytes_per_second`."""
        self._cycles = cycles
        self._lock = lock
        self._prefetch = prefetch
        self._bytes_per_second = bytes_per_second
        self._stop = threading.Event()
        self._next_batch = 0.0
        self._is_full = False
        # Of the cycle of that version: what was completed, and what was said last of each file that was not.
        self._version = ""
        self._completed: set[str] = set()
        self._said: dict[str, str] = {}

    def start(self) -> None:
        """Work in a thread of its own until the process ends. A bucket on this machine needs none."""
        if not self._cycles.is_local:
            threading.Thread(target=self._run, name="housekeeping", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        held = None
        try:
            while not self._stop.is_set():
                try:
                    self._lock.parent.mkdir(parents=True, exist_ok=True)
                    held = sharedfiles.try_lock(self._lock) if held is None else held
                    if held is not None:
                        self.tidy()
                        self._said.pop("", None)
                except (HabsimError, OSError) as error:
                    self._say("", f"housekeeping waits: {error}")
                self._stop.wait(LOOK_SECONDS)
        finally:
            if held is not None:
                os.close(held)

    def _say(self, subject: str, what: str) -> None:
        """Log `what`, unless it was the last that was said of `subject`: each round would say it again."""
        if self._said.get(subject) != what:
            self._said[subject] = what
            log.warning("%s", what)

    def tidy(self) -> None:
        """One round. Raises what the bucket raises, and UnavailableError on a full disk."""
        cycle = self._cycles.current()
        cache = self._cycles.cache
        cache.remove_others(cycle.name, time.time())
        cache.trim()
        if cycle.version != self._version:
            self._version = cycle.version
            self._completed.clear()
            self._said.clear()
        settled: set[str] = set()
        while (published := self._next(cycle, settled)) is not None:
            name = published.name
            settled.add(name)
            try:
                if not cache.complete(published, lambda size: self._pace(size, cycle)):
                    return
            except (WindFileError, NotFoundError) as error:  # of this file; what else there is stops all
                self._say(name, f"{name} is not completed: {error.message}")
            else:
                self._completed.add(name)

    def _next(self, cycle: Cycle, settled: set[str]) -> Published | None:
        """The wind file to complete now: those in use first, the latest used before the others."""
        if self._prefetch == "off":
            return None
        entries = {entry.name: entry for entry in self._cycles.cache.entries()}

        def is_wanted(name: str) -> bool:
            if name in entries:
                return not entries[name].is_whole
            # One that had to leave is not fetched again: a cache without room for all would never come to rest.
            return self._prefetch == "all" and name not in self._completed

        files = [cycle.published(member) for member in cycle.members]
        waiting = [file for file in files if file.name not in settled and is_wanted(file.name)]
        return max(waiting, key=lambda file: entries[file.name].used if file.name in entries else 0.0, default=None)

    def _pace(self, size: int, cycle: Cycle) -> bool:
        """Wait until `size` bytes may be fetched; False when this file is not to be completed now."""
        cache = self._cycles.cache
        full = cache.used_bytes() + size > cache.max_bytes
        if full and not self._is_full:
            log.warning("the disk cache is full (HABSIM_CACHE_GB): wind files are not completed, only used in part")
        self._is_full = full
        if full:
            return False
        now = time.monotonic()
        wait = max(0.0, self._next_batch - now)
        self._next_batch = max(now, self._next_batch) + size / self._bytes_per_second
        return not self._stop.wait(wait) and self._cycles.current().version == cycle.version
