"""A mapped file that is cut is no end of the process that reads it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

READS = """
import mmap, os, sys
import numpy as np
import cutfiles

path, watched, forked = sys.argv[1], sys.argv[2] == "watched", sys.argv[3] == "forked"
descriptor = os.open(path, os.O_RDONLY)
mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
bytes_of_file = np.frombuffer(mapped, np.uint8)
cutfiles.install()
if watched:
    place = cutfiles.watch(bytes_of_file.ctypes.data, len(mapped))
if forked and os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) & 0xFF)
os.truncate(path, mmap.PAGESIZE)
assert bytes_of_file.sum() == mmap.PAGESIZE, bytes_of_file.sum()
assert mapped[-3:] == bytes(3)
if watched:
    cutfiles.forget(place)
"""


def read_a_cut_file(path: Path, *how: str) -> int:
    path.write_bytes(b"\1" * (1 << 20))
    command = [sys.executable, "-c", READS, str(path), *how]
    return subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode


@pytest.mark.skipif(sys.platform != "linux", reason="the handler is for Linux")
@pytest.mark.parametrize("process", ["same", "forked"])
def test_what_was_cut_off_a_watched_file_reads_as_zeros(tmp_path: Path, process: str) -> None:
    assert read_a_cut_file(tmp_path / "file", "watched", process) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the handler is for Linux")
def test_any_other_bus_error_still_ends_the_process(tmp_path: Path) -> None:
    assert read_a_cut_file(tmp_path / "file", "not watched", "same") == -signal.SIGBUS


def test_places_are_given_back(tmp_path: Path) -> None:
    code = """
import cutfiles
first = cutfiles.watch(4096, 4096)
assert cutfiles.watch(8192, 4096) == first + 1
cutfiles.forget(first)
assert cutfiles.watch(12288, 4096) == first
taken = [cutfiles.watch(4096, 1) for _ in range(5000)]
assert -1 in taken
cutfiles.forget(-1)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
