"""The ground made from tiles is the mean of what they say, where they say it, or none is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import elev
from habsim.classes import ElevationFile
from habsim.errors import ElevationError
from tests import faults, s3_servers

rasterio = pytest.importorskip("rasterio", reason="pip install -r requirements-elevation-tools.txt")

from rasterio.transform import from_origin  # type: ignore[import-untyped]  # noqa: E402
from rasterio.warp import transform  # type: ignore[import-untyped]  # noqa: E402

from scripts import build_elevation  # noqa: E402
from scripts.build_elevation import WORLD, Grid, build, main  # noqa: E402

SMALL = Grid(north=50.0, west=-180.0, step=0.25, rows=8, columns=1440)  # 50 to 48 N
SEA = ElevationFile(np.zeros((180, 360), np.int16), 89.5, -179.5, 1.0, 1.0)


def write(
    path: Path,
    pixels: npt.ArrayLike,
    *,
    north: float,
    west: float,
    step: float,
    crs: str | None = "EPSG:4326",
    kind: str = "int16",
    **more: Any,
) -> Path:
    """A GeoTIFF whose first pixel has its corner there."""
    values = np.asarray(pixels).astype(kind)
    profile = {"crs": crs, "transform": from_origin(west, north, step, step), "dtype": kind, "count": 1, **more}
    units = profile.pop("units", None)
    with rasterio.open(path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], **profile) as file:
        for band in range(1, profile["count"] + 1):
            file.write(values, band)
        if units:
            file.units = [units]
    return path


def made(folder: Path, *tiles: Path, grid: Grid = SMALL, land: ElevationFile = SEA) -> npt.NDArray[np.int16]:
    build(tiles, folder / "ground.npy", land, grid)
    ground: npt.NDArray[np.int16] = np.load(folder / "ground.npy")
    assert ground.dtype == np.int16
    return ground


def column(longitude: float, grid: Grid = SMALL) -> int:
    return int((longitude - grid.west) / grid.step)


def land_at(south: float, north: float, west: float, east: float) -> ElevationFile:
    """Land of 500 m in whole degrees, sea elsewhere."""
    elevation = np.zeros((180, 360), np.int16)
    elevation[int(90 - north) : int(90 - south), int(west + 180) : int(east + 180)] = 500
    return ElevationFile(elevation, 89.5, -179.5, 1.0, 1.0)


def refusal(folder: Path, *tiles: Path, land: ElevationFile = SEA) -> str:
    with pytest.raises(ElevationError) as caught:
        made(folder, *tiles, land=land)
    assert not (folder / "ground.npy").exists()
    assert not list(folder.glob(".*"))
    return caught.value.message


# --- Values


def test_cell_is_the_mean_of_its_pixels(tmp_path: Path) -> None:
    pixels = np.arange(64).reshape(8, 8) * 10
    ground = made(tmp_path, write(tmp_path / "a.tif", pixels, north=50.0, west=10.0, step=0.125))
    expected = pixels.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(ground[:4, column(10.0) : column(11.0)], np.rint(expected))
    assert np.count_nonzero(ground) == 16


@pytest.mark.parametrize("block", [1, 60])
def test_pixels_that_straddle_cells_count_by_their_area(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Pixels of 30 units in cells of 75, ten units off: the mean of all units in a cell is that of the areas."""
    monkeypatch.setattr(build_elevation, "_BLOCK_ROWS", block)
    unit = 1 / 300
    pixels = np.random.default_rng(1).integers(-100, 3000, (18, 20))
    tile = write(tmp_path / "a.tif", pixels, north=50.0 - 10 * unit, west=10.0 + 10 * unit, step=30 * unit)
    ground = made(tmp_path, tile)
    units = np.kron(pixels, np.ones((30, 30)))[65:515, 65:590]  # from the second cell on
    expected = units.reshape(6, 75, 7, 75).mean(axis=(1, 3))
    np.testing.assert_allclose(ground[1:7, column(10.25) : column(12.0)], expected, atol=0.501)


def test_coarse_pixels_fill_all_their_cells(tmp_path: Path) -> None:
    ground = made(tmp_path, write(tmp_path / "a.tif", [[100, 200], [300, 400]], north=50.0, west=10.0, step=1.0))
    for row, degrees, value in ((0, 10.0, 100), (3, 11.9, 200), (4, 10.9, 300), (7, 11.0, 400)):
        assert ground[row, column(degrees)] == value


