"""A bucket that is not on this machine's disk, as far as its users can tell, and what is done with it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from habsim.atmosphere import altitude
from habsim.errors import BucketError
from store.bucket import Bucket, LocalBucket, ObjectInfo
from store.manifest import cycle_start, wind_file_name
from store.publish import publish
from tests.worlds import sample, write_field

Floats = npt.NDArray[np.floating[Any]]


def waves(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> tuple[Floats, Floats]:
    """Winds that differ at every node."""
    x, y = np.radians(lon), np.radians(lat)
    depth = np.log(1000.0 / pressure)
    u = 30.0 * np.cos(y) * np.sin(3 * x + 1e-5 * time) + 8.0 * depth * np.cos(y)
    return u, 25.0 * np.cos(2 * y) * np.cos(2 * x) * np.cos(y) - 3.0 * depth * np.cos(y)


def heights(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> Floats:
    slope: Floats = 200.0 * np.cos(2 * np.radians(lat)) + 40.0 * np.sin(np.radians(lon)) + 0.0 * time
    return slope + altitude(pressure)


def publish_waves(bucket: Bucket, cycle: str, members: int, strength: float = 1.0) -> None:
    """A cycle of members whose winds differ at every node, with heights; each file has 2.9 MB."""
    levels = [10.0, 30.0, 100.0, 200.0, 300.0, 500.0, 700.0, 850.0, 1000.0]
    with tempfile.TemporaryDirectory() as work:
        files = {}
        for member in range(members):

            def flow(
                lat: Floats, lon: Floats, p: Floats, t: Floats, turn: float = 7.0 * member
            ) -> tuple[Floats, Floats]:
                u, v = waves(lat, lon + turn, p, t)
                return strength * u, strength * v

            field = sample(flow, levels=levels, degrees=2.5, height=heights, start=cycle_start(cycle))
            files[member] = write_field(Path(work) / wind_file_name(cycle, member), field)
        publish(bucket, cycle, files, "test")


class Elsewhere(LocalBucket):
    """The bucket in a folder, read as one on S3 is. `ranges` are those that were read: (name, offset, length).

    `before` is called with them first, from any thread; `silent` makes every call fail as a store that does not answer.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[str, int, int]] = []
        self.before: Callable[[str, int, int], None] = lambda name, offset, length: None
        self.silent = False
        self._lock = threading.Lock()

    def local_path(self, name: str) -> None:  # type: ignore[override]
        return None

    def list(self, prefix: str = "") -> dict[str, ObjectInfo]:
        self._answer()
        return super().list(prefix)

    def info(self, name: str) -> ObjectInfo:
        self._answer()
        return super().info(name)

    def read(self, name: str) -> bytes:
        self._answer()
        return super().read(name)

    def read_range(self, name: str, offset: int, length: int, version: str) -> bytes:
        self._answer()
        with self._lock:
            self.ranges.append((name, offset, length))
        self.before(name, offset, length)
        return super().read_range(name, offset, length, version)

    def moved(self) -> int:
        """Bytes that were read by ranges."""
        with self._lock:
            return sum(length for _, _, length in self.ranges)

    def _answer(self) -> None:
        if self.silent:
            raise BucketError("the store does not answer")
