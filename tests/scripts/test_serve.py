"""`make run`: the service and its worker begin and end together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import ROOT, wait_until
from tests.serving import _OWN
from tests.worlds import make_bucket, make_elevation

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes in /proc")


def children(pid: int) -> dict[int, str]:
    """Processes that `pid` started, and what they run."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Served:
    def __init__(self, folder: Path) -> None:
        make_bucket(folder / "bucket", members=1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        own = {
            "PORT": str(self.port), "HABSIM_WEB_WORKERS": "1", "HABSIM_DATA_DIR": str(folder / "data"),
            "HABSIM_BUCKET_DIR": str(folder / "bucket"), "HABSIM_ELEVATION": str(make_elevation(folder / "g.npz")),
        }  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.serve"], cwd=ROOT, env={**inherited, **own}, stdout=log, stderr=log
            )
        self.log = folder / "log"

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            return answer.status == 200 and "waits for jobs" in self.log.read_text()
        return False

    def worker(self) -> int:
        return next((pid for pid, what in children(self.process.pid).items() if "worker.py" in what), 0)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    everything: set[int] = set()
    try:
        wait_until(running.is_up, "the service and the worker are up")
        everything = set(children(running.process.pid))
        yield running
    finally:
        for pid in (running.process.pid, *everything):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_both_end_together(served: Served, number: signal.Signals) -> None:
    pids = set(children(served.process.pid))
    assert len(pids) == 2
    served.process.send_signal(number)
    assert served.process.wait(60) == 0
    assert not any(is_alive(pid) for pid in pids)
    assert "has ended" in served.log.read_text()


def test_a_worker_that_dies_is_started_again(served: Served) -> None:
    first = served.worker()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: served.worker() not in {0, first}, "another worker is started")


def test_the_end_of_the_service_is_the_end_of_all(served: Served) -> None:
    worker = served.worker()
    (web,) = (pid for pid, what in children(served.process.pid).items() if "gunicorn" in what)
    os.kill(web, signal.SIGTERM)
    served.process.wait(60)
    assert not is_alive(worker)


def test_neither_outlives_what_started_it(served: Served) -> None:
    pids = set(children(served.process.pid))
    assert len(pids) == 2
    served.process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "both have ended")
