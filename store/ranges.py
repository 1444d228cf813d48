"""Many byte ranges of objects, read at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from store.bucket import Bucket

CONNECTIONS = 32  # at once, of one process
MERGE_BYTES = 64 << 10  # a gap so wide costs less than another request
LARGEST_BYTES = 8 << 20  # of one request, so that a lost connection loses little

Range = tuple[int, int]  # offset and length in bytes
Take = Callable[[int, bytes], None]  # gets the offset of some bytes, and them


def merged(ranges: Sequence[Range]) -> list[Range]:
    """The bytes of `ranges` (in any order, none overlapping) in few requests: small gaps read over, long runs cut."""
    runs: list[list[int]] = []
    for offset, length in sorted(ranges):
        if runs and offset - runs[-1][1] <= MERGE_BYTES:
            runs[-1][1] = offset + length
        else:
            runs.append([offset, offset + length])
    return [
        (offset, min(LARGEST_BYTES, end - offset)) for first, end in runs for offset in range(first, end, LARGEST_BYTES)
    ]


class RangeReader:
    """Reads ranges of a bucket's objects with many connections. Safe for threads, and across a fork."""

    def __init__(self, bucket: Bucket, moved: Callable[[int], None] = lambda size: None) -> None:
        """`moved` is told the bytes of each range that has come, by any thread."""
        self.bucket = bucket
        self._moved = moved
        # Protects the pool.
        self._lock = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def read(self, name: str, version: str, ranges: Sequence[Range], take: Take) -> None:
        """Have `take` called with the bytes of each range of that version of an object, in any order, by any thread.

        The first failure is raised when all requests have ended: BucketError, ObjectChangedError when the object was
        replaced, NotFoundError when it is gone, or what `take` raises.
        """

        def one(offset: int, length: int) -> None:
            content = self.bucket.read_range(name, offset, length, version)
            self._moved(length)
            take(offset, content)

        if len(ranges) == 1:
            one(*ranges[0])
            return
        futures = [self._threads().submit(one, *part) for part in ranges]
        failures = [error for future in as_completed(futures) if (error := future.exception()) is not None]
        if failures:
            raise failures[0]

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            # The threads of a process do not follow it into those it forks.
            if self._pool is None or self._pool[0] != os.getpid():
                self._pool = (os.getpid(), ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ranges"))
            return self._pool[1]
