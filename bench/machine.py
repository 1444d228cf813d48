"""Where and with what the benchmarks ran."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import habsim
from bench.table import Row
from habsim import halffloat


def rows() -> Iterator[Row]:
    yield Row("processor", _of_proc("cpuinfo", "model name") or platform.machine())
    yield Row("cores that this process may use", str(len(os.sched_getaffinity(0))))
    yield Row("memory", f"{int((_of_proc('meminfo', 'MemTotal') or '0').split()[0]) / 1e6:.1f} GB")
    yield Row("load of the machine when the benchmarks began", f"{os.getloadavg()[0]:.2f}")
    yield Row("half precision is widened", "natively" if halffloat._processor_widens_halves() else "by integers")
    yield Row("system", f"{platform.system()} {platform.release()}")
    yield Row("Python", platform.python_version())
    for package in ("numpy", "numba", "Flask", "gunicorn"):
        yield Row(package, version(package))
    yield Row("HABSIM", habsim.__version__)


def _of_proc(file: str, key: str) -> str | None:
    for line in Path("/proc", file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
