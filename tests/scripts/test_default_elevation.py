"""The embedded ground is the topography of ITU-R P.1511-2, where it belongs and with the lands below sea level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import elev
from habsim.classes import ElevationFile
from scripts import default_elevation


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as the command makes it, in a folder that does not exist before."""
    try:
        default_elevation.itur_topography()
    except SystemExit as absent:
        pytest.skip(str(absent))
    path = tmp_path_factory.mktemp("data") / "new" / "elevation.npz"
    default_elevation.convert(default_elevation.itur_topography(), path)
    return path


@pytest.fixture(scope="module")
def ground(output: Path) -> ElevationFile:
    return elev.load(output)


# Place, degrees, metres above the sea of the ground there (as surveyed), and by how much a grid of 9 km may miss it.
PLACES = [
    ("Atlantic", 30.0, -40.0, 0, 0),
    ("Pacific", -10.0, -150.5, 0, 0),
    ("North Pole", 89.97, 0.0, 0, 0),
    ("Dead Sea", 31.5, 35.48, -430, 120),
    ("Caspian Sea", 42.0, 50.5, -28, 5),
    ("Denver", 39.74, -104.99, 1609, 60),
    ("La Paz and El Alto", -16.51, -68.19, 4060, 250),
    ("Lhasa", 29.65, 91.1, 3650, 250),
    ("Kansas City", 39.1, -94.58, 270, 60),
    ("Amsterdam", 52.37, 4.9, 0, 10),
    ("Mexico City", 19.43, -99.13, 2240, 100),
    ("Johannesburg", -26.2, 28.04, 1750, 100),
    ("South Pole", -90.0, 0.0, 2835, 100),
    ("Dome A", -80.37, 77.35, 4093, 100),
    ("Greenland Summit", 72.58, -38.46, 3216, 100),
    ("Ross Ice Shelf", -81.0, 180.0, 50, 50),
]


@pytest.mark.parametrize("known", PLACES, ids=lambda known: known[0])
def test_known_places_have_their_height(ground: ElevationFile, known: tuple[str, float, float, float, float]) -> None:
    _, latitude, longitude, metres, within = known
    assert ground.at(latitude, longitude) == pytest.approx(metres, abs=within)


def test_file_is_a_twelfth_of_a_degree_in_whole_metres(output: Path) -> None:
    with np.load(output) as archive:
        assert sorted(archive.files) == ["bounds", "elevation"]
        elevation, bounds = archive["elevation"], archive["bounds"]
    assert elevation.dtype == np.int16
    assert elevation.shape == (2160, 4320)
    half = 1 / 24
    np.testing.assert_allclose(bounds, [90 - half, half - 90, half - 180, 180 - half])
    assert 6500 < elevation.max() < 8849
    assert -430 <= elevation.min() < -380


def test_trimmed_ring_repeats_what_is_kept(output: Path) -> None:
    """The source has two cells more on each side: west and east they are the same ground from the other side."""
    with np.load(default_elevation.itur_topography()) as archive:
        source = np.rint(archive["arr_0"])
    with np.load(output) as archive:
        kept = archive["elevation"]
    np.testing.assert_array_equal(source[2:-2, :2], kept[:, -2:])
    np.testing.assert_array_equal(source[2:-2, -2:], kept[:, :2])


def test_command_makes_the_file_and_says_so(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data" / "elevation.npz"
    monkeypatch.setattr("sys.argv", ["default_elevation", str(path)])
    default_elevation.main()
    assert f"made {path}" in capsys.readouterr().out
    assert [entry.name for entry in path.parent.iterdir()] == ["elevation.npz"]
    with np.load(path) as made, np.load(output) as expected:
        np.testing.assert_array_equal(made["elevation"], expected["elevation"])


def test_without_the_package_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps -r requirements-elevation"):
        default_elevation.itur_topography()
