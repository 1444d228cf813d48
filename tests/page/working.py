"""A worker beside a service of a test, on the same data."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.serving import DEADLINE, ROOT

_OWN = ("HABSIM_", "S3_", "AWS_", "DATABASE_URL", "SECRET_KEY")


@contextlib.contextmanager
def working(folder: Path, **environment: str) -> Iterator[None]:
    """A worker for the service that `serving` runs in `folder` with the same settings, until the block ends."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    settings = {"HABSIM_DATA_DIR": str(folder / "data"), **environment}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "worker.py"], cwd=ROOT, env={**inherited, **settings}, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
