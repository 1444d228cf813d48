"""How close a flight comes to a zone: against closed forms, and against paths sampled every second."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from habsim import kernels
from habsim.atmosphere import EARTH_RADIUS
from habsim.balloons import launch as gas_launch
from habsim.classes import Approaches, Balloon, ElevationFile, Launches, Location, Simulator, WindField, Zone, air
from habsim.envelopes import ENVELOPES, GASES
from habsim.profiles import PROFILES
from habsim.sizing import Wish, filled
from tests.habsim.test_truth import rotation
from tests.worlds import START, Floats, demo, distance, launches, sample, uniform

DAY = 86400.0
DEGREE = math.radians(1.0) * EARTH_RADIUS  # m
TIME, LAT, LON, ALT, DISTANCE = range(5)


def simulator(field: WindField) -> Simulator:
    return Simulator(field, ElevationFile.flat())


EAST = simulator(sample(uniform(20.0, 0.0)))


def coasting(lat: float = 0.0, lon: float = 0.0, *, hours: float = 6.0, alt: float = 10000.0) -> Launches:
    """A launch at the altitude where it stays."""
    return launches(lat=lat, lon=lon, alt=alt, equil=alt, coast=3600.0 * hours)


def float_by(winds: Simulator, launch: Launches, zone: Zone, step: float = 150.0) -> Floats:
    found: Floats = winds.approach(launch, PROFILES["float"], zone, step=step).closest[0]
    return found


# --- Closed forms


@pytest.mark.parametrize("side", [0.5, -0.5])
def test_closest_point_of_a_straight_flight_is_abeam(side: float) -> None:
    """Along the equator, which is a great circle, at 20 m/s on a sphere 10 km larger."""
    found = float_by(EAST, coasting(), Zone(side, 2.77))
    assert found[TIME] - START == pytest.approx(math.radians(2.77) * (EARTH_RADIUS + 10000.0) / 20.0, abs=0.01)
    assert found[[LAT, LON, ALT]] == pytest.approx([0.0, 2.77, 10000.0], abs=1e-6)
    assert found[DISTANCE] == pytest.approx(0.5 * DEGREE, abs=0.01)


@pytest.mark.parametrize(("behind", "hours"), [(-0.3, 0.0), (5.0, 6.0)])
def test_closest_point_of_a_flight_that_never_comes_abeam_is_an_end(behind: float, hours: float) -> None:
    found = float_by(EAST, coasting(), Zone(0.0, behind))
    assert found[TIME] - START == pytest.approx(3600.0 * hours)
    end = math.degrees(20.0 * 3600.0 * hours / (EARTH_RADIUS + 10000.0))
    assert found[DISTANCE] == pytest.approx(abs(behind - end) * DEGREE, abs=0.1)


@pytest.mark.parametrize("step", [150.0, 600.0])
def test_a_zone_between_two_points_of_the_path_is_met(step: float) -> None:
    launch = coasting()
    path = EAST.fly(launch, PROFILES["float"], step=step, paths=1).trajectories[0]
    assert path is not None
    points = path.phases[-1].points
    lon = float(points[7:9, 2].mean())
    apart = 20.0 * step / 2.0
    assert distance(points[:, 1], points[:, 2], 0.0, lon).min() > 0.99 * apart
    assert float_by(EAST, launch, Zone(0.0, lon), step)[DISTANCE] < 0.01


@pytest.mark.parametrize("target", [-179.5, 180.5])
@pytest.mark.parametrize(("wind", "start"), [(20.0, 179.0), (-20.0, -179.0)])
def test_a_zone_beyond_the_antimeridian_is_met(wind: float, start: float, target: float) -> None:
    west_of_it = wind < 0.0
    zone = Zone(0.1, -target if west_of_it else target)
    found = float_by(simulator(sample(uniform(wind, 0.0))), coasting(lon=start), zone)
    assert found[DISTANCE] == pytest.approx(0.1 * DEGREE, abs=0.01)
    assert found[LON] == pytest.approx(179.5 if west_of_it else 180.5)


@pytest.mark.parametrize("pole", [90.0, -90.0])
@pytest.mark.parametrize(("aside", "bearing"), [(1.0, 90.0), (0.4, -90.0), (0.0, 12.0)])
def test_closest_point_of_a_flight_over_a_pole(pole: float, aside: float, bearing: float) -> None:
    """Along the meridians 0 and 180; a zone on the meridian across is closest to the pole itself."""
    flow, _ = rotation(32.0, 0.0, -90.0)
    over = simulator(sample(flow, levels=[10, 1000], degrees=1.0, times=2, interval=2 * DAY))
    sign = math.copysign(1.0, pole)
    launch = coasting(sign * 87.0, 0.0 if sign > 0 else 180.0, hours=6.0)
    found = float_by(over, launch, Zone(pole - sign * aside, bearing))
    assert found[DISTANCE] == pytest.approx(aside * DEGREE, abs=1.0)
    assert found[LAT] == pytest.approx(pole, abs=1e-4)


def test_closest_point_of_a_circle() -> None:
    """Solid-body rotation carries along a circle about its axis: what is aside is the difference of the radii."""
    flow, end = rotation(32.0, 40.0, 70.0)
    turning = simulator(sample(flow, levels=[10, 1000], degrees=1.0, times=2, interval=2 * DAY))
    midway = end(20.0, 10.0, 12 * 3600.0 / (EARTH_RADIUS + 10000.0))
    found = float_by(turning, coasting(20.0, 10.0, hours=24.0), Zone(*midway))
    assert found[DISTANCE] < 300.0
    assert found[TIME] - START == pytest.approx(12 * 3600.0, abs=30.0)
    # On the way from the axis to the far side of the circle and beyond it.
    axis = distance(40.0, 70.0, *midway)
    assert float_by(turning, coasting(20.0, 10.0, hours=24.0), Zone(40.0, 70.0))[DISTANCE] == pytest.approx(
        axis, abs=300.0
    )


def test_a_gas_balloon_is_met_at_its_altitudes_and_not_above_its_burst() -> None:
    """Still air: over the zone all the way, from the ground to burst and back; asked for more it is never there."""
    spec = filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, Wish(ascent_rate=5.0))
    launch = gas_launch(START, Location(10.0, 20.0, 0.0), spec, Balloon(5.0, 6.0, 30000.0))
    top = float(launch.table[0, kernels.EQUILIBRIUM_ALTITUDE])
    still = simulator(sample(uniform(0.0, 0.0)))

    def met(lowest: float, highest: float) -> Floats:
        zone = Zone(10.1, 20.0, lowest, highest)
        found: Floats = still.approach(launch, PROFILES["physical"], zone).closest[0]
        return found

    assert met(top - 50.0, math.inf)[DISTANCE] == pytest.approx(0.1 * DEGREE, abs=1.0)
    assert top - 50.0 <= met(top - 50.0, math.inf)[ALT] <= top
    assert met(12000.0, 12001.0)[ALT] == pytest.approx(12000.5, abs=1.0)
    assert np.isinf(met(top + 50.0, math.inf)[DISTANCE])
    assert np.isinf(met(-900.0, -500.0)[DISTANCE])


# --- Altitudes and times that count


def test_only_the_altitudes_of_the_zone_count() -> None:
    """The zone lies over the launch, so the lowest point that counts is the closest: 2000 s on the way."""
    found = EAST.approach(launches(asc=5.0), PROFILES["zpb"], Zone(0.0, 0.0, 10000.0, 12000.0)).closest[0]
    assert found[TIME] - START == pytest.approx(2000.0, abs=0.01)
    assert found[ALT] == 10000.0
    drift = 20.0 / 5.0 * EARTH_RADIUS * math.log1p(10000.0 / EARTH_RADIUS)
    assert found[DISTANCE] == pytest.approx(drift, abs=1.0)


@pytest.mark.parametrize("edge", [5000.0, 18765.0, 29000.0])
def test_edges_of_the_zone_are_met_on_a_parachute(edge: float) -> None:
    """East of everything, the last point below the edge is not the closest: the first one on the way down is."""
    launch = launches(asc=5.0, desc=6.0)
    path = EAST.fly(launch, PROFILES["standard"], step=1.0, paths=1).trajectories[0]
    assert path is not None
    down = path.phases[1].points
    expected = np.interp(-edge, -down[:, 3], down[:, 0])
    found = EAST.approach(launch, PROFILES["standard"], Zone(0.0, 20.0, edge, 40000.0)).closest[0]
    assert found[ALT] == pytest.approx(edge, abs=0.01)
    assert found[TIME] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(-math.inf, 9000.0), (10001.0, math.inf)])
def test_a_flight_that_is_never_at_the_altitudes_is_nowhere(low: float, high: float) -> None:
    found = float_by(EAST, coasting(), Zone(0.0, 0.5, low, high))
    assert found[DISTANCE] == math.inf
    assert np.isnan(found[:DISTANCE]).all()


@pytest.mark.parametrize("window", [(-math.inf, 9000.0), (10001.0, math.inf), (9999.0, 10001.0)])
def test_the_closest_approach_at_any_altitude_heeds_the_times_alone(window: tuple[float, float]) -> None:
    zone = Zone(0.0, 0.5, *window, START + 600.0, START + 1200.0)
    found = EAST.approach(coasting(), PROFILES["float"], zone)
    gone = math.degrees(20.0 * 1200.0 / (EARTH_RADIUS + 10000.0))
    assert found.at_any_altitude[0] == pytest.approx((0.5 - gone) * DEGREE, abs=0.1)
    early = EAST.approach(coasting(hours=0.1), PROFILES["float"], zone)
    assert early.at_any_altitude[0] == math.inf


def test_a_flight_that_stays_on_the_edge_counts() -> None:
    assert float_by(EAST, coasting(), Zone(0.0, 0.5, 10000.0, 12000.0))[DISTANCE] < 0.01
    assert float_by(EAST, coasting(), Zone(0.0, 0.5, 8000.0, 10000.0))[DISTANCE] < 0.01


@pytest.mark.parametrize(("first", "last"), [(1234.0, 2345.0), (1234.0, 1234.0), (7000.0, 7001.0)])
def test_only_the_times_of_the_zone_count(first: float, last: float) -> None:
    """The zone lies behind: the first moment that counts is the closest."""
    found = float_by(EAST, coasting(), Zone(0.0, -1.0, earliest=START + first, latest=START + last))
    assert found[TIME] - START == pytest.approx(first, abs=1e-3)
    gone = math.degrees(20.0 * first / (EARTH_RADIUS + 10000.0))
    assert found[DISTANCE] == pytest.approx((1.0 + gone) * DEGREE, abs=0.1)


@pytest.mark.parametrize("before", [0.0, 1.0, 59.0, 61.0])
def test_where_a_flight_is_when_the_winds_end_is_known(before: float) -> None:
    """It floats on beyond them, launched at no round time: its last step ends with the winds."""
    end = START + DAY - before
    launch = launches(time=START + DAY - 7654.3, alt=10000.0, equil=10000.0, coast=86400.0)
    found = EAST.approach(launch, PROFILES["float"], Zone(0.0, 0.5, earliest=end, latest=end), step=60.0)
    gone = math.degrees(20.0 * (7654.3 - before) / (EARTH_RADIUS + 10000.0))
    assert found.status[0] == kernels.OUT_OF_TIME
    assert found.closest[0, TIME] == pytest.approx(end, abs=1e-5)
    assert found.closest[0, DISTANCE] == pytest.approx(abs(gone - 0.5) * DEGREE, abs=0.5)
    assert found.landing[0, 0] == START + DAY


def test_flights_backwards_are_known_to_the_start_of_the_winds() -> None:
    launch = launches(time=START + 1234.5, alt=20000.0, asc=5.0)
    found = EAST.approach(launch, PROFILES["reverse"], Zone(0.0, 0.0, earliest=START, latest=START), step=60.0)
    assert found.status[0] == kernels.OUT_OF_TIME
    assert found.closest[0, TIME] == START
    assert found.closest[0, ALT] == pytest.approx(20000.0 - 5.0 * 1234.5, abs=0.01)


def test_a_flight_that_is_over_by_then_is_nowhere() -> None:
    found = float_by(EAST, coasting(hours=1.0), Zone(0.0, 0.0, earliest=START + 3601.0, latest=START + 7200.0))
    assert found[DISTANCE] == math.inf


def test_times_count_for_flights_backwards_too() -> None:
    launch = launches(time=START + 7200.0, alt=20000.0, asc=5.0)
    zone = Zone(0.0, 0.0, earliest=START + 5000.0, latest=START + 6000.0)
    found = EAST.approach(launch, PROFILES["reverse"], zone).closest[0]
    assert found[TIME] - START == pytest.approx(6000.0, abs=1e-3)
    assert found[ALT] == pytest.approx(20000.0 - 5.0 * 1200.0, abs=0.01)


# --- Batches


def test_each_flight_is_told_alone_and_failures_too() -> None:
    batch = Launches(
        np.concatenate(
            [
                coasting(lat=1.0).table,
                launches(time=START - 1.0).table,
                launches(time=START + DAY - 600.0, lat=2.0).table,
                coasting(lat=3.0).table,
            ]
        )
    )
    zone = Zone(0.0, 2.0)
    found = EAST.approach(batch, PROFILES["float"], zone)
    landed, outside, late = kernels.LANDED, kernels.LAUNCH_OUT_OF_TIME, kernels.OUT_OF_TIME
    assert found.status.tolist() == [landed, outside, late, landed]
    assert found.closest[[0, 3], DISTANCE] == pytest.approx([DEGREE, 3 * DEGREE], rel=1e-3)
    assert found.closest[1, DISTANCE] == math.inf
    assert found.closest[2, TIME] <= START + DAY
    for flight in range(len(batch)):
        alone = EAST.approach(Launches(batch.table[flight : flight + 1]), PROFILES["float"], zone)
        np.testing.assert_array_equal(alone.closest[0], found.closest[flight])


def test_who_looks_for_a_zone_flies_as_before() -> None:
    batch = launches(lat=np.linspace(-80.0, 80.0, 50), lon=np.linspace(0.0, 350.0, 50))
    found = real().approach(batch, PROFILES["standard"], Zone(10.0, 10.0))
    np.testing.assert_array_equal(found.landing, real().fly(batch, PROFILES["standard"]).landing)


# --- Winds as they are


@functools.cache
def real() -> Simulator:
    """The demo atmosphere for two days."""
    return simulator(demo(0))


@pytest.mark.parametrize("profile", ["zpb", "standard"])
@pytest.mark.parametrize("window", [(-math.inf, math.inf), (9000.0, 21000.0)])
def test_closest_point_is_that_of_the_path_every_second(profile: str, window: tuple[float, float]) -> None:
    random = np.random.default_rng(5)
    time, lat, lon = START + random.uniform(0.0, DAY, 40), random.uniform(43.0, 47.0, 40), random.uniform(-2.0, 2.0, 40)
    batch = launches(time=time, lat=lat, lon=lon, desc=7.0, coast=600.0)
    zone = Zone(45.0, 1.0, *window)
    dense = real().fly(batch, PROFILES[profile], step=1.0, paths=40).trajectories
    expected = np.full(40, math.inf)
    for flight, path in enumerate(dense):
        assert path is not None
        points = np.concatenate([phase.points for phase in path.phases])
        counts = (points[:, 3] >= window[0]) & (points[:, 3] <= window[1])
        expected[flight] = distance(points[counts, 1], points[counts, 2], 45.0, 1.0).min()

    def found(step: float) -> Approaches:
        return real().approach(batch, PROFILES[profile], zone, step=step)

    # A second is up to 60 m of the way.
    np.testing.assert_allclose(found(1.0).closest[:, DISTANCE], expected, atol=60.0)
    np.testing.assert_allclose(found(60.0).closest[:, DISTANCE], found(1.0).closest[:, DISTANCE], atol=30.0)


degrees, shares = st.floats(-180.0, 180.0), st.floats(0.0, 1.0)


@given(
    start=st.tuples(st.floats(-89.9, 89.9), degrees),
    bearing=degrees,
    length=st.floats(1e-6, 0.05),
    target=st.tuples(st.floats(-90.0, 90.0), degrees),
    near=st.booleans(),
    counts=st.tuples(shares, shares).map(sorted),
)
def test_closest_point_of_any_arc(
    *,
    start: tuple[float, float],
    bearing: float,
    length: float,
    target: tuple[float, float],
    near: bool,
    counts: list[float],
) -> None:
    """An arc of `length` radians, of which the shares `counts` count, against 2001 of its points."""
    lat, lon = start
    target_lat, target_lon = target
    if near:  # within a few arc lengths
        target_lat, target_lon = min(max(lat + length * target_lat, -90.0), 90.0), lon + length * target_lon
    first, last = counts
    up = unit(lat, lon)
    east = np.array([-math.sin(math.radians(lon)), math.cos(math.radians(lon)), 0.0])
    way = math.cos(math.radians(bearing)) * np.cross(up, east) + math.sin(math.radians(bearing)) * east
    end = math.cos(length) * up + math.sin(length) * way
    end_lat, end_lon = math.degrees(math.asin(end[2])), math.degrees(math.atan2(end[1], end[0]))
    zone = Zone(target_lat, target_lon, earliest=100.0 * first, latest=100.0 * last)
    closest = np.full(6, np.inf)
    kernels.note_approach(
        air(), kernels.CONSTANT_RATE, 0.0, (1000.0, 1000.0), 0.0, 1.0, (lat, lon, 0.0), (end_lat, end_lon, 100.0),
        zone.table, closest,
    )  # fmt: skip
    share = np.linspace(first, last, 2001)[:, None]
    points = up + share * (unit(end_lat, end_lon) - up)
    points /= np.linalg.norm(points, axis=1)[:, None]
    chords = np.linalg.norm(points - zone.table[:3], axis=1)
    assert math.sqrt(closest[4]) == pytest.approx(float(chords.min()), abs=length / 2000.0 + 1e-12)
    assert 100.0 * first - 1e-9 <= closest[0] <= 100.0 * last + 1e-9
    there = unit(closest[1], closest[2])
    assert np.linalg.norm(there - zone.table[:3]) == pytest.approx(math.sqrt(closest[4]), abs=1e-9)


def unit(lat: float, lon: float) -> Floats:
    phi, lam = math.radians(lat), math.radians(lon)
    return np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
