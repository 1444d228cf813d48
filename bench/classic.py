"""A cycle of classic wind files: 21 members of 181 x 361 x 19 x 65 x 2 halves, 308 MiB each, made once.

The winds are jets and travelling waves, each member with waves of its own; cheap to compute and as rough as forecasts.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import windfile
from store.bucket import LocalBucket
from store.manifest import cycle_start, wind_file_name
from store.publish import publish

CYCLE = "2026111900"
MEMBERS = 21
LEVELS = [1, 2, 3, 5, 7, 20, 30, 70, 150, 350, 450, 550, 600, 650, 750, 800, 900, 950, 975]
INTERVAL_SECONDS = 21600.0
TIMES = 65
FILE_BYTES = 181 * 361 * 19 * 65 * 2 * 2
SPARE_BYTES = 3 << 30  # left free on the disk
PRODUCT = "bench"


def bucket(folder: Path) -> tuple[LocalBucket, str]:
    """The bucket with the classic cycle in `folder`, made where there is none, and a sentence about it.

    On a disk that is too full for 21 files some members are the same file by another name.
    """
    found = LocalBucket(folder / "classic")
    if f"{CYCLE}.json" not in found.list():
        _make(found, folder / "classic.making")
    distinct = len({found.local_path(wind_file_name(CYCLE, member)).stat().st_ino for member in range(MEMBERS)})
    told = "21 distinct files" if distinct == MEMBERS else f"only {distinct} distinct files, the disk has no room"
    return found, f"{told}, {distinct * FILE_BYTES / 1e9:.1f} GB"


def _make(target: LocalBucket, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    room = (shutil.disk_usage(work).free - SPARE_BYTES) // FILE_BYTES
    distinct = max(1, min(MEMBERS, room))
    print(f"making {distinct} classic wind files of 308 MiB, once", flush=True)
    began = time.perf_counter()
    files = {}
    for member in range(MEMBERS):
        files[member] = work / wind_file_name(CYCLE, member)
        if member < distinct:
            _write(files[member], member)
        else:
            os.link(files[member % distinct], files[member])
    publish(target, CYCLE, files, PRODUCT)
    work.rmdir()
    print(f"made in {time.perf_counter() - began:.0f} s", flush=True)


def _write(path: Path, member: int) -> None:
    windfile.write(
        path,
        data=_winds(member),
        timestamp=cycle_start(CYCLE),
        interval_seconds=INTERVAL_SECONDS,
        levels=LEVELS,
        source={"product": PRODUCT},
    )


def _winds(member: int) -> npt.NDArray[np.float16]:
    random = np.random.default_rng(1000 + member)
    phases = random.uniform(-0.3, 0.3, 3) if member else np.zeros(3)
    strength = 1.0 + 0.03 * random.standard_normal() * (member > 0)
    data = np.empty((181, 361, len(LEVELS), TIMES, 2), np.float16)
    log_p = np.log(np.array(LEVELS, np.float32))
    jet = 38.0 * np.exp(-0.5 * ((log_p - np.log(250.0)) / 0.75) ** 2)
    vortex = 20.0 / (1.0 + np.exp((log_p - np.log(30.0)) / 0.5))
    lon = np.radians(np.arange(361, dtype=np.float32)).reshape(-1, 1, 1)
    day = (np.arange(TIMES, dtype=np.float32) * (INTERVAL_SECONDS / 86400.0)).reshape(1, 1, -1)
    tilt = 0.25 * log_p.reshape(1, -1, 1)
    waves = [
        k * lon - (2 * np.pi * k / (22.0 + k)) * day - tilt + phase for k, phase in zip((3, 5, 8), phases, strict=True)
    ]
    cosines, sines = sum(np.cos(wave) for wave in waves), sum(np.sin(wave + 0.3) for wave in waves)
    for row in range(181):
        lat = 90.0 - row
        taper = np.tanh((90.0 - abs(lat)) / 6.0)
        zonal = strength * jet * np.exp(-(((abs(lat) - 42.0) / 13.0) ** 2)) + vortex * np.exp(
            -(((lat - 60.0) / 18.0) ** 2)
        )
        wave = 0.12 * (jet + 0.3 * vortex) * np.exp(-(((abs(lat) - 42.0) / 20.0) ** 2)) + 0.8
        data[row, ..., 0] = np.float32(taper) * (zonal[:, None] + wave[:, None].astype(np.float32) * cosines)
        data[row, ..., 1] = np.float32(-1.1 * taper) * wave[:, None].astype(np.float32) * sines
    data[:, -1] = data[:, 0]
    return data
