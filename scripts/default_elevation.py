"""Make the embedded ground elevation: `python -m scripts.default_elevation OUTPUT.npz`.

Source: Recommendation ITU-R P.1511-2, topography on a grid of 1/12 degree, as the `itur` package carries it. The array
is read directly, because the package's own function needs its dependencies and answers 0 below sea level.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np

import sharedfiles

# The array has two more cells than the globe on each side, which repeat it.
_SPARE = 2
_STEP = 1.0 / 12.0


def itur_topography() -> Path:
    """The file of the installed `itur` package. Raises SystemExit with what to do when it is not installed."""
    package = importlib.util.find_spec("itur")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the itur package is not installed: pip install --no-deps -r requirements-elevation.txt")
    return Path(package.submodule_search_locations[0]) / "data" / "1511" / "v2_topo.npz"


def convert(source: Path, target: Path) -> None:
    """Write the topography at `source` as an elevation file with `elevation` int16 and `bounds`."""
    with np.load(source) as archive:
        topography = np.rint(archive["arr_0"]).astype(np.int16)
    elevation = topography[_SPARE:-_SPARE, _SPARE:-_SPARE]
    half = 0.5 * _STEP
    bounds = np.array([90.0 - half, -90.0 + half, -180.0 + half, 180.0 - half])
    target.parent.mkdir(parents=True, exist_ok=True)
    with sharedfiles.replacing(target) as temporary, temporary.open("wb") as file:
        np.savez(file, elevation=elevation, bounds=bounds)


def main() -> None:
    parser = argparse.ArgumentParser(description="make the embedded ground elevation")
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    convert(itur_topography(), output)
    print(f"made {output}: ground elevation on 1/12 degree (ITU-R P.1511-2)")


if __name__ == "__main__":
    main()
