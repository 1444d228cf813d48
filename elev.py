"""Ground elevation files.

`worldelev.npy`: int16 metres (10440, 21600), rows from 83.99986 N down to 90.00014 S, columns from 180.00014 W to
179.99986 E (edges of the outer cells). Any other grid is an `.npz` with `elevation` and `bounds` (north, south, west,
east of the outer cell centres).
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from habsim.classes import ElevationFile
from habsim.errors import ElevationError

# What numpy and `zipfile` raise on bytes that are not what they should be.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, tokenize.TokenError, struct.error, OSError, EOFError, RuntimeError, MemoryError,
    ValueError, TypeError, LookupError, ArithmeticError, SyntaxError,
)  # fmt: skip

_WORLD_SHAPE = (10440, 21600)
_WORLD_NORTH_EDGE, _WORLD_WEST_EDGE, _WORLD_STEP = 83.99986, -180.00014, 1.0 / 60.0


def load(path: Path) -> ElevationFile:
    """The ground of a `.npy` or `.npz` file; `.npy` stays on disk, mapped.

    Raises ElevationError when the file is absent, damaged or does not cover the Earth.
    """
    try:
        if path.suffix == ".npz":
            return _from_bounds(path)
        return _from_world(path)
    except _DAMAGE as error:
        raise ElevationError(f"elevation file {path} cannot be read: {error}") from error


def _from_world(path: Path) -> ElevationFile:
    elevation = np.lib.format.open_memmap(path, mode="r")
    if elevation.shape != _WORLD_SHAPE or elevation.dtype != np.int16:
        raise ElevationError(
            f"{path} holds {elevation.dtype} {elevation.shape}, worldelev.npy is int16 {_WORLD_SHAPE}; "
            "write another grid as .npz with elevation and bounds"
        )
    half = 0.5 * _WORLD_STEP
    return ElevationFile(elevation, _WORLD_NORTH_EDGE - half, _WORLD_WEST_EDGE + half, _WORLD_STEP, _WORLD_STEP)


def _from_bounds(path: Path) -> ElevationFile:
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        elevation, bounds = archive["elevation"], np.asarray(archive["bounds"], np.float64)
    if elevation.ndim != 2 or min(elevation.shape) < 2 or elevation.dtype.kind not in "iuf" or bounds.shape != (4,):
        raise ElevationError(
            f"{path} holds {elevation.dtype} {elevation.shape} with {bounds.size} bounds, it must be a grid with 4"
        )
    # Not by their absolute value: that of the lowest int16, a common mark of missing data, is itself.
    if not (elevation.min() >= -9000 and elevation.max() <= 9000):
        raise ElevationError(f"{path} holds elevations beyond +-9000 m or that are no numbers")
    if not np.isfinite(bounds).all():
        raise ElevationError(f"{path} has bounds {bounds.tolist()}, they must be numbers")
    north, south, west, east = bounds.tolist()
    rows, columns = elevation.shape
    return ElevationFile(
        np.rint(elevation).astype(np.int16),
        north,
        west,
        (north - south) / (rows - 1),
        (east - west) / (columns - 1),
    )
