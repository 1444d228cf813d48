"""Serves: gunicorn and the workers beside it, which begin and end together. `make run` starts it."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from settings import read_settings

log = logging.getLogger("serve")

_ROOT = Path(__file__).resolve().parents[1]
_LOOK_SECONDS = 0.2
_RESTART_SECONDS = 2.0  # after the end of a worker, so that one that cannot start does not spin
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_SECONDS = 75.0  # more than gunicorn gives to running requests


class Processes:
    """gunicorn, whose end is the end of all, and workers, which are started again."""

    def __init__(self, workers: int) -> None:
        self._ending = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._end)
        command = [sys.executable, "-m", "gunicorn", "--config", "gunicorn_config.py", "app:app"]
        dying = functools.partial(_end_with, os.getpid()) if sys.platform == "linux" else None
        self._web = subprocess.Popen(command, cwd=_ROOT, preexec_fn=dying)  # noqa: PLW1509  (there are no threads)
        self._workers: list[subprocess.Popen[bytes] | None] = [None] * workers
        self._next_start = [0.0] * workers

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def run(self) -> int:
        """The exit status of gunicorn."""
        while not self._ending and self._web.poll() is None:
            for index, worker in enumerate(self._workers):
                if worker is not None and worker.poll() is not None:
                    log.warning("worker %d ended with %d and is started again", worker.pid, worker.returncode)
                    self._workers[index] = None
                    self._next_start[index] = time.monotonic() + _RESTART_SECONDS
                elif worker is None and time.monotonic() >= self._next_start[index]:
                    # Told whose child it is, so that it ends when this process is killed.
                    command = [sys.executable, "worker.py", str(os.getpid())]
                    self._workers[index] = subprocess.Popen(command, cwd=_ROOT)
            time.sleep(_LOOK_SECONDS)
        return self._stop()

    def _stop(self) -> int:
        processes = [self._web, *(worker for worker in self._workers if worker is not None)]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return 0 if self._ending else self._web.returncode


def _end_with(parent: int) -> None:
    """In a new process: the kernel asks it to end when its parent is killed, which can tell it nothing."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it was killed before


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s")
    return Processes(read_settings().job_workers).run()


if __name__ == "__main__":
    sys.exit(main())
