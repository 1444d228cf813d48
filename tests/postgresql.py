"""A PostgreSQL of its own for tests, from Debian's packages: started by the first who asks, ends with the tests."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

HOST = "127.0.0.1"
USER = "habsim"
_DEADLINE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_SIGQUIT = signal.SIGQUIT  # the postmaster then ends at once, with its children


@dataclass
class Server:
    """A running server; `stop` and `start` are for tests of what happens without it."""

    folder: Path
    binaries: Path
    port: int
    process: subprocess.Popen[bytes]

    def url(self, name: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{name}"

    def new_database(self) -> str:
        """The address of an empty database that no other test has."""
        name = f"habsim_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # connections are cut
        self.process.wait(_DEADLINE_SECONDS)

    def start(self) -> None:
        self.process = _started(self.binaries, self.folder, self.port)


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def _unprivileged() -> dict[str, Any]:
    """As whom the server runs: it does not run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGQUIT)


def _started(programs: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off",
        "full_page_writes": "off", "max_connections": 200, "shared_buffers": "32MB", "jit": "off",
    }  # fmt: skip
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("ab") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
            **_unprivileged(),
        )
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://{USER}@{HOST}:{port}/postgres", connect_timeout=5).close()
            return process
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL does not start: {(folder / 'log').read_text()[-2000:]}") from None
            time.sleep(0.05)


@functools.cache
def server() -> Server:
    """The server of this process of tests; the test is skipped where there is none to start."""
    programs = binaries()
    if programs is None:
        pytest.skip("there is no PostgreSQL on this machine: `make postgresql` installs it")
    folder = Path(tempfile.mkdtemp(prefix="habsim-postgresql-"))
    if owner := _unprivileged():
        os.chown(folder, owner["user"], owner["group"])
    subprocess.run(
        [str(programs / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd=folder,
        **_unprivileged(),
    )
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    running = Server(folder, programs, port, _started(programs, folder, port))

    def end() -> None:
        if running.process.poll() is None:
            running.process.send_signal(_SIGQUIT)
            running.process.wait(_DEADLINE_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return running
