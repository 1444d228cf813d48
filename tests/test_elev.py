"""The ground is where its file says, cell by cell, or the file is refused."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import elev
from habsim.classes import ElevationFile
from habsim.errors import ElevationError
from tests import faults

WORLD = (10440, 21600)
BOUNDS = [89.5, -89.5, -179.5, 179.5]
NAN = float("nan")


def rough(rows: int = 180, columns: int = 360) -> npt.NDArray[np.int16]:
    """Ground whose every cell differs from its neighbours."""
    row, column = np.mgrid[0:rows, 0:columns]
    elevation: npt.NDArray[np.int16] = ((row * 37 + column * 11) % 4001 - 400).astype(np.int16)
    return elevation


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, allow_pickle=True, **arrays)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ElevationError) as caught:
        elev.load(path)
    assert path.name in caught.value.message or "elevation grid" in caught.value.message
    return caught.value.message


# --- A grid with its bounds


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((180, 360), np.int16),
        ((90, 180), np.int32),
        ((91, 180), np.float32),
        ((721, 1440), np.float64),
        ((90, 180), ">i2"),
    ],
)
def test_grid_has_its_values_at_its_cell_centres(tmp_path: Path, shape: tuple[int, int], kind: Any) -> None:
    elevation = rough(*shape)
    rows, columns = shape
    half_row, half_column = 90.0 / rows, 180.0 / columns
    bounds = [90 - half_row, half_row - 90, half_column - 180, 180 - half_column]
    ground = elev.load(save(tmp_path / "g.npz", elevation=elevation.astype(kind), bounds=bounds))
    latitude = np.linspace(bounds[0], bounds[1], rows)
    longitude = np.linspace(bounds[2], bounds[3], columns)
    grid = np.meshgrid(latitude, longitude, indexing="ij")
    np.testing.assert_allclose(ground.at(*grid), elevation, atol=1e-6)
    np.testing.assert_allclose(ground.at(grid[0], grid[1] + 360.0), elevation, atol=1e-6)
    np.testing.assert_array_equal(ground.nearest(*grid), elevation)


def test_ground_is_bilinear_between_centres_and_across_the_date_line(tmp_path: Path) -> None:
    elevation = rough()
    ground = elev.load(save(tmp_path / "g.npz", elevation=elevation, bounds=BOUNDS))
    between = elevation[79:81, 99:101].astype(float).mean()
    assert ground.at(10.0, -80.0) == pytest.approx(between)
    date_line = (0.75 * elevation[90, 359]) + 0.25 * elevation[90, 0]
    for longitude in (179.75, -180.25, 539.75):
        assert ground.at(-0.5, longitude) == pytest.approx(date_line)


def test_grid_may_begin_at_any_longitude(tmp_path: Path) -> None:
    elevation = rough()
    turned = np.roll(elevation, -180, axis=1)  # from Greenwich eastwards
    ground = elev.load(save(tmp_path / "g.npz", elevation=turned, bounds=[89.5, -89.5, 0.5, 359.5]))
    same = elev.load(save(tmp_path / "h.npz", elevation=elevation, bounds=BOUNDS))
    points = np.random.default_rng(1).uniform([-90, -180], [90, 360], (500, 2)).T
    np.testing.assert_allclose(ground.at(*points), same.at(*points), atol=1e-6)


def test_fractions_are_rounded_to_the_nearest_metre(tmp_path: Path) -> None:
    elevation = np.full((180, 360), 10.4)
    elevation[90:] = -10.6
    ground = elev.load(save(tmp_path / "g.npz", elevation=elevation, bounds=BOUNDS))
    assert ground.at([45.0, -45.0], [0.0, 0.0]).tolist() == [10.0, -11.0]


FLAT = np.zeros((180, 360), np.int16)


def spoiled(value: float, kind: Any = np.float64) -> npt.NDArray[Any]:
    elevation = FLAT.astype(kind)
    elevation[100, 100] = value
    return elevation


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no elevation": ({"bounds": BOUNDS}, "elevation"),
    "no bounds": ({"elevation": FLAT}, "bounds"),
    "nothing": ({}, "cannot be read"),
    "a line": ({"elevation": FLAT[0], "bounds": BOUNDS}, "it must be a grid"),
    "a cube": ({"elevation": FLAT[None], "bounds": BOUNDS}, "it must be a grid"),
    "one row": ({"elevation": FLAT[:1], "bounds": BOUNDS}, "it must be a grid"),
    "no cells": ({"elevation": FLAT[:0], "bounds": BOUNDS}, "it must be a grid"),
    "three bounds": ({"elevation": FLAT, "bounds": BOUNDS[:3]}, "with 3 bounds"),
    "no number": ({"elevation": spoiled(NAN), "bounds": BOUNDS}, "are no numbers"),
    "infinite": ({"elevation": spoiled(np.inf), "bounds": BOUNDS}, "beyond"),
    "too high": ({"elevation": spoiled(9001), "bounds": BOUNDS}, "beyond"),
    "too low": ({"elevation": spoiled(-9001), "bounds": BOUNDS}, "beyond"),
    "the int16 that marks missing data": ({"elevation": spoiled(-32768, np.int16), "bounds": BOUNDS}, "beyond"),
    "complex": ({"elevation": FLAT.astype(complex), "bounds": BOUNDS}, "complex128"),
    "text": ({"elevation": FLAT.astype(str), "bounds": BOUNDS}, "<U"),
    "pickled": ({"elevation": FLAT[:2, :2].astype(object), "bounds": BOUNDS}, "Object arrays"),
    "bounds as text": ({"elevation": FLAT, "bounds": ["N", "S", "W", "E"]}, "could not convert"),
    **{
        f"bound {name} is {value}": (
            {"elevation": FLAT, "bounds": np.where(np.arange(4) == i, value, BOUNDS)},
            "numbers",
        )
        for i, name in enumerate(("north", "south", "west", "east"))
        for value in (NAN, np.inf)
    },
    "a region": ({"elevation": FLAT[:60, :90], "bounds": [60.0, 30.0, -10.0, 40.0]}, "it must span 360"),
    "half the latitudes": ({"elevation": FLAT, "bounds": [89.5, 0.5, -179.5, 179.5]}, "it must reach -90..83"),
    "no Arctic": ({"elevation": FLAT, "bounds": [70.0, -89.5, -179.5, 179.5]}, "it must reach -90..83"),
    "south up": ({"elevation": FLAT, "bounds": [-89.5, 89.5, -179.5, 179.5]}, "elevation grid"),
    "west and east exchanged": ({"elevation": FLAT, "bounds": [89.5, -89.5, 179.5, -179.5]}, "it must span 360"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_the_ground_of_the_earth_is_refused(tmp_path: Path, case: str) -> None:
    arrays, reason = REFUSED[case]
    assert reason in refusal(save(tmp_path / "ground.npz", **arrays))


# --- Damaged files


def test_cut_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, elevation=rough(), bounds=BOUNDS, allow_pickle=False)
    size = whole.stat().st_size
    for length in (0, 1, 100, size // 2, size - 1):
        refusal(faults.cut(whole, tmp_path / "cut.npz", length))
        refusal(faults.cut(whole, tmp_path / "cut.npy", length))
    assert "No such file" in refusal(tmp_path / "absent.npz")
    assert "No such file" in refusal(tmp_path / "absent.npy")
    (tmp_path / "folder.npz").mkdir()
    assert "directory" in refusal(tmp_path / "folder.npz")


@pytest.mark.parametrize("name", ["array.npz", "zip.npy"])
def test_file_of_the_other_kind_under_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        if name == "array.npz":
            np.save(file, FLAT)
        else:
            np.savez(file, elevation=FLAT, bounds=BOUNDS, allow_pickle=False)
    assert "cannot be read" in refusal(tmp_path / name)


def test_damaged_bytes_inside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ground.npz"
    np.savez_compressed(path, elevation=rough(), bounds=BOUNDS, allow_pickle=False)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("elevation.npy").header_offset
    # Both what unpacks to other bytes and what does not unpack at all.
    for offset in range(start + 80, start + 4000, 131):
        content = bytearray(path.read_bytes())
        content[offset] ^= 0xFF
        (tmp_path / "damaged.npz").write_bytes(content)
        refusal(tmp_path / "damaged.npz")


def test_refusals_leak_no_descriptors(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "a.npz", elevation=FLAT),
        save(tmp_path / "b.npz", elevation=FLAT[:60], bounds=[60.0, 30.0, -10.0, 40.0]),
    ]
    np.save(tmp_path / "c.npy", FLAT)
    before = faults.open_files()
    for path in [*paths, tmp_path / "c.npy"] * 20:
        refusal(path)
    assert faults.open_files() == before


# --- The world file


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[ElevationFile, dict[tuple[int, int], int]]:
    """A `worldelev.npy`, of which only a few cells are not a hole in the file, and those cells."""
    path = tmp_path_factory.mktemp("world") / "worldelev.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=WORLD)
    cells = {(0, 0): 11, (0, 21599): 22, (5039, 10800): 33, (10439, 0): 2800, (3000, 5000): -413, (3363, 16014): 8729}
    for cell, value in cells.items():
        array[cell] = value
    array.flush()
    del array
    assert path.stat().st_blocks * 512 < 10_000_000
    return elev.load(path), cells


def centre(row: int, column: int) -> tuple[float, float]:
    """From the edges 83.99986 N and 180.00014 W by arc minutes, half a cell inside."""
    return 83.99986 - (row + 0.5) / 60, -180.00014 + (column + 0.5) / 60


def test_world_file_has_its_values_at_its_cell_centres(world: tuple[ElevationFile, dict[tuple[int, int], int]]) -> None:
    ground, cells = world
    for (row, column), value in cells.items():
        latitude, longitude = centre(row, column)
        assert ground.at(latitude, longitude) == pytest.approx(value, abs=0.01)
        assert ground.at(latitude, longitude + 360.0) == pytest.approx(value, abs=0.01)
        assert ground.nearest(latitude, longitude) == value
        east = ground.at(latitude, longitude + 0.5 / 60)
        neighbour = cells.get((row, (column + 1) % WORLD[1]), 0)
        assert east == pytest.approx((value + neighbour) / 2, abs=0.01)


def test_world_file_is_sea_where_it_is_zero_and_north_of_its_rows(
    world: tuple[ElevationFile, dict[tuple[int, int], int]],
) -> None:
    ground, _ = world
    assert ground.at([0.3, 85.0, 90.0, -60.0], [-30.0, 10.0, 0.0, 100.0]).tolist() == [0.0] * 4


def test_world_file_reaches_the_south_pole(world: tuple[ElevationFile, dict[tuple[int, int], int]]) -> None:
    ground, _ = world
    latitude, longitude = centre(10439, 0)
    assert latitude == pytest.approx(-89.9918, abs=1e-4)
    for below in (latitude, -89.999, -90.0):
        assert ground.at(below, longitude) == pytest.approx(2800, abs=1)


def test_world_file_stays_on_disk(world: tuple[ElevationFile, dict[tuple[int, int], int]]) -> None:
    """450 MB in the memory of each of four workers would be most of a small machine."""
    ground, _ = world
    base: Any = ground.elevation
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize(
    "array",
    [FLAT, np.zeros((2, 2), np.int16), np.zeros(WORLD[:1], np.int16), np.zeros((180, 360)), np.zeros((), np.int16)],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_another_grid_as_npy_is_refused_with_the_way_out(tmp_path: Path, array: npt.NDArray[Any]) -> None:
    np.save(tmp_path / "worldelev.npy", array)
    assert "write another grid as .npz with elevation and bounds" in refusal(tmp_path / "worldelev.npy")


@pytest.mark.parametrize("kind", [np.int32, np.uint16, np.float16, ">i2"])
def test_world_file_of_another_type_is_refused(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "worldelev.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=WORLD).flush()
    assert "worldelev.npy is int16 (10440, 21600)" in refusal(path)


def test_cut_world_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "worldelev.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=WORLD).flush()
    faults.truncate_in_place(path, path.stat().st_size - 2)
    assert "cannot be read" in refusal(path)
    faults.truncate_in_place(path, 60)
    assert "cannot be read" in refusal(path)


def test_pickle_is_never_loaded(tmp_path: Path) -> None:
    """A pickle runs what it likes when it is loaded."""
    marker = tmp_path / "ran"
    code = """
import pathlib, sys, numpy as np
class Evil:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(sys.argv[1]),)
np.save(sys.argv[2], np.array([Evil()], object), allow_pickle=True)
"""
    path = tmp_path / "worldelev.npy"
    subprocess.run([sys.executable, "-c", code, str(marker), str(path)], check=True)
    assert "cannot be read" in refusal(path)
    assert not marker.exists()
