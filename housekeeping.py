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
from habsim.errors import HabsimError
from store.cache import Published

log = logging.getLogger(__name__)

Prefetch = Literal["off", "used", "all"]
LOOK_SECONDS = 10.0


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
                    held = sharedfiles.try_lock(self._lock) if held is None else held
                    if held is not None:
                        self.tidy()
                except (HabsimError, OSError) as error:
                    log.warning("housekeeping waits: %s", error)
                self._stop.wait(LOOK_SECONDS)
        finally:
            if held is not None:
                os.close(held)

    def tidy(self) -> None:
        """One round. Raises what the bucket raises."""
        cycle = self._cycles.current()
        cache = self._cycles.cache
        cache.remove_others(cycle.name, time.time())
        cache.trim()
        failed: set[str] = set()
        while (published := self._next(cycle, failed)) is not None:
            try:
                if not cache.complete(published, lambda size: self._pace(size, cycle)):
                    return
            except HabsimError as error:
                log.warning("%s is not completed: %s", published.name, error.message)
                failed.add(published.name)

    def _next(self, cycle: Cycle, failed: set[str]) -> Published | None:
        """The wind file to complete now: those in use first, the latest used before the others."""
        if self._prefetch == "off":
            return None
        entries = {entry.name: entry for entry in self._cycles.cache.entries()}
        files = [cycle.published(member) for member in cycle.members]
        waiting = [
            file
            for file in files
            if file.name not in failed
            and (not entries[file.name].is_whole if file.name in entries else self._prefetch == "all")
        ]
        return max(waiting, key=lambda file: entries[file.name].used if file.name in entries else 0.0, default=None)

    def _pace(self, size: int, cycle: Cycle) -> bool:
        """Wait until `size` bytes may be fetched; False when this file is not to be completed now."""
        cache = self._cycles.cache
        full = cache.used_bytes() + size > cache.max_bytes
        if full and not self._is_full:
            log.warning("the disk cache is full (HABSIM_CACHE_GB): wind files are not completed, only used in part")
        self._is_full = full
        now = time.monotonic()
        wait = max(0.0, self._next_batch - now)
        self._next_batch = max(now, self._next_batch) + size / self._bytes_per_second
        return not full and not self._stop.wait(wait) and self._cycles.current().version == cycle.version
