"""Files that several processes share: atomic writes and `fcntl` locks.

A lock is held by an open file, so a killed process gives it back by dying.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

Held = TypeVar("Held")

# A timed wait on an fcntl lock does not exist in a thread, so a lock with a deadline is tried this often.
RETRY_SECONDS = 0.005
# A temporary file that nobody has written to for so long was left by a process that was killed.
ABANDONED_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; when the block ends well it becomes `path`.

    Readers see the old file or the whole new one. With `durable` the bytes are on disk before the rename;
    without, a power cut may lose the file (for progress and caches). On any error the temporary file goes; that of a
    killed process goes an hour later, with the next durable write in the folder.
    """
    if durable:
        remove_abandoned(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        if durable:
            _fsync(temporary)
        temporary.replace(path)
        if durable:
            _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of `folder` that a killed process has left."""
    for temporary in folder.glob(".*.*.????????.part"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_ctime > ABANDONED_SECONDS:
                temporary.unlink()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`, whole or not at all."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def try_lock(path: Path, *, shared: bool = False, create: bool = True) -> int | None:
    """Lock `path` now and return the open descriptor that holds the lock, or None when it is taken.

    A file that is not there is made; without `create` that raises FileNotFoundError.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _within(wait_seconds: float, attempt: Callable[[], Held | None]) -> Held | None:
    """What `attempt` gets, tried until it gets something or `wait_seconds` have passed."""
    deadline = time.monotonic() + wait_seconds
    while (held := attempt()) is None and time.monotonic() < deadline:
        time.sleep(RETRY_SECONDS)
    return held


@contextlib.contextmanager
def first_free(paths: list[Path], wait_seconds: float) -> Iterator[Path | None]:
    """Hold the first of `paths` that can be locked within `wait_seconds`; None when none could."""

    def attempt() -> tuple[Path, int] | None:
        for path in paths:
            descriptor = try_lock(path)
            if descriptor is not None:
                return path, descriptor
        return None

    held = _within(wait_seconds, attempt)
    if held is None:
        yield None
        return
    try:
        yield held[0]
    finally:
        os.close(held[1])


@contextlib.contextmanager
def exclusive(path: Path, wait_seconds: float) -> Iterator[bool]:
    """Hold the lock of `path` alone, waiting at most `wait_seconds`; gives whether it is held.

    The file is removed at the end, so names that are used once leave nothing behind.
    """

    def attempt() -> int | None:
        while (descriptor := try_lock(path)) is not None and not _is_at(descriptor, path):
            # The holder before us removed the file: this lock is on a name nobody else will see.
            os.close(descriptor)
        return descriptor

    descriptor = _within(wait_seconds, attempt)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def prune(folder: Path, *, keep: int, max_age_seconds: float, now: float, keep_bytes: float = math.inf) -> None:
    """Remove files of `folder` older than `max_age_seconds` at Unix time `now`, or beyond the newest `keep`.

    Also those that with all newer ones make more than `keep_bytes`, but not the newest.
    """
    found = []
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat()
            found.append((status.st_mtime, entry.path, status.st_size))
    found.sort(reverse=True)
    total = 0
    for index, (modified, path, size) in enumerate(found):
        total += size
        if index >= keep or now - modified > max_age_seconds or (index > 0 and total > keep_bytes):
            Path(path).unlink(missing_ok=True)
