"""The demo atmosphere against the equations it claims to satisfy and the climate it claims to resemble."""

from __future__ import annotations

import datetime
import math

import numpy as np
import numpy.typing as npt
import pytest

from habsim import atmosphere, demo_winds
from habsim.demo_winds import Axes, EquatorialWave, Sample, Wave

Array = npt.NDArray[np.float64]

GRAVITY = 9.80665
RADIUS = 6_371_009.0
OMEGA = 7.292e-5
HOUR = 3600.0
JANUARY = datetime.datetime(2026, 1, 15, tzinfo=datetime.UTC).timestamp()
JULY = datetime.datetime(2026, 7, 15, tzinfo=datetime.UTC).timestamp()
GLOBE = np.arange(90.0, -91.0, -5.0)
CIRCLE = np.arange(0.0, 360.0, 5.0)


def member(axes: Axes, start: float, number: int) -> Sample:
    control = demo_winds.sample_control(axes, start)
    return control + demo_winds.sample_perturbation(axes, start, number) if number else control


def rms(field: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(field, dtype=np.float64))))


def gradient(height: npt.NDArray[np.float32], axes: Axes) -> tuple[Array, Array]:
    """Central differences (m/m) of a height (lat, lon, level, time) to the east and to the north, rims left out."""
    z = height.astype(np.float64)
    dx = RADIUS * np.cos(np.radians(axes.latitudes)) * np.radians(axes.longitudes[2] - axes.longitudes[0])
    dy = RADIUS * np.radians(axes.latitudes[2:] - axes.latitudes[:-2])
    east = (z[:, 2:] - z[:, :-2]) / dx[:, None, None, None]
    north = (z[2:] - z[:-2]) / dy[:, None, None, None]
    return east[1:-1], north[:, 1:-1]


@pytest.mark.parametrize("start", [JANUARY, JULY])
@pytest.mark.parametrize("number", [0, 7])
@pytest.mark.parametrize("hemisphere", [1, -1])
def test_wind_above_the_boundary_layer_is_geostrophic(start: float, number: int, hemisphere: int) -> None:
    latitudes = hemisphere * np.arange(35.0, 86.0, 0.25)
    axes = Axes(latitudes, np.arange(0.0, 10.1, 0.25), np.array([10.0, 200, 500]), start + np.array([0.0, 96 * HOUR]))
    winds = member(axes, start, number)
    east, north = gradient(winds.height, axes)
    coriolis = 2 * OMEGA * np.sin(np.radians(latitudes[1:-1]))[:, None, None, None]
    eastward, northward = winds.eastward[1:-1, 1:-1], winds.northward[1:-1, 1:-1]
    # Central differences over 0.25 degrees are wrong by (m 0.25 degrees)^2 / 6 = 3e-4 of the shortest wave, the
    # equatorial waves leave 5 mm/s at 35 degrees, and float32 heights 1 mm/s.
    assert np.abs(eastward + GRAVITY / coriolis * north).max() < 0.05
    assert np.abs(northward - GRAVITY / coriolis * east).max() < 0.05
    assert min(rms(eastward), rms(northward)) > 1  # there is wind to compare


def test_equatorial_wave_solves_the_shallow_water_equations() -> None:
    axes = Axes(
        np.arange(-20.0, 20.1, 0.1), np.arange(0.0, 60.0, 0.1), np.array([10.0]), JANUARY + np.array([-600.0, 0, 600])
    )
    wave = demo_winds.sample_waves([EquatorialWave(4, 5.0, 0.4)], axes, np.ones(3))
    y = RADIUS * np.radians(axes.latitudes)[:, None]
    step = RADIUS * math.radians(0.1)  # the beta plane has no convergence of meridians

    def derivatives(field: npt.NDArray[np.float32]) -> tuple[Array, Array, Array, Array]:
        f = field[:, :, 0].astype(np.float64)
        value, d_time = f[:, :, 1], (f[:, :, 2] - f[:, :, 0]) / 1200.0
        return value, np.gradient(value, step, axis=1), np.gradient(value, step, axis=0), d_time

    u, u_x, _, u_t = derivatives(wave.eastward)
    v, _, v_y, v_t = derivatives(wave.northward)
    _, z_x, z_y, z_t = derivatives(wave.height)
    f = 2 * OMEGA / RADIUS * y
    inner = np.s_[2:-2, 2:-2]
    for residual, term in (
        (u_t - f * v + GRAVITY * z_x, f * v),
        (v_t + f * u + GRAVITY * z_y, v_t),
        (GRAVITY * z_t + 25.0**2 * (u_x + v_y), 25.0**2 * v_y),
    ):
        assert rms(residual[inner]) < 0.002 * rms(term[inner])  # float32 and finite differences


