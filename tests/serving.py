"""A real server for tests: gunicorn in a process of its own, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.worlds import make_elevation

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
DEADLINE = 90.0  # s; generous: a loaded machine compiles the kernels first
_OWN = ("HABSIM_", "S3_", "AWS_", "PROMETHEUS_", "GUNICORN_")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running service. `folder` holds its bucket, data and log."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def get(self, path: str, *, method: str = "GET", timeout: float = DEADLINE, **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, headers={n.replace("_", "-"): v for n, v in headers.items()})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), DEADLINE)

    def workers(self) -> set[int]:
        """Process ids of the web workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def stop(self, wait_seconds: float = DEADLINE) -> int:
        """Stop gracefully, or at last by force. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            for pid in (*self.workers(), self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return self.process.wait()


@contextlib.contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    """Serve the bucket in `folder`/bucket with own settings until the block ends; two workers by default."""
    ground = folder / "ground.npz"
    if not ground.exists():
        make_elevation(ground)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    settings = {
        "PORT": str(port),
        "HABSIM_DATA_DIR": str(folder / "data"),
        "HABSIM_BUCKET_DIR": str(folder / "bucket"),
        "HABSIM_ELEVATION": str(ground),
        "HABSIM_WEB_WORKERS": "2",
        **environment,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "gunicorn_config.py",
        "--bind",
        f"{HOST}:{port}",
        "app:app",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**inherited, **settings}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    server = Server(folder, port, process)
    try:
        wait_until(lambda: answers(server), "the server answers", server)
        count = int(settings["HABSIM_WEB_WORKERS"])
        wait_until(lambda: len(server.workers()) == count, "all workers run", server)
        yield server
    finally:
        server.stop()


def answers(server: Server) -> bool:
    """Whether the server is up. Fails at once when it has ended."""
    assert server.process.poll() is None, f"the server ended:\n{server.log[-4000:]}"
    try:
        return server.get("/health", timeout=5).status == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str, server: Server, seconds: float = DEADLINE) -> None:
    """Wait for a condition, with a deadline that only a broken service reaches."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s until {what}; the log ends:\n{server.log[-4000:]}"
        time.sleep(0.02)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def private_mb(pid: int) -> float:
    """Memory that the process shares with no other, MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3


def holder_of(path: Path) -> int | None:
    """The process that holds the `flock` of a file, as the kernel lists it."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and fields[5].split(":")[-1] == inode:
            return int(fields[4])
    return None
