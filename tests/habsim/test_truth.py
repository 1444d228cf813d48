"""Flights whose end is known in closed form, and laws that every flight obeys."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from habsim import kernels
from habsim.classes import ElevationFile, Flights, Launches, Simulator, WindField, on_the_ground
from habsim.errors import BadRequestError, OutsideCycleError, WindFileError
from habsim.profiles import PROFILES
from tests.worlds import START, Floats, Flow, distance, launches, sample, uniform

RADIUS = 6371009.0
SEA = ElevationFile.flat()


def fly(field: WindField, launch: Launches, profile: str = "zpb", *, step: float = 150.0, paths: int = 0) -> Flights:
    flights = Simulator(field, SEA).fly(launch, PROFILES[profile], step=step, paths=paths)
    assert not flights.failures
    return flights


# --- Closed forms
#
# A balloon at z in a wind of w m/s turns about the centre of the Earth by w / (R + z) a second. With ascent and descent
# at constant speeds a, d and a coast of C seconds, its whole turn in a steady wind of 1 m/s is the integral of
# dt / (R + z) over the flight, `turn` below; all landings follow from it.


def turn(ascent: float, descent: float, top: float, coast: float) -> float:
    """The integral of dt / (R + z), radians for each m/s."""
    climb = math.log((RADIUS + top) / RADIUS)
    return climb / ascent + coast / (RADIUS + top) + climb / descent


def mercator(lat: float) -> float:
    """The integral of d(lat) / cos(lat) from the equator, radians."""
    return math.asinh(math.tan(math.radians(lat)))


def rhumb(u: float, v: float) -> Callable[[float, float, float], tuple[float, float]]:
    """Where a uniform wind carries: along a line that crosses all meridians at one angle."""

    def end(lat: float, lon: float, angle: float) -> tuple[float, float]:
        north = lat + math.degrees(v * angle)
        east = u * angle / math.cos(math.radians(lat)) if v == 0 else u / v * (mercator(north) - mercator(lat))
        return north, lon + math.degrees(east)

    return end


def shear(base: float, per_degree: float, v: float) -> Callable[[float, float, float], tuple[float, float]]:
    """Where an eastward wind of base + per_degree * lat carries along the equator, with a northward wind v.

    d(lon)/d(lat) = (base + per_degree lat) / (v cos lat); with 1 / cos lat expanded to the fourth order.
    """

    def end(lat: float, lon: float, angle: float) -> tuple[float, float]:
        north = lat + math.degrees(v * angle)

        def integral(degrees: float) -> float:
            x, slope = math.radians(degrees), math.degrees(per_degree)
            even = x + x**3 / 6 + x**5 / 24
            odd = x**2 / 2 + x**4 / 8 + 5 * x**6 / 144
            return base * even + slope * odd

        return north, lon + math.degrees((integral(north) - integral(lat)) / v)

    return end


def rotation(speed: float, pole_lat: float, pole_lon: float) -> tuple[Flow, Callable[..., tuple[float, float]]]:
    """Solid-body rotation about an axis through (pole_lat, pole_lon), `speed` m/s on its equator, and where it carries:
    around that axis by speed times the angle (Rodrigues' rotation)."""
    tilt, around = math.radians(pole_lat), math.radians(pole_lon)
    axis = np.array([math.cos(tilt) * math.cos(around), math.cos(tilt) * math.sin(around), math.sin(tilt)])

    def flow(lat: Floats, lon: Floats, _pressure: Floats, _time: Floats) -> tuple[Floats, Floats]:
        phi, east = np.radians(lat), np.radians(lon) - around
        u = math.sin(tilt) * np.cos(phi) - math.cos(tilt) * np.sin(phi) * np.cos(east)
        v = math.cos(tilt) * np.sin(east) + 0.0 * phi
        return speed * u, speed * v

    def end(lat: float, lon: float, angle: float) -> tuple[float, float]:
        phi, lam = math.radians(lat), math.radians(lon)
        point = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
        c, s = math.cos(speed * angle), math.sin(speed * angle)
        x, y, z = point * c + np.cross(axis, point) * s + axis * (axis @ point) * (1.0 - c)
        return math.degrees(math.asin(z)), math.degrees(math.atan2(y, x))

    return flow, end


@dataclass(frozen=True)
class Truth:
    """A flow, where it carries, where from, for how many hours of coast, and the error allowed, m."""

    flow: Flow
    end: Callable[[float, float, float], tuple[float, float]]
    launch: tuple[float, float]
    hours: float
    tolerance: float


def rotating(speed: float, pole: tuple[float, float], launch: tuple[float, float], hours: float, m: float) -> Truth:
    return Truth(*rotation(speed, *pole), launch, hours, m)


# A uniform wind of whole numbers is exact in half precision, and so is the wind on the meridians and parallels chosen
# for some of the rotations. Elsewhere the nodes are rounded (to 1 in 2048) and the wind between them is straight lines.
TRUTHS = {
    "calm": Truth(uniform(0.0, 0.0), rhumb(0.0, 0.0), (45.0, 10.0), 1, 0.001),
    "east": Truth(uniform(20.0, 0.0), rhumb(20.0, 0.0), (45.0, 10.0), 0, 0.1),
    "west over 0": Truth(uniform(-32.0, 0.0), rhumb(-32.0, 0.0), (51.5, 0.7), 2, 0.1),
    "east over 0": Truth(uniform(32.0, 0.0), rhumb(32.0, 0.0), (-33.0, 359.5), 2, 0.1),
    "east over 180": Truth(uniform(32.0, 0.0), rhumb(32.0, 0.0), (-17.0, 179.0), 2, 0.1),
    "west over 180": Truth(uniform(-32.0, 0.0), rhumb(-32.0, 0.0), (65.0, -179.0), 2, 0.1),
    "north": Truth(uniform(0.0, 24.0), rhumb(0.0, 24.0), (-3.0, 30.0), 6, 0.1),
    "south-west": Truth(uniform(-16.0, -12.0), rhumb(-16.0, -12.0), (47.0, 3.0), 12, 0.1),
    "north-east": Truth(uniform(16.0, 12.0), rhumb(16.0, 12.0), (-38.0, 178.0), 12, 0.1),
    "shear": Truth(lambda lat, lon, p, t: (8.0 + 2.0 * lat, 12.0), shear(8.0, 2.0, 12.0), (-4.0, 100.0), 12, 0.1),
    "with the Earth": rotating(40.0, (90.0, 0.0), (60.0, 170.0), 24, 0.1),
    "against the Earth": rotating(-40.0, (90.0, 0.0), (-60.0, 5.0), 24, 0.1),
    "tilted axis": rotating(32.0, (40.0, 70.0), (20.0, 10.0), 24, 300),
    "along 0 over the north pole": rotating(32.0, (0.0, -90.0), (86.0, 0.0), 12, 0.1),
    "along 180 over the south pole": rotating(32.0, (0.0, -90.0), (-86.0, 180.0), 12, 0.1),
    "near the north pole": rotating(30.0, (1.0, 200.0), (87.0, 111.0), 12, 300),
    "near the south pole": rotating(30.0, (-2.0, 20.0), (-86.0, -68.0), 12, 300),
    "around the north pole": rotating(1.0, (90.0, 0.0), (89.9, 12.0), 24, 0.1),
    "on the north pole": rotating(16.0, (0.0, -60.0), (90.0, 0.0), 1, 0.1),
    "on the south pole": rotating(16.0, (0.0, 135.0), (-90.0, 77.0), 1, 0.1),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_landing_is_that_of_the_closed_form(name: str) -> None:
    truth = TRUTHS[name]
    lat, lon = truth.launch
    coast = 3600.0 * truth.hours
    field = sample(truth.flow, levels=[10, 1000], degrees=1.0, times=2, interval=2 * 86400.0)
    landing = fly(field, launches(lat=lat, lon=lon, asc=5.0, desc=8.0, equil=30000.0, coast=coast)).landing[0]
    expected = truth.end(lat, lon, turn(5.0, 8.0, 30000.0, coast))
    assert landing[0] - START == pytest.approx(30000.0 / 5.0 + coast + 30000.0 / 8.0, abs=0.01)
    assert distance(landing[1], landing[2], *expected) < truth.tolerance
    assert 0.0 <= landing[2] < 360.0


@pytest.mark.parametrize("drift", [0.5, 0.95, 1.5])
def test_drift_is_the_share_of_the_wind(drift: float) -> None:
    launch = launches(lat=20.0, lon=30.0, asc=5.0, desc=5.0, equil=20000.0, drift=drift)
    landing = fly(sample(uniform(16.0, 8.0)), launch).landing[0]
    expected = rhumb(16.0 * drift, 8.0 * drift)(20.0, 30.0, turn(5.0, 5.0, 20000.0, 0.0))
    assert distance(landing[1], landing[2], *expected) < 0.2


def test_wind_that_changes_linearly_in_time_is_followed() -> None:
    """An eastward wind of 10 + t / 3600 m/s, on the equator at 20 km for 20 h."""
    field = sample(lambda lat, lon, p, t: (10.0 + t / 3600.0, 0.0 * t))
    landing = fly(field, launches(alt=20000.0, equil=20000.0, coast=72000.0), "float").landing[0]
    metres = 10.0 * 72000.0 + 72000.0**2 / 7200.0
    assert landing[2] == pytest.approx(math.degrees(metres / (RADIUS + 20000.0)), abs=1e-4)


def test_wind_is_linear_in_the_logarithm_of_pressure_without_heights() -> None:
    """Wind proportional to ln p: the drift of an ascent is the integral of ln p(z) of the standard atmosphere.

    Below 11 km ln p = ln p0 + k ln(1 - L z / T), whose integral is closed.
    """
    field = sample(lambda lat, lon, p, t: (8.0 * np.log(p / 1000.0), 0.0), levels=[100, 300, 500, 1000])
    low, top, rate = 500.0, 10000.0, 4.0
    landing = fly(field, launches(alt=low, equil=top, asc=rate), "float", step=20.0).landing[0]
    k, lapse, kelvin = 9.80665 / (287.05287 * 0.0065), 0.0065, 288.15

    def integral(z: float) -> float:
        x = 1.0 - lapse * z / kelvin
        return math.log(1013.25 / 1000.0) * z - k * kelvin / lapse * (x * math.log(x) - x)

    metres = 8.0 * (integral(top) - integral(low)) / rate
    # The nodes are rounded to 1 in 2048, and the radius grows by 1 in 1200 on the way.
    assert math.radians((landing[2] + 180.0) % 360.0 - 180.0) * (RADIUS + 5000.0) == pytest.approx(metres, rel=1e-3)


def test_wind_is_linear_in_height_with_heights() -> None:
    """Levels lower than the standard ones, 1 m/s of wind a kilometre: the drift is the integral of z / 1000."""

    def height(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> Floats:
        result: Floats = 7000.0 * np.log(1000.0 / pressure) + 0.0 * lat
        return result

    levels = [10.0, 50.0, 200.0, 500.0, 1000.0]
    field = sample(lambda lat, lon, p, t: (7.0 * np.log(1000.0 / p), 0.0), levels=levels, height=height)
    landing = fly(field, launches(alt=0.0, equil=20000.0, asc=4.0), "float").landing[0]
    metres = 20000.0**2 / 2.0 / 1000.0 / 4.0
    assert math.radians(landing[2]) * (RADIUS + 13300.0) == pytest.approx(metres, rel=1e-3)


# --- Accuracy of the step


def whirl(lat: Floats, lon: Floats, _pressure: Floats, time: Floats) -> tuple[Floats, Floats]:
    """Strong gradients in a grid so coarse that the flights below stay in one cell, where the wind is smooth."""
    east, north = np.where(lon == 60.0, -120.0, 120.0), np.where(lat == 0.0, -120.0, 120.0)
    return north + 0.0 * lon, east + 0.0 * lat + time / 3600.0


def test_error_falls_with_the_square_of_the_step() -> None:
    field = sample(whirl, levels=[1, 1000], degrees=30.0, times=2, interval=86400.0)
    batch = launches(lat=[15.0, 18.0], lon=[75.0, 70.0], alt=20000.0, equil=20000.0, coast=28800.0)
    fine = fly(field, batch, "float", step=1.0).landing
    assert (fine[:, 1] > 0.0).all() and (fine[:, 1] < 30.0).all() and (fine[:, 2] > 60.0).all()
    errors = []
    for step in (600.0, 300.0, 150.0, 75.0):
        end = fly(field, batch, "float", step=step).landing
        errors.append(distance(end[:, 1], end[:, 2], fine[:, 1], fine[:, 2]))
    assert np.min(errors) > 2.0  # far above rounding
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.all(np.abs(ratios - 4.0) < 0.2), ratios


def test_vertical_motion_costs_nothing_between_levels() -> None:
    """A whole layer in one step: the wind is taken at its mean over the step, so the drift is already exact."""
    field = sample(lambda lat, lon, p, t: (16.0 * np.log(p / 1000.0), 0.0), levels=[10, 200, 500, 1000])
    batch = launches(alt=300.0, equil=25000.0, asc=10.0, desc=10.0)
    coarse, fine = (fly(field, batch, step=step).landing[0] for step in (600.0, 1.0))
    assert distance(coarse[1], coarse[2], fine[1], fine[2]) < 20.0
    # A midpoint alone would be off by (600 s)^2 / 24 times the curvature of the wind: over a kilometre.


@pytest.mark.parametrize("lat", [0.0, 52.0, -75.0, 88.0])
def test_there_and_back(lat: float) -> None:
    """Backwards in time along the ascent from where it ended leads to the launch."""

    def flow(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> tuple[Floats, Floats]:
        jet = 40.0 * np.exp(-(np.log(pressure / 250.0) ** 2)) * np.cos(np.radians(lat))
        return jet + time / 7200.0, 15.0 * np.cos(np.radians(lat)) * np.cos(np.radians(3.0 * lon))

    field = sample(flow, degrees=1.0)
    there = launches(START + 30000.0, lat, 179.9, 0.0, asc=5.0, equil=30000.0)
    time, north, east, alt = fly(field, there, "float").landing[0]
    back = fly(field, launches(time, north, east, alt, asc=5.0), "reverse").landing[0]
    assert distance(back[1], back[2], lat, 179.9) < 2.0
    assert back[0] == pytest.approx(START + 30000.0, abs=0.1)
    assert back[3] == pytest.approx(0.0, abs=0.1)


# --- Ends of phases


@pytest.mark.parametrize("step", [7.0, 150.0, 600.0])
def test_phases_end_where_they_should(step: float) -> None:
    launch = launches(lat=40.0, lon=10.0, alt=123.4, asc=4.7, desc=6.1, equil=23456.7, coast=1234.5)
    flights = fly(sample(uniform(10.0, 5.0)), launch, step=step, paths=1)
    (trajectory,) = flights.trajectories
    assert trajectory is not None
    ascent, coast, descent = (phase.points for phase in trajectory.phases)
    assert ascent[0, :4] == pytest.approx([START, 40.0, 10.0, 123.4])
    assert ascent[-1, 3] == pytest.approx(23456.7, abs=0.1)
    assert ascent[-1, 0] - START == pytest.approx((23456.7 - 123.4) / 4.7, abs=0.1)
    assert coast[-1, 0] - coast[0, 0] == pytest.approx(1234.5, abs=0.1)
    assert (coast[:, 3] == coast[0, 3]).all()
    assert descent[-1, 3] == pytest.approx(0.0, abs=0.1)
    assert descent[-1, 0] - descent[0, 0] == pytest.approx(23456.7 / 6.1, abs=0.1)
    for before, after in ((ascent, coast), (coast, descent)):
        np.testing.assert_array_equal(before[-1, :4], after[0, :4])
    np.testing.assert_array_equal(descent[-1, :4], flights.landing[0])


def glenn_density(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """NASA Glenn's atmosphere model, the air that Tawhiri's parachutes fall through."""
    celsius = np.select([z <= 11000.0, z <= 25000.0], [15.04 - 0.00649 * z, -56.46], -131.21 + 0.00299 * z)
    pressure = np.select(
        [z <= 11000.0, z <= 25000.0],
        [101.29 * ((celsius + 273.1) / 288.08) ** 5.256, 22.65 * np.exp(1.73 - 0.000157 * z)],
        2.488 * ((celsius + 273.1) / 216.6) ** -11.388,
    )
    return np.asarray(pressure / (0.2869 * (celsius + 273.1)))


@pytest.mark.parametrize("top", [8000.0, 20000.0, 35000.0])
def test_descent_under_a_parachute_takes_the_time_of_its_density_integral(top: float) -> None:
    """The speed is 1.1045 w0 / sqrt(rho), so the time is the integral of sqrt(rho) / (1.1045 w0) dz."""
    launch = launches(alt=top, equil=top, desc=5.0)
    landing = fly(sample(uniform(0.0, 0.0)), launch, "standard").landing[0]
    z = np.linspace(0.0, top, 200001)
    expected = np.trapezoid(np.sqrt(glenn_density(z)), z) / (1.1045 * 5.0)
    assert landing[0] - START == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("alt", "speed"), [(100.0, 5.0), (20000.0, 18.5), (30000.0, 41.8)])
def test_descent_under_a_parachute_has_the_right_speed(alt: float, speed: float) -> None:
    launch = launches(alt=alt + 200.0, equil=alt + 200.0, desc=5.0)
    (trajectory,) = fly(sample(uniform(0.0, 0.0)), launch, "standard", step=1.0, paths=1).trajectories
    assert trajectory is not None
    points = trajectory.phases[-1].points
    found = np.interp(-alt, -points[1:, 3], -np.diff(points[:, 3]) / np.diff(points[:, 0]))
    assert found == pytest.approx(speed, rel=0.005)


# --- Ground


@functools.cache
def hills() -> ElevationFile:
    """Round hills up to 800 m, 10 degrees apart, a quarter of a degree to a cell."""
    lat, lon = np.meshgrid(89.875 - 0.25 * np.arange(720), 0.125 + 0.25 * np.arange(1440), indexing="ij")
    waves = (1.0 + np.sin(np.radians(36.0 * lat))) * (1.0 + np.cos(np.radians(36.0 * lon))) / 4.0
    return ElevationFile(np.rint(800.0 * waves).astype(np.int16), 89.875, 0.125, 0.25, 0.25)


def ridge(longitude: float, height: int = 3000) -> ElevationFile:
    """A plain at sea level with a wall from pole to pole, one cell of a quarter of a degree thick."""
    elevation = np.zeros((720, 1440), np.int16)
    elevation[:, int(longitude / 0.25)] = height
    return ElevationFile(elevation, 89.875, 0.125, 0.25, 0.25)


@pytest.mark.parametrize("profile", ["zpb", "standard"])
def test_landing_stops_on_terrain(profile: str) -> None:
    random = np.random.default_rng(3)
    count, ground = 200, hills()
    batch = launches(
        lat=random.uniform(-70, 70, count), lon=random.uniform(0, 360, count), alt=1000.0, equil=12000.0, desc=4.0
    )
    flights = Simulator(sample(uniform(30.0, 8.0)), ground).fly(batch, PROFILES[profile], paths=count)
    assert not flights.failures
    landing = flights.landing
    np.testing.assert_allclose(landing[:, 3], ground.at(landing[:, 1], landing[:, 2]), atol=1.0)
    assert landing[:, 3].max() > 500.0
    for trajectory in flights.trajectories:
        assert trajectory is not None
        descent = trajectory.phases[-1].points
        above = descent[:-1, 3] - ground.at(descent[:-1, 1], descent[:-1, 2])
        assert above.min() > -0.5
        if profile == "zpb":  # the height that the time of flight gives, not only what the kernel says
            fallen = 4.0 * (descent[-1, 0] - descent[0, 0])
            assert descent[0, 3] - fallen == pytest.approx(descent[-1, 3], abs=1.0)


def test_launch_below_the_ground_starts_on_the_ground() -> None:
    ground = hills()
    lat, lon = 2.5, 0.0
    elevation = float(ground.at(lat, lon))
    assert elevation > 700.0
    batch = launches(lat=[lat, lat, 7.5], lon=lon, alt=[10.0, 900.0, 10.0], equil=[5000.0, 5000.0, 400.0])
    lifted = on_the_ground(batch, ground).table
    assert lifted[:, kernels.ALTITUDE] == pytest.approx([elevation, 900.0, 10.0], abs=1e-9)
    assert (batch.table[:, kernels.ALTITUDE] == [10.0, 900.0, 10.0]).all()  # the request stays as it is
    flights = Simulator(sample(uniform(10.0, 0.0)), ground).fly(Launches(lifted), PROFILES["zpb"], paths=1)
    assert flights.landing[0, 0] > START + 800.0
    assert flights.trajectories[0] is not None
    assert flights.trajectories[0].phases[0].points[0, 3] == pytest.approx(elevation)


def test_launch_from_ground_above_its_equilibrium_is_refused() -> None:
    with pytest.raises(BadRequestError, match=r"equil is 300 m, below the ground at the launch, 798 m"):
        on_the_ground(launches(lat=2.5, lon=0.0, alt=0.0, equil=300.0), hills())


def test_perturbed_launch_from_high_ground_has_its_equilibrium_lifted() -> None:
    batch = launches(lat=[7.5, 2.5], lon=0.0, alt=0.0, equil=300.0)
    lifted = on_the_ground(batch, hills()).table
    assert lifted[1, kernels.EQUILIBRIUM_ALTITUDE] == lifted[1, kernels.ALTITUDE] > 700.0


@pytest.mark.parametrize(
    ("phase", "launch"),
    [
        ("ascent", launches(lat=10.0, lon=9.0, alt=500.0, asc=0.2, equil=20000.0, coast=600.0)),
        ("coast", launches(lat=10.0, lon=9.0, alt=1490.0, asc=5.0, equil=1500.0, coast=20000.0)),
    ],
)
@pytest.mark.parametrize("profile", ["zpb", "float"])
def test_mountain_in_the_way_ends_the_flight(phase: str, launch: Launches, profile: str) -> None:
    simulator = Simulator(sample(uniform(20.0, 0.0)), ridge(10.0))
    flights = simulator.fly(launch, PROFILES[profile], paths=1)
    assert not flights.failures
    assert flights.warnings == ("the flight met rising ground before its descent",)
    (trajectory,) = flights.trajectories
    assert trajectory is not None
    assert trajectory.warnings == flights.warnings
    assert trajectory.phases[-1].name == phase
    assert 9.8 < flights.landing[0, 2] < 10.2
    assert flights.landing[0, 3] == pytest.approx(simulator.ground.at(*flights.landing[0, 1:3]), abs=1.0)


def test_no_mountain_is_stepped_over() -> None:
    """A wall one cell thick, at steps that would carry a balloon across four cells."""
    batch = launches(lat=[0.0, 40.0, -65.0], lon=8.0, alt=1500.0, equil=1500.0, coast=40000.0)
    flights = Simulator(sample(uniform(80.0, 0.0)), ridge(10.0)).fly(batch, PROFILES["zpb"], step=600.0)
    assert not flights.failures
    assert np.all(np.abs(flights.landing[:, 2] - 10.1) < 0.3)


# --- Edges of the wind file


def test_wind_of_the_nearest_level_holds_beyond_the_levels() -> None:
    field = sample(lambda lat, lon, p, t: (np.where(p == 10, 32.0, 8.0), 0.0 * lat), levels=[10, 850])
    inside = fly(field, launches(alt=2000.0, equil=20000.0), "float", paths=1)
    assert inside.warnings == ()
    above = fly(field, launches(alt=35000.0, equil=45000.0), "float", paths=1)
    assert above.warnings == ("above the top level (10 hPa) the wind of that level was used",)
    below = fly(field, launches(alt=100.0, equil=1000.0, asc=1.0), "float", paths=1)
    assert below.warnings == ("below the lowest level (850 hPa) the wind of that level was used",)
    for flights, wind in ((above, 32.0), (below, 8.0)):
        assert flights.trajectories[0] is not None
        assert flights.trajectories[0].warnings == flights.warnings
        assert flights.trajectories[0].phases[0].points[:, 4] == pytest.approx(wind)


@pytest.mark.parametrize("what", ["wind", "height"])
def test_missing_number_is_reported_with_file_level_and_time(what: str) -> None:
    field = sample(uniform(10.0, 0.0), levels=[10, 300, 1000], height=_standard, name="2026111900_07.npz")
    array = field.data if what == "wind" else field.height
    assert array is not None
    array[:, :, 1, 2] = np.nan
    flights = Simulator(field, SEA).fly(launches(START + 30000.0, 45.0, 10.0), PROFILES["zpb"], paths=1)
    error = flights.failures[0]
    assert isinstance(error, WindFileError)
    assert error.message.startswith("2026111900_07.npz holds no number near 45.")
    assert error.message.endswith(": 300 hPa at 2026-11-19T12:00:00Z")
    assert flights.trajectories == (None,)


def _standard(lat: Floats, lon: Floats, pressure: Floats, time: Floats) -> Floats:
    result: Floats = 7000.0 * np.log(1000.0 / pressure) + 0.0 * lat
    return result


def test_missing_number_fails_only_the_flights_that_meet_it() -> None:
    field = sample(uniform(10.0, 0.0), degrees=5.0)
    field.data[:10] = np.nan
    batch = launches(lat=[-30.0, 60.0, 30.0])
    flights = Simulator(field, SEA).fly(batch, PROFILES["zpb"], paths=3)
    assert list(flights.failures) == [1]
    assert [trajectory is None for trajectory in flights.trajectories] == [False, True, False]


COVERED = "2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (-1.0, f"launch at 2026-11-18T23:59:59Z is outside the cycle, which covers {COVERED}"),
        (86401.0, f"launch at 2026-11-20T00:00:01Z is outside the cycle, which covers {COVERED}"),
        (80000.0, f"when the winds of the cycle end; it covers {COVERED}"),
    ],
    ids=["before", "after", "runs past"],
)
def test_flight_outside_the_cycle_is_refused(seconds: float, sentence: str) -> None:
    flights = Simulator(sample(uniform(10.0, 0.0)), SEA).fly(launches(START + seconds), PROFILES["zpb"], paths=1)
    error = flights.failures[0]
    assert isinstance(error, OutsideCycleError)
    assert error.message.endswith(sentence)


def test_flight_backwards_past_the_start_of_the_cycle_is_refused() -> None:
    flights = Simulator(sample(uniform(10.0, 0.0)), SEA).fly(
        launches(START + 1000.0, alt=20000.0), PROFILES["reverse"], paths=1
    )
    assert isinstance(flights.failures[0], OutsideCycleError)


def test_flight_may_use_the_cycle_to_its_last_second() -> None:
    """6000 s up, 80400 s of coast: a day to the second."""
    batch = launches(START, equil=30000.0, asc=5.0, coast=[80400.0, 80401.0])
    flights = Simulator(sample(uniform(10.0, 0.0)), SEA).fly(batch, PROFILES["float"])
    assert list(flights.failures) == [1]
    assert flights.landing[0, 0] == START + 86400.0


def test_flight_needs_no_more_times_than_it_lasts() -> None:
    """Numbers beyond the last time that the flight needs are not looked at."""
    field = sample(uniform(16.0, 0.0))
    whole = fly(field, launches()).landing
    data = field.data.copy()
    data[:, :, :, 2:] = np.nan
    np.testing.assert_array_equal(fly(replace(field, data=data), launches()).landing, whole)