@pytest.mark.parametrize("latitude", [52.0, -38.0])
def test_wave_has_its_amplitude_at_its_latitude_and_moves_at_its_speed(latitude: float) -> None:
    crest = 1000.0 * math.exp(-9 / 7)  # hPa, where waves that are not deep are strongest
    degrees = 5 * 86_400 * 12.0 / (RADIUS * math.cos(math.radians(latitude))) * 180 / math.pi
    axes = Axes(np.arange(-89.0, 90.0), np.arange(0.0, 360.0), np.array([crest]), JANUARY + np.array([0.0, 5 * 86_400]))
    wave = Wave(wavenumber=6, amplitude=100.0, speed=12.0, phase=1.0, latitude=latitude, width=0.14, deep=0.0)
    height = demo_winds.sample_waves([wave], axes, np.ones(2)).height[:, :, 0]
    assert axes.latitudes[np.abs(height).max(axis=(1, 2)).argmax()] == latitude
    assert np.abs(height).max() == pytest.approx(100.0, rel=0.01)  # the crest lies up to half a degree off the grid
    row = height[axes.latitudes.tolist().index(latitude)]
    phase = np.angle(np.fft.rfft(row, axis=0)[6])
    moved = math.degrees(phase[0] - phase[1]) / 6
    assert (moved - degrees + 30) % 60 - 30 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("start", [JANUARY, JULY])
