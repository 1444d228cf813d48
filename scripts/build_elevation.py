"""Make `worldelev.npy`, the ground of the Earth on 1/60 degree, from GeoTIFF tiles such as those of GMTED2010.

python -m scripts.build_elevation gmted2010/*_mea075.tif --output data/worldelev.npy
python -m scripts.build_elevation gmted2010/ --store        # into the bucket that the settings name

Needs rasterio: pip install -r requirements-elevation-tools.txt
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio  # type: ignore[import-untyped]
from rasterio.transform import from_origin  # type: ignore[import-untyped]
from rasterio.vrt import WarpedVRT  # type: ignore[import-untyped]
from rasterio.warp import Resampling, reproject  # type: ignore[import-untyped]
from rasterio.windows import Window  # type: ignore[import-untyped]

import elev
import sharedfiles
from habsim.classes import ElevationFile
from habsim.errors import ElevationError, HabsimError
from settings import read_settings
from store.bucket import ELEVATION, Bucket, LocalBucket
from store.opening import open_bucket

_BLOCK_ROWS = 60  # a degree; what is in memory grows with it
_LOWEST, _HIGHEST = -500.0, 9000.0  # m: the shore of the Dead Sea is at -430, Everest at 8849
# A cell has a value when so much of its area has one: edges of tiles may touch the cells beside by rounding.
_LEAST_COVER = 0.01
# Where the embedded ground is so high, m, there is land for certain, and not a coast that it draws otherwise.
_LAND = 100.0
_REGION = 10  # degrees
_REGIONS = (180 // _REGION) * (360 // _REGION)
_MOST_MISSING = 0.01  # of the land cells of a region: single voids become 0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Cells of `step` degrees, the corner of the first at `north` and `west`."""

    north: float
    west: float
    step: float
    rows: int
    columns: int

    def rows_between(self, south: float, north: float) -> tuple[int, int]:
        """First row and the one after the last that touch these latitudes; may be none."""
        first = int(np.floor((self.north - north) / self.step))
        last = int(np.ceil((self.north - south) / self.step))
        return min(max(first, 0), self.rows), min(max(last, 0), self.rows)

    def columns_between(self, west: float, east: float) -> tuple[int, int]:
        first = int(np.floor((west - self.west) / self.step))
        last = int(np.ceil((east - self.west) / self.step))
        return min(max(first, 0), self.columns), min(max(last, 0), self.columns)


# That of worldelev.npy, which `elev.load` expects.
WORLD = Grid(north=83.99986, west=-180.00014, step=1.0 / 60.0, rows=10440, columns=21600)