def test_seam_of_two_tiles_leaves_no_gap(tmp_path: Path) -> None:
    """It runs through the middle of cells, which get the mean of both."""
    left = write(tmp_path / "a.tif", np.full((20, 9), 100), north=50.0, west=10.0, step=0.125)
    right = write(tmp_path / "b.tif", np.full((20, 9), 300), north=50.0, west=11.125, step=0.125)
    ground = made(tmp_path, left, right)
    assert ground[3, column(10.0) : column(12.25)].tolist() == [100, 100, 100, 100, 200, 300, 300, 300, 300]


def test_tiles_of_different_fineness_count_by_area(tmp_path: Path) -> None:
    fine = write(tmp_path / "a.tif", np.full((16, 1), 100), north=50.0, west=10.0, step=0.125)
    coarse = write(tmp_path / "b.tif", np.full((16, 1), 300), north=50.0, west=10.125, step=0.125)
    finer = write(tmp_path / "c.tif", np.full((160, 10), 100), north=50.0, west=10.0, step=0.0125)
    assert made(tmp_path, fine, coarse)[2, column(10.0)] == 200
    assert made(tmp_path, finer, coarse)[2, column(10.0)] == 200


@pytest.mark.parametrize(("kind", "nodata"), [("int16", -32768), ("float32", -9999.0), ("float32", float("nan"))])
def test_missing_values_do_not_count_and_become_zero(tmp_path: Path, kind: str, nodata: float) -> None:
    pixels = np.full((8, 8), 400.0)
    pixels[:2, :2] = nodata  # the whole of the first cell
    pixels[:2, 2] = nodata  # half of the second
    tile = write(tmp_path / "a.tif", pixels, north=50.0, west=10.0, step=0.125, kind=kind, nodata=nodata)
    assert made(tmp_path, tile)[0, column(10.0) : column(11.0)].tolist() == [0, 400, 400, 400]


def test_numbers_that_are_none_do_not_count(tmp_path: Path) -> None:
    pixels = np.full((8, 8), 400.0)
    pixels[0, 0] = np.nan
    tile = write(tmp_path / "a.tif", pixels, north=50.0, west=10.0, step=0.125, kind="float32")
    assert made(tmp_path, tile)[0, column(10.0)] == 400


def test_ground_below_the_sea_is_kept(tmp_path: Path) -> None:
    tile = write(tmp_path / "a.tif", np.full((8, 8), -430), north=50.0, west=10.0, step=0.125)
    assert made(tmp_path, tile)[0, column(10.0)] == -430


@pytest.mark.parametrize("west", [175.0, -185.0])
def test_tile_over_the_date_line_is_on_both_sides(tmp_path: Path, west: float) -> None:
    pixels = np.repeat([np.arange(20) * 10 + 5], 4, axis=0)
    ground = made(tmp_path, write(tmp_path / "a.tif", pixels, north=50.0, west=west, step=0.5))
    assert ground[0, column(179.5)] == 95
    assert ground[0, 0] == 105
    assert ground[0, column(-175.25)] == 195


def test_pixel_over_the_date_line_is_on_both_sides(tmp_path: Path) -> None:
    pixels = np.repeat([np.arange(20) * 10 + 5], 4, axis=0)
    ground = made(tmp_path, write(tmp_path / "a.tif", pixels, north=50.0, west=174.9, step=0.5))
    assert ground[0, column(179.75)] == 99  # 0.15 degrees of 95 m and 0.1 of 105 m
    assert ground[0, 0] == 105


def test_longitudes_to_360_are_those_of_the_west(tmp_path: Path) -> None:
    tile = write(tmp_path / "a.tif", [[700]], north=50.0, west=250.0, step=1.0)
    assert made(tmp_path, tile)[0, column(-110.0)] == 700