def test_winds_pass_smoothly_over_the_equator(start: float) -> None:
    axes = Axes(np.arange(-20.0, 20.1, 0.25), CIRCLE, demo_winds.LEVELS, start + np.array([0.0, 120 * HOUR]))
    for number in (0, 3):
        winds = member(axes, start, number)
        for field in (winds.eastward, winds.northward):
            assert np.abs(np.diff(field, axis=0)).max() < 1.5  # m/s over 28 km; the jets themselves have 1.2
            assert np.abs(field[:, :, 10:]).max() < 45  # below 100 hPa
        assert rms(winds.northward[len(axes.latitudes) // 2]) > 0.5  # the air at the equator is not still


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_wind_at_a_pole_is_one_vector(pole: float) -> None:
    axes = Axes(np.array([pole, pole * 0.99999]), CIRCLE, demo_winds.LEVELS, JANUARY + np.array([0.0, 120 * HOUR]))
    winds = member(axes, JANUARY, 5)
    sine, cosine = (f(np.radians(CIRCLE))[:, None, None] for f in (np.sin, np.cos))
    inward = math.copysign(1, pole)  # north points to the north pole and away from the south pole
    x = -winds.eastward * sine - inward * winds.northward * cosine
    y = winds.eastward * cosine - inward * winds.northward * sine
    for component in (x, y):
        assert np.ptp(component[0], axis=0).max() < 1e-4  # float32 of winds up to 30 m/s
        assert np.abs(component[0] - component[1]).max() < 0.02  # 100 m away; shears are below 0.1 m/s per km
        assert rms(component[0]) > 0.2  # not still air
    assert np.ptp(winds.height[0], axis=0).max() == 0


@pytest.mark.parametrize("start", [JANUARY, JULY])
def test_heights_are_hydrostatically_plausible(start: float) -> None:
    axes = Axes(GLOBE, CIRCLE, demo_winds.LEVELS, start + np.array([0.0, 60 * HOUR, 120 * HOUR]))
    for number in (0, 1, 2):
        heights = atmosphere.altitude(axes.levels)[:, None] + member(axes, start, number).height
        thickness = heights[:, :, :-1] - heights[:, :, 1:]
        assert thickness.min() > 0
        # Hypsometric equation (Holton, eq. 1.21): mean temperature of a layer from its thickness.
        temperature = GRAVITY * thickness / (287.05287 * np.diff(np.log(axes.levels))[:, None])
        assert 160 < temperature.min() < 225  # the coldest layers of the atmosphere
        assert 285 < temperature.max() < 330  # the tropical surface
        north_pole, equator, south_pole = temperature[[0, 18, 36], :, -1].mean(axis=(1, 2))
        assert equator > max(north_pole, south_pole) + 5


def test_global_mean_atmosphere_is_the_standard_one() -> None:
    latitudes = np.arange(-89.5, 90.0)
    height, _ = demo_winds.zonal_mean(latitudes, demo_winds.LEVELS, JULY)
    area = np.cos(np.radians(latitudes))
    assert np.abs(area @ height / area.sum()).max() < 1.0  # m; the two sums over latitude differ


def test_jets_are_stronger_and_nearer_to_the_equator_in_winter() -> None:
    levels = np.array([200.0])
    north = np.arange(20.0, 71.0)
    for latitudes, winter, summer in ((north, JANUARY, JULY), (-north, JULY, JANUARY)):
        cold, warm = (demo_winds.zonal_mean(latitudes, levels, time)[1][:, 0] for time in (winter, summer))
        assert 35 < cold.max() < 60  # ERA climatologies: 35 to 45 m/s in winter, 20 to 30 in summer
        assert 18 < warm.max() < 35
        assert cold.max() > 1.25 * warm.max()
        assert 25 <= abs(latitudes[cold.argmax()]) < abs(latitudes[warm.argmax()]) <= 52


def test_stratospheric_wind_turns_with_the_season() -> None:
    levels = np.array([3.0, 10.0])
    for sign, winter, summer in ((1, JANUARY, JULY), (-1, JULY, JANUARY)):
        at_60, at_30 = np.array([60.0 * sign]), np.array([30.0 * sign])
        polar_night = demo_winds.zonal_mean(at_60, levels, winter)[1][0]
        easterlies = demo_winds.zonal_mean(at_30, levels, summer)[1][0]
        assert 20 < polar_night[1] < polar_night[0] < 80
        assert -60 < easterlies[0] < easterlies[1] < -8


def test_no_wind_is_stronger_than_observed() -> None:
    for start in (JANUARY, JULY):
        axes = Axes(GLOBE, CIRCLE, demo_winds.LEVELS, start + 24 * HOUR * np.arange(6, dtype=np.float64))
        for number in (0, 4, 20):
            winds = member(axes, start, number)
            assert 50 < np.hypot(winds.eastward, winds.northward).max() < 110


def shift_of_best_match(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> int:
    """Columns by which `second` lies east of `first`, both (lon,) around the Earth."""
    product = np.fft.irfft(np.conj(np.fft.rfft(first)) * np.fft.rfft(second), n=len(first))
    shift = int(product.argmax())
    return shift if shift <= len(first) // 2 else shift - len(first)


@pytest.mark.parametrize("latitude", [48.0, -48.0])
def test_weather_travels_eastward_and_leans_westward_with_height(latitude: float) -> None:
    axes = Axes(np.array([latitude]), np.arange(360.0), np.array([300.0, 850.0]), JANUARY + np.array([0.0, 12 * HOUR]))
    winds = demo_winds.sample_control(axes, JANUARY).northward[0]
    # 12 hours at 6 to 14 m/s are 4 to 7 degrees at 48 degrees; a quarter of wave 6 is 15.
    assert 3 <= shift_of_best_match(winds[:, 0, 0], winds[:, 0, 1]) <= 8
    assert -20 <= shift_of_best_match(winds[:, 1, 0], winds[:, 0, 0]) <= -2


@pytest.mark.parametrize("hemisphere", [1, -1])
def test_wind_near_the_ground_is_slower_and_turned_to_low_pressure(hemisphere: int) -> None:
    latitudes = hemisphere * np.arange(35.0, 60.0, 0.25)
    axes = Axes(latitudes, np.arange(0.0, 90.0, 0.25), np.array([1000.0]), np.array([JANUARY]))
    winds = demo_winds.sample_control(axes, JANUARY)
    east, north = gradient(winds.height, axes)
    coriolis = 2 * OMEGA * np.sin(np.radians(latitudes[1:-1]))[:, None, None, None]
    geostrophic = GRAVITY / coriolis * (-north + 1j * east)
    actual = winds.eastward[1:-1, 1:-1] + 1j * winds.northward[1:-1, 1:-1]
    windy = np.abs(geostrophic) > 2
    ratio = (actual / geostrophic)[windy]
    # 10 to 30 degrees and 0.4 to 0.7 are observed over land and sea (Holton, section 5.3.5).
    assert 0.4 < np.abs(ratio).min() <= np.abs(ratio).max() < 0.7
    turned = np.degrees(np.angle(ratio)) * hemisphere
    assert 10 < turned.min() <= turned.max() < 30
    downhill = (actual.real * east + actual.imag * north)[windy]
    assert downhill.max() < 0


def test_spread_grows_with_lead_time() -> None:
    leads = np.array([0.0, 24, 72, 120]) * HOUR
    axes = Axes(np.arange(35.0, 61.0, 5), CIRCLE, np.array([500.0]), JANUARY + leads)
    winds = np.stack([demo_winds.sample_perturbation(axes, JANUARY, number).eastward for number in range(1, 21)])
    spread = np.sqrt(winds.var(axis=0, ddof=1).mean(axis=(0, 1, 2)))
    assert (np.diff(spread) > 0.2).all()
    assert 0.3 < spread[0] < 1.5  # m/s; ensembles start with the error of the analysis
    assert 3 < spread[3] < 8  # and reach about half of the variability of the weather in five days


def test_members_differ_and_are_functions_of_cycle_and_number() -> None:
    axes = Axes(np.array([45.0]), CIRCLE, np.array([500.0]), JANUARY + np.array([0.0, 48 * HOUR]))
    first = demo_winds.sample_perturbation(axes, JANUARY, 1).eastward
    assert (demo_winds.sample_perturbation(axes, JANUARY, 1).eastward == first).all()
    for start, number in ((JANUARY, 2), (JANUARY + 6 * HOUR, 1)):
        assert rms(demo_winds.sample_perturbation(axes, start, number).eastward - first) > 0.5


def test_next_cycle_continues_the_weather_of_the_last() -> None:
    axes = Axes(GLOBE, CIRCLE, demo_winds.LEVELS, JANUARY + np.array([24.0, 48.0]) * HOUR)
    first, second = (demo_winds.sample_control(axes, start) for start in (JANUARY, JANUARY + 6 * HOUR))
    assert np.abs(first.eastward - second.eastward).max() < 0.5  # the season has moved on by six hours
    assert np.abs(first.northward - second.northward).max() < 0.5
