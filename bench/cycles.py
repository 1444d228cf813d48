"""Cycles to measure with, made once: winds that are cheap to compute and as rough as forecasts.

Jets and travelling waves, each member with waves of its own.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import windfile
from store.bucket import LocalBucket
from store.manifest import cycle_start, wind_file_name
from store.publish import publish

CYCLE = "2026111900"
MEMBERS = 21
SPARE_BYTES = 3 << 30  # left free on the disk
PRODUCT = "bench"


@dataclass(frozen=True)
class Kind:
    """One kind of cycle; `distinct` members at most are made, the others are the same files by other names."""

    name: str
    spacing_degrees: float
    levels: tuple[int, ...]
    interval_seconds: float
    has_height: bool
    distinct: int
    times: int = 65

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Rows, columns, levels, times."""
        return (
            round(180 / self.spacing_degrees) + 1,
            round(360 / self.spacing_degrees) + 1,
            len(self.levels),
            self.times,
        )

    @property
    def file_bytes(self) -> int:
        return int(np.prod(self.shape)) * (6 if self.has_height else 4)


CLASSIC = Kind(
    "classic",
    1.0,
    (1, 2, 3, 5, 7, 20, 30, 70, 150, 350, 450, 550, 600, 650, 750, 800, 900, 950, 975),
    21600.0,
    has_height=False,
    distinct=MEMBERS,
)
FULL = Kind(
    "full",
    0.5,
    (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850,
     900, 925, 950, 975, 1000),
    10800.0,
    has_height=True,
    distinct=3,
)  # fmt: skip


def bucket(folder: Path, kind: Kind) -> tuple[LocalBucket, str]:
    """The bucket with the cycle of `kind` in `folder`, made where there is none, and a sentence about it.

    On a disk that is too full for all of them more members are the same file by another name.
    """
    found = LocalBucket(folder / kind.name)
    if f"{CYCLE}.json" not in found.list():
        _make(found, folder / f"{kind.name}.making", kind)
    distinct = len({found.local_path(wind_file_name(CYCLE, member)).stat().st_ino for member in range(MEMBERS)})
    told = f"{distinct} distinct files of {kind.file_bytes / 1e9:.2f} GB"
    return found, told if distinct == MEMBERS else f"{told} by {MEMBERS} names"


def _make(target: LocalBucket, work: Path, kind: Kind) -> None:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    room = (shutil.disk_usage(work).free - SPARE_BYTES) // kind.file_bytes
    distinct = max(1, min(kind.distinct, room))
    print(f"making {distinct} {kind.name} wind files of {kind.file_bytes / 1e9:.2f} GB, once", flush=True)
    began = time.perf_counter()
    files = {}
    for member in range(MEMBERS):
        files[member] = work / wind_file_name(CYCLE, member)
        if member < distinct:
            _write(files[member], member, kind)
        else:
            os.link(files[member % distinct], files[member])
    publish(target, CYCLE, files, PRODUCT)
    work.rmdir()
    print(f"made in {time.perf_counter() - began:.0f} s", flush=True)


def _write(path: Path, member: int, kind: Kind) -> None:
    windfile.write(
        path,
        data=winds(member, kind),
        height=_heights(kind) if kind.has_height else None,
        timestamp=cycle_start(CYCLE),
        interval_seconds=kind.interval_seconds,
        levels=kind.levels,
        source={"product": PRODUCT},
    )


def _heights(kind: Kind) -> npt.NDArray[np.float16]:
    """Differences to the standard atmosphere that grow with altitude and fall towards the poles, m."""
    rows, columns, _, _ = kind.shape
    latitude = np.radians(np.linspace(90.0, -90.0, rows))
    depth = np.log(1013.25 / np.array(kind.levels))
    of_row = (150.0 * np.cos(2 * latitude)[:, None] * depth / 3.0).astype(np.float16)
    return np.broadcast_to(of_row[:, None, :, None], (rows, columns, len(kind.levels), kind.times))


def winds(member: int, kind: Kind) -> npt.NDArray[np.float16]:
    """The winds of a member (lat, lon, level, time, 2), m/s."""
    random = np.random.default_rng(1000 + member)
    phases = random.uniform(-0.3, 0.3, 3) if member else np.zeros(3)
    strength = 1.0 + 0.03 * random.standard_normal() * (member > 0)
    rows, columns, levels, times = kind.shape
    data = np.empty((rows, columns, levels, times, 2), np.float16)
    log_p = np.log(np.array(kind.levels, np.float32))
    jet = 38.0 * np.exp(-0.5 * ((log_p - np.log(250.0)) / 0.75) ** 2)
    vortex = 20.0 / (1.0 + np.exp((log_p - np.log(30.0)) / 0.5))
    lon = np.radians(np.linspace(0.0, 360.0, columns, dtype=np.float32)).reshape(-1, 1, 1)
    day = (np.arange(times, dtype=np.float32) * (kind.interval_seconds / 86400.0)).reshape(1, 1, -1)
    tilt = 0.25 * log_p.reshape(1, -1, 1)
    waves = [
        k * lon - (2 * np.pi * k / (22.0 + k)) * day - tilt + phase for k, phase in zip((3, 5, 8), phases, strict=True)
    ]
    cosines, sines = sum(np.cos(wave) for wave in waves), sum(np.sin(wave + 0.3) for wave in waves)
    for row in range(rows):
        lat = 90.0 - row * kind.spacing_degrees
        taper = np.tanh((90.0 - abs(lat)) / 6.0)
        zonal = strength * jet * np.exp(-(((abs(lat) - 42.0) / 13.0) ** 2)) + vortex * np.exp(
            -(((lat - 60.0) / 18.0) ** 2)
        )
        wave = 0.12 * (jet + 0.3 * vortex) * np.exp(-(((abs(lat) - 42.0) / 20.0) ** 2)) + 0.8
        data[row, ..., 0] = np.float32(taper) * (zonal[:, None] + wave[:, None].astype(np.float32) * cosines)
        data[row, ..., 1] = np.float32(-1.1 * taper) * wave[:, None].astype(np.float32) * sines
    data[:, -1] = data[:, 0]
    return data