def test_other_projection_is_warped(tmp_path: Path) -> None:
    """A slope in metres of UTM zone 32, looked up at cells by their own projection."""
    west, north, step = 500_000.0, 5_540_000.0, 500.0
    rows, columns = np.mgrid[0:400, 0:400]
    slope = 1000 + rows * 2 + columns * 5
    tile = write(tmp_path / "a.tif", slope, north=north, west=west, step=step, crs="EPSG:32632")
    ground = made(tmp_path, tile)
    for latitude, longitude in ((49.875, 9.375), (49.375, 10.125), (48.625, 11.125)):
        (x,), (y,) = transform("EPSG:4326", "EPSG:32632", [longitude], [latitude])
        expected = 1000 + 2 * ((north - y) / step - 0.5) + 5 * ((x - west) / step - 0.5)
        row = int((50.0 - latitude) / 0.25)
        assert ground[row, column(longitude)] == pytest.approx(expected, abs=4)
    # Beyond the edge of the tile there is nothing, also where the warped one has a corner.
    assert ground[1, column(8.5)] == 0
    assert ground[:, column(11.99) :].max() <= slope.max()
    assert not set(np.unique(ground[ground < 1000])) - {0}


def test_rows_are_written_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of rows without ground are not written at all."""
    monkeypatch.setattr(build_elevation, "_BLOCK_ROWS", 2)
    ground = made(tmp_path, write(tmp_path / "a.tif", [[900]], north=49.0, west=10.0, step=0.25))
    assert np.argwhere(ground).tolist() == [[4, column(10.0)]]


# --- Refusals


def test_tile_without_a_place_is_refused(tmp_path: Path) -> None:
    tile = write(tmp_path / "a.tif", [[1]], north=50.0, west=10.0, step=1.0, crs=None)
    assert "a.tif does not say what its coordinates are" in refusal(tmp_path, tile)


@pytest.mark.parametrize("value", [-10_000, 9001, -32768, 32767])
def test_values_that_are_no_ground_are_refused(tmp_path: Path, value: int) -> None:
    pixels = np.full((8, 8), 100)
    pixels[3, 3] = value
    tile = write(tmp_path / "a.tif", pixels, north=50.0, west=10.0, step=0.125)
    assert f"a.tif has {value} m, ground is between -500 and 9000 m" in refusal(tmp_path, tile)


def test_several_bands_and_other_units_are_refused(tmp_path: Path) -> None:
    tile = write(tmp_path / "a.tif", [[1]], north=50.0, west=10.0, step=1.0, count=3)
    assert "a.tif has 3 bands" in refusal(tmp_path, tile)
    tile = write(tmp_path / "b.tif", [[1]], north=50.0, west=10.0, step=1.0, units="ft")
    assert "b.tif is in 'ft'" in refusal(tmp_path, tile)


def test_file_that_is_no_tile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 and nothing")
    assert "a.tif cannot be read" in refusal(tmp_path, tmp_path / "a.tif")
    assert "cannot be read" in refusal(tmp_path, tmp_path / "absent.tif")


def test_tile_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.tif", np.arange(40_000).reshape(200, 200) % 500, north=50.0, west=10.0, step=0.01)
    cut = faults.cut(whole, tmp_path / "cut.tif", whole.stat().st_size // 2)
    assert "cut.tif cannot be read" in refusal(tmp_path, cut)


def test_land_without_a_tile_is_named(tmp_path: Path) -> None:
    land = land_at(48, 50, 5, 25)
    tile = write(tmp_path / "a.tif", np.full((2, 10), 100), north=50.0, west=5.0, step=1.0)
    message = refusal(tmp_path, tile, land=land)
    assert message == (
        "the tiles do not cover the land in 40 to 50 N, 10 to 20 E (50 % of its land); "
        "40 to 50 N, 20 to 30 E (100 % of its land)"
    )
    more = write(tmp_path / "b.tif", np.full((2, 10), 100), north=50.0, west=15.0, step=1.0)
    assert made(tmp_path, tile, more, land=land)[0, column(24.0)] == 100


def test_land_in_the_west_and_voids_are_named(tmp_path: Path) -> None:
    pixels = np.full((20, 100), 100)
    pixels[5:, 40:] = -32768
    tile = write(tmp_path / "a.tif", pixels, north=50.0, west=-80.0, step=0.1, nodata=-32768)
    assert "40 to 50 N, -80 to -70 E (45 % of its land)" in refusal(tmp_path, tile, land=land_at(48, 50, -80, -70))


def test_some_missing_cells_are_sea(tmp_path: Path) -> None:
    pixels = np.full((80, 400), 100)
    pixels[:10, :10] = -32768
    tile = write(tmp_path / "a.tif", pixels, north=50.0, west=10.0, step=0.025, nodata=-32768)
    assert made(tmp_path, tile, land=land_at(48, 50, 10, 20))[0, column(10.0)] == 0


def test_refused_tiles_leave_the_ground_from_before(tmp_path: Path) -> None:
    (tmp_path / "ground.npy").write_bytes(b"before")
    tile = write(tmp_path / "a.tif", [[1]], north=50.0, west=10.0, step=1.0, crs=None)
    with pytest.raises(ElevationError):
        build([tile], tmp_path / "ground.npy", SEA, SMALL)
    assert (tmp_path / "ground.npy").read_bytes() == b"before"


# --- The command


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one tile of GMTED2010's grid, and the data folder's ground that says where land is."""
    monkeypatch.setenv("HABSIM_DATA_DIR", str(tmp_path / "data"))
    for name in ("S3_BUCKET_NAME", "HABSIM_BUCKET_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    elevation = np.zeros((180, 360), np.int16)
    elevation[50, 255] = 500
    np.savez(tmp_path / "data" / "elevation.npz", elevation=elevation, bounds=np.array([89.5, -89.5, -179.5, 179.5]))
    (tmp_path / "tiles").mkdir()
    pixels = np.add.outer(np.arange(240) * 5, np.arange(240) * 7) + 100
    write(tmp_path / "tiles" / "b.tif", pixels, north=40.99986, west=74.99986, step=1 / 120)
    return tmp_path / "tiles"


def assert_world(path: Path) -> None:
    """The cells of the tile in `inputs`, through the reader of the service."""
    ground = elev.load(path)
    assert ground.elevation.shape == (WORLD.rows, WORLD.columns)
    assert (ground.grid.north, ground.grid.west) == (WORLD.north - WORLD.step / 2, WORLD.west + WORLD.step / 2)
    for row, across in ((0, 0), (3, 117), (119, 5), (60, 60)):
        latitude, longitude = 40.99986 - (row + 0.5) / 60, 74.99986 + (across + 0.5) / 60
        # The mean of the four pixels.
        expected = 100 + 5 * (2 * row + 0.5) + 7 * (2 * across + 0.5)
        assert float(ground.at(latitude, longitude)) == pytest.approx(expected, abs=0.51)
    assert float(ground.at(38.9, 75.5)) == 0.0
    assert float(ground.at(-80.0, 10.0)) == 0.0


def test_command_writes_the_world(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "worldelev.npy"
    assert main([str(inputs), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"made {output} from 1 tiles\n"
    assert_world(output)


def test_command_puts_the_world_into_a_folder(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_elevation, "build", lambda tiles, output, land: output.write_bytes(b"ground"))
    assert main([str(inputs), "--bucket", str(tmp_path / "bucket")]) == 0
    assert [entry.name for entry in (tmp_path / "bucket").iterdir()] == ["worldelev.npy"]
    assert (tmp_path / "bucket" / "worldelev.npy").read_bytes() == b"ground"


def test_command_puts_the_world_into_the_store(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = s3_servers.rclone()
    name = store.new_bucket()
    for variable, value in {
        "S3_BUCKET_NAME": name,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
        "AWS_ACCESS_KEY_ID": s3_servers.KEY,
        "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET,
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(build_elevation, "build", lambda tiles, output, land: output.write_bytes(b"ground"))
    assert main([str(inputs), "--store"]) == 0
    assert f"put worldelev.npy into bucket {name} at" in capsys.readouterr().out
    assert store.client().get_object(Bucket=name, Key="worldelev.npy")["Body"].read() == b"ground"


def test_command_says_what_is_wrong(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--output", str(tmp_path / "x.npy")]) == 1
    assert "there are no GeoTIFF files" in capsys.readouterr().err
    (tmp_path / "data" / "elevation.npz").unlink()
    assert main([str(inputs), "--output", str(tmp_path / "x.npy")]) == 1
    assert "elevation.npz cannot be read" in capsys.readouterr().err
    for words in ([], ["--output", "a", "--store"]):
        with pytest.raises(SystemExit):
            main([str(inputs), *words])
    assert "say where it goes" in capsys.readouterr().err
