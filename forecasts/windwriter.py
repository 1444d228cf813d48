"""Wind files that are written row by row, for those that do not fit into memory."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sharedfiles
import windfile


@dataclass(frozen=True)
class Frame:
    """All of a wind file but its arrays: `shape` is that of the winds, `timestamp` Unix seconds, `levels` hPa."""

    shape: tuple[int, int, int, int, int]
    timestamp: float
    interval_seconds: float
    levels: tuple[float, ...]
    source: dict[str, Any]


def write(
    path: Path, frame: Frame, winds: Iterable[npt.NDArray[Any]], heights: Iterable[npt.NDArray[Any]] | None
) -> None:
    """Write a wind file from its latitude rows, first all of `heights`, then all of `winds`.

    A row has the bytes of (lon, level, time) or (lon, level, time, 2) float16, row-major. The file appears whole or not
    at all.
    """
    small = {
        "timestamp": np.array(frame.timestamp, np.float64),
        "interval": np.array(frame.interval_seconds, np.float64),
        "levels": np.array(frame.levels, np.float64),
        "source": np.array(json.dumps(frame.source, sort_keys=True)),
    }
    with sharedfiles.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in small.items():
            with windfile.open_entry(archive, name, array.dtype, array.shape) as target:
                target.write(array.tobytes())
        for name, rows, shape in (("height", heights, frame.shape[:4]), ("data", winds, frame.shape)):
            if rows is not None:
                with windfile.open_entry(archive, name, windfile.HALF, shape) as target:
                    for row in rows:
                        target.write(row.data.cast("B"))