class Tile:
    """An open GeoTIFF in geographic coordinates; one with other coordinates is warped while it is read."""

    def __init__(self, name: str, source: Any) -> None:
        self.name = name
        self._source = source
        self.west, self.south, self.east, self.north = source.bounds

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Tile]:
        """Raises ElevationError when the file is no elevation that can be placed."""
        with contextlib.ExitStack() as opened:
            try:
                dataset = opened.enter_context(rasterio.open(path))
            except rasterio.errors.RasterioError as error:
                raise ElevationError(f"{path} cannot be read: {error}") from error
            if dataset.crs is None:
                raise ElevationError(f"{path} does not say what its coordinates are (no CRS)")
            if dataset.count != 1:
                raise ElevationError(f"{path} has {dataset.count} bands, elevation has one")
            if (dataset.units[0] or "m").lower() not in ("m", "metre", "metres", "meter", "meters"):
                raise ElevationError(f"{path} is in {dataset.units[0]!r}, it must be in metres")
            upright = dataset.transform.a > 0.0 > dataset.transform.e
            straight = dataset.transform.b == dataset.transform.d == 0.0
            if dataset.crs.is_geographic and dataset.crs.to_epsg() == 4326 and upright and straight:
                yield cls(path.name, dataset)
                return
            nodata = -32768.0 if dataset.nodata is None else dataset.nodata
            yield cls(
                path.name,
                opened.enter_context(
                    WarpedVRT(
                        dataset,
                        crs="EPSG:4326",
                        resampling=Resampling.bilinear,
                        src_nodata=dataset.nodata,
                        nodata=nodata,
                        dtype="float64",
                    )
                ),
            )

    def add(self, block: Grid, weighed: Floats, weight: Floats) -> None:
        """Add what the tile has of a block of cells: to `weight` the area in cells, to `weighed` elevation times it."""
        for turn in (-360.0, 0.0, 360.0):
            first, last = block.rows_between(self.south, self.north)
            left, right = block.columns_between(self.west + turn, self.east + turn)
            if first < last and left < right:
                part = Grid(
                    block.north - first * block.step,
                    block.west + left * block.step - turn,
                    block.step,
                    last - first,
                    right - left,
                )
                added = self._sums(part)
                weighed[first:last, left:right] += added[0]
                weight[first:last, left:right] += added[1]

    def _sums(self, part: Grid) -> tuple[Floats, Floats]:
        source = self._source
        width, height = source.transform.a, -source.transform.e
        # The pixels that the part touches, and one more around.
        top = max(0, int((self.north - part.north) / height) - 1)
        bottom = min(source.height, int((self.north - part.north + part.rows * part.step) / height) + 2)
        left = max(0, int((part.west - self.west) / width) - 1)
        right = min(source.width, int((part.west + part.columns * part.step - self.west) / width) + 2)
        if top >= bottom or left >= right:
            return np.zeros((part.rows, part.columns)), np.zeros((part.rows, part.columns))
        window = Window(left, top, right - left, bottom - top)

        def summed(pixels: Floats) -> Floats:
            total = np.zeros((part.rows, part.columns))
            reproject(
                pixels,
                total,
                src_transform=source.window_transform(window),
                src_crs="EPSG:4326",
                dst_transform=from_origin(part.west, part.north, part.step, part.step),
                dst_crs="EPSG:4326",
                resampling=Resampling.sum,
            )
            total *= width * height / part.step**2
            return total

        elevation, there = self._read(window)
        return summed(elevation), summed(there)

    def _read(self, window: Any) -> tuple[Floats, Floats]:
        """Elevation, m, 0 where there is none, and 1 where there is one."""
        try:
            pixels = self._source.read(1, window=window, masked=True).astype(np.float64)
        except rasterio.errors.RasterioError as error:
            raise ElevationError(f"{self.name} cannot be read: {error}") from error
        there = ~np.ma.getmaskarray(pixels) & np.isfinite(pixels.data)
        scale, offset = self._source.scales[0], self._source.offsets[0]
        elevation = np.where(there, pixels.data * scale + offset, 0.0)
        low, high = elevation.min(initial=0.0), elevation.max(initial=0.0)
        if low < _LOWEST or high > _HIGHEST:
            wrong = low if low < _LOWEST else high
            raise ElevationError(
                f"{self.name} has {wrong:g} m, ground is between {_LOWEST:g} and {_HIGHEST:g} m; "
                "is its value for missing data declared, and is it without the sea floor?"
            )
        return elevation, there.astype(np.float64)


