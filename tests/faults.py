"""What goes wrong with files, processes and networks, on demand: damage, full disks, kills, broken answers.

Every injector does the real thing where the machine allows it: real signals, a real file system without room.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest

from tests.deaths import deaths as deaths
from tests.proxy import Fault as Fault
from tests.proxy import Proxy as Proxy

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_SECONDS = 60.0  # generous: a loaded machine must not fail a test


# --- Files


def cut(source: Path, target: Path, size: int) -> Path:
    """The first `size` bytes of `source`, as a download that stopped."""
    target.write_bytes(source.read_bytes()[:size])
    return target


def overwrite_in_place(path: Path, offset: int, content: bytes) -> None:
    """Other bytes in the same file, as `cp` onto it does; its time of change moves on."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    _touch_later(path, before)


def truncate_in_place(path: Path, size: int) -> None:
    before = path.stat()
    os.truncate(path, size)
    _touch_later(path, before)


def replace_by_rename(path: Path, other: Path) -> None:
    """Another file under the name, as every atomic writer does."""
    temporary = path.with_name(f"{path.name}.new")
    shutil.copyfile(other, temporary)
    temporary.replace(path)


def _touch_later(path: Path, before: os.stat_result) -> None:
    # File systems keep time in ticks of some ms: a write right after another one may not show in it.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a wind file, to be changed and written as another tool would."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def rewrite(path: Path, **changes: Any) -> Path:
    """Write `path` again with numpy.savez; None leaves an array out."""
    content = {**arrays(path), **changes}
    np.savez(path, allow_pickle=True, **{name: value for name, value in content.items() if value is not None})
    return path


# --- Disks


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: writing fails midway with a real OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own with so much room in `folder`; the test is skipped where mounting is not permitted."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(folder: Path) -> Path:
    """Leave no byte of room on the file system of `folder`; returns the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def full_disk(*_args: Any, **_more: Any) -> NoReturn:
    """In the place of a function that writes."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def no_permission(folder: Path) -> Iterator[None]:
    """`folder` cannot be entered by this process, which for its sake is not root for a while."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(mode)


# --- Processes


class Process:
    """A Python process that runs `code` in the repository, with `arguments` as `sys.argv[1:]`.

    As a context manager it is killed at the end. `code` says what it has reached with `print(..., flush=True)`.
    """

    def __init__(self, code: str, *arguments: object) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (it is closed with the process)
        self._running = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._running.stdout is not None
        self._output = self._running.stdout

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._output.close()
        self._errors.close()

    def line(self) -> str:
        """The next line it prints; fails the test when it ends instead."""
        line = self._output.readline()
        assert line, f"the process ended: {self._said()}"
        return line.strip()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._running.kill()
        self._running.wait(DEADLINE_SECONDS)

    def result(self) -> str:
        """What else it prints until its end, which must be a good one."""
        output = self._output.read()
        assert self.status() == 0, self._said()
        return output.strip()

    def status(self) -> int:
        """Its exit status, minus the signal that killed it."""
        return self._running.wait(DEADLINE_SECONDS)

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


# For the code of a `Process`: it dies by SIGKILL in the middle of that step of an atomic write.
DEATHS = {
    "write": """
import builtins, os, pathlib, signal
def write_bytes(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.write_bytes = write_bytes
""",
    "fsync": """
import os, signal
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
""",
    "rename": """
import os, pathlib, signal
pathlib.Path.replace = lambda path, target: os.kill(os.getpid(), signal.SIGKILL)
""",
}

KILLED = -signal.SIGKILL


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for `condition` with a deadline far beyond what any machine needs."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} has not come within {DEADLINE_SECONDS:.0f} s")
        time.sleep(0.005)


def open_files() -> int:
    """Descriptors that this process holds, without those of objects that nobody refers to any more."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def sha256(path: Path) -> str:
    """The SHA-256 of a file, computed apart from the code under test."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