def build(tiles: Sequence[Path], output: Path, land: ElevationFile, grid: Grid = WORLD) -> None:
    """Write the ground on `grid` to `output` (`.npy`, int16, m): the mean of each cell, 0 where the tiles have nothing.

    `land` says where there must be something. Raises ElevationError when a tile is unfit or land is not covered; then,
    or when the process dies, there is no `output`, or the one from before.
    """
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Tile.open(path)) for path in tiles]
        temporary = stack.enter_context(sharedfiles.replacing(output))
        file = stack.enter_context(temporary.open("wb"))
        header = {"descr": "<i2", "fortran_order": False, "shape": (grid.rows, grid.columns)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        needed, missing = np.zeros(_REGIONS, np.int64), np.zeros(_REGIONS, np.int64)
        for row in range(0, grid.rows, _BLOCK_ROWS):
            rows = min(_BLOCK_ROWS, grid.rows - row)
            block = Grid(grid.north - row * grid.step, grid.west, grid.step, rows, grid.columns)
            weighed, weight = np.zeros((rows, grid.columns)), np.zeros((rows, grid.columns))
            for tile in opened:
                tile.add(block, weighed, weight)
            has = weight > _LEAST_COVER
            if has.any():
                elevation = np.rint(np.divide(weighed, weight, out=np.zeros_like(weighed), where=has))
                # What is not written is a hole in the file, and 0.
                file.seek(start + row * grid.columns * 2)
                file.write(elevation.astype("<i2").tobytes())
            regions = _regions_of_land(block, land)
            needed += np.bincount(regions[regions >= 0], minlength=_REGIONS)
            missing += np.bincount(regions[(regions >= 0) & ~has], minlength=_REGIONS)
        file.truncate(start + grid.rows * grid.columns * 2)
        file.close()
        _refuse_missing(needed, missing)


def _regions_of_land(block: Grid, land: ElevationFile) -> npt.NDArray[np.int64]:
    """The number of the region that each cell is in, -1 at sea."""
    latitude = block.north - (np.arange(block.rows) + 0.5) * block.step
    longitude = (block.west + (np.arange(block.columns) + 0.5) * block.step) % 360.0
    region_row = ((latitude + 90.0) // _REGION).clip(0, 180 // _REGION - 1).astype(np.int64)
    region_column = (longitude // _REGION).astype(np.int64)
    grid, (rows, columns) = land.grid, land.elevation.shape
    row = np.rint((grid.north - latitude) / grid.row_step).astype(np.intp).clip(0, rows - 1)
    column = np.rint((longitude - grid.west) / grid.column_step).astype(np.intp) % columns
    is_land = land.elevation[np.ix_(row, column)] > _LAND
    return np.where(is_land, region_row[:, None] * (360 // _REGION) + region_column, -1)


def _refuse_missing(needed: npt.NDArray[np.int64], missing: npt.NDArray[np.int64]) -> None:
    """Raise ElevationError with the regions whose land is not covered."""
    names = []
    for region in np.flatnonzero(missing > _MOST_MISSING * needed):
        south = int(region) // (360 // _REGION) * _REGION - 90
        west = (int(region) % (360 // _REGION) * _REGION + 180) % 360 - 180
        share = 100.0 * missing[region] / needed[region]
        names.append(f"{south} to {south + _REGION} N, {west} to {west + _REGION} E ({share:.0f} % of its land)")
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise ElevationError(f"the tiles do not cover the land in {'; '.join(names[:8])}{more}")


def _tiles(given: Sequence[Path]) -> list[Path]:
    """The files given, and those in the folders given."""
    found = [file for path in given for file in (sorted(path.glob("*.[tT][iI][fF]")) if path.is_dir() else [path])]
    if not found:
        raise ElevationError(f"there are no GeoTIFF files (*.tif) in {', '.join(map(str, given))}")
    return found


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make worldelev.npy from GeoTIFF tiles.")
    parser.add_argument("tiles", nargs="+", type=Path, help="GeoTIFF files, or folders with them (*.tif)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the ground into this file")
    parser.add_argument("--bucket", type=Path, metavar="DIR", help="put it into this folder as worldelev.npy")
    parser.add_argument("--store", action="store_true", help="put it into the bucket that the settings name")
    parser.add_argument(
        "--land",
        type=Path,
        metavar="FILE",
        help="elevation file that says where land must be (default: elevation.npz of the data folder)",
    )
    arguments = parser.parse_args(words)
    if sum((arguments.output is not None, arguments.bucket is not None, arguments.store)) != 1:
        parser.error("say where it goes: --output FILE, --bucket DIR or --store")
    return arguments


def _put(tiles: Sequence[Path], bucket: Bucket, land: ElevationFile, beside: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix=".elevation-", dir=beside) as folder:
        made = Path(folder) / ELEVATION
        build(tiles, made, land)
        bucket.put(ELEVATION, made)


def main(words: list[str] | None = None) -> int:
    """Run the command; 0 when the ground is where it was asked for, 1 when the tiles or the store refuse."""
    arguments = _arguments(words)
    settings = read_settings()
    try:
        tiles = _tiles(arguments.tiles)
        land = elev.load(arguments.land or settings.data_dir / "elevation.npz")
        if arguments.output is not None:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            build(tiles, arguments.output, land)
            print(f"made {arguments.output} from {len(tiles)} tiles")
        elif arguments.bucket is not None:
            # In the bucket's folder, so that putting is a rename.
            arguments.bucket.mkdir(parents=True, exist_ok=True)
            _put(tiles, LocalBucket(arguments.bucket), land, arguments.bucket)
            print(f"put {ELEVATION} into {arguments.bucket}")
        else:
            bucket = open_bucket(settings)
            _put(tiles, bucket, land, None)
            print(f"put {ELEVATION} into {bucket}")
    except (HabsimError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
