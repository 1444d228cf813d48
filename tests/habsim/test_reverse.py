"""Searches for launch places and times against closed forms, and what their chunks promise."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from habsim.atmosphere import EARTH_RADIUS
from habsim.classes import Balloon, ElevationFile, Simulator
from habsim.envelopes import ENVELOPES, GASES
from habsim.errors import BadRequestError
from habsim.profiles import PROFILES
from habsim.reverse import (
    MAX_FLIGHTS,
    ChunkResult,
    Configuration,
    LaunchWindow,
    Plan,
    SearchArea,
    SearchResult,
    Target,
    TargetWindow,
    TimeWindow,
    candidates,
    chunks,
    combine,
    estimate,
    fly_chunk,
    layer,
    refinement,
    score,
    starts_inside,
    table,
)
from habsim.reverse import plan as plans
from habsim.sizing import Wish, filled, performance
from tests.searching import best_at, ranked, search
from tests.worlds import START, Flow, demo, distance, sample, uniform

HOUR, DAY = 3600.0, 86400.0
UP_AND_DOWN = Configuration("10 km", Balloon(5.0, 5.0, 10000.0), PROFILES["zpb"])
AREA = SearchArea(0.0, 0.0, 60_000.0, 10_000.0)
WHOLE_DAY = TimeWindow(START, START + DAY)


def members(*flows: Flow, days: float = 2.0) -> dict[int, Simulator]:
    """A simulator for each flow, over flat ground."""
    fields = [sample(flow, times=round(4 * days) + 1) for flow in flows]
    return {member: Simulator(field, ElevationFile.flat()) for member, field in enumerate(fields)}


def drift(speed: float, alt: float = 10000.0, rate: float = 5.0) -> float:
    """How many degrees a steady ascent to `alt` and descent from there carries along the equator."""
    return math.degrees(2.0 * speed / rate * math.log1p(alt / EARTH_RADIUS))


def plan(
    target: Target,
    *,
    area: SearchArea = AREA,
    mission: LaunchWindow | TargetWindow | None = None,
    configurations: tuple[Configuration, ...] = (UP_AND_DOWN,),
    refine: bool = False,
) -> Plan:
    return Plan(target, area, mission or LaunchWindow(WHOLE_DAY, "land"), configurations, refine)


# --- Places and times


@pytest.mark.parametrize(
    ("area", "count"),
    [
        (SearchArea(45.0, 0.0, 100_000.0, 10_000.0), 317),
        (SearchArea(45.0, 0.0, 100_000.0, 10_000.0, "square"), 441),
        (SearchArea(45.0, 0.0, 300.0, 100.0), 29),
        (SearchArea(45.0, 0.0, 9_999.0, 10_000.0), 1),
        (SearchArea(45.0, 0.0, 0.0, 10_000.0, "square"), 1),
    ],
)
def test_the_grid_fills_the_area(area: SearchArea, count: int) -> None:
    assert area.count == len(area.points) == len(area.places) == count


@pytest.mark.parametrize(
    "centre", [(0.0, 0.0), (52.0, 179.9), (-47.0, -179.99), (89.7, 30.0), (90.0, 0.0), (-90.0, 12.0)]
)
def test_places_are_where_they_should_be_anywhere_on_earth(centre: tuple[float, float]) -> None:
    """Distances from the centre are exact; those between neighbours shrink by (r / R)^2 / 6 at most."""
    area = SearchArea(*centre, 100_000.0, 10_000.0)
    lon, lat = area.places.T
    assert np.all((lon >= -180.0) & (lon <= 180.0) & (np.abs(lat) <= 90.0))
    np.testing.assert_allclose(distance(lat, lon, *centre), 10_000.0 * np.hypot(*area.points.T), atol=0.01)
    apart = distance(lat[:, None], lon[:, None], lat, lon)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(apart.min(axis=1), 10_000.0, atol=2.0)


def test_rows_run_eastward_and_the_first_is_the_southernmost() -> None:
    lon, lat = SearchArea(45.0, 7.0, 20_000.0, 10_000.0, "square").places.T
    assert lat[0] < 44.9 and lon[0] < 6.9
    assert lat[-1] > 45.1 and lon[-1] > 7.1
    assert np.all(np.diff(lon[:5]) > 0.0)


def test_launch_times_leave_out_the_end() -> None:
    assert TimeWindow(START, START + 7 * DAY).count == 28
    assert TimeWindow(START, START + DAY).times.tolist() == [START + 6 * HOUR * n for n in range(4)]
    assert TimeWindow(START, START + 1.0).times.tolist() == [START]
    assert TimeWindow(START, START).count == 1


def test_days_before_an_arrival_are_searched() -> None:
    times = TargetWindow(START + 2 * DAY, 1.0, step=8 * HOUR).window.times
    assert times.tolist() == [START + DAY, START + DAY + 8 * HOUR, START + DAY + 16 * HOUR]


@pytest.mark.parametrize(
    ("target", "area", "inside"),
    [
        (Target(45.0, 0.0, 10_000.0), SearchArea(45.0, 0.0, 50_000.0, 5_000.0), True),
        (Target(45.0, 0.0, 50_000.0), SearchArea(45.2, 0.0, 0.0, 5_000.0), True),
        (Target(45.0, 0.0, 50.0), SearchArea(45.2, 0.0, 100_000.0, 100.0), True),
        (Target(45.0, 0.0, 10_000.0), SearchArea(45.0, 1.0, 50_000.0, 5_000.0), False),
        (Target(0.5, 179.6, 10_000.0), SearchArea(0.0, -179.9, 52_000.0, 5_000.0, "circle"), False),
        (Target(0.5, 179.6, 10_000.0), SearchArea(0.0, -179.9, 52_000.0, 5_000.0, "square"), True),
        (Target(45.0, 0.0, 10_000.0, lowest=101.0), SearchArea(45.0, 0.0, 50_000.0, 5_000.0), False),
        (Target(45.0, 0.0, 10_000.0, lowest=99.0), SearchArea(45.0, 0.0, 50_000.0, 5_000.0), True),
        (Target(45.0, 0.0, 10_000.0, highest=99.0), SearchArea(45.0, 0.0, 50_000.0, 5_000.0), False),
    ],
)
def test_launches_that_start_in_the_zone_are_seen(target: Target, area: SearchArea, inside: bool) -> None:
    assert starts_inside(plan(target, area=area), ElevationFile.flat(100)) == inside


# --- Size and limit


def test_a_search_of_a_million_millions_is_refused_with_its_size_and_the_limit() -> None:
    area = SearchArea(45.0, 0.0, 10_000_000.0, 10.0, "square")
    with pytest.raises(BadRequestError, match=r"4,000,004,000,001 places .* limit is 10,000,000") as caught:
        estimate(plan(Target(0.0, 0.0, 1000.0), area=area, mission=LaunchWindow(TimeWindow(0.0, 1.0))), 1)
    assert caught.value.details == {"flights": 2_000_001**2, "limit": MAX_FLIGHTS}
    with pytest.raises(BadRequestError, match="limit"):
        list(chunks(plan(Target(0.0, 0.0, 1000.0), area=dataclasses.replace(area, shape="circle")), [0]))


def test_the_size_is_that_of_the_product() -> None:
    area, mission = SearchArea(45.0, 0.0, 100_000.0, 10_000.0), LaunchWindow(TimeWindow(START, START + 7 * DAY))
    wanted = plan(Target(0.0, 0.0, 1000.0), area=area, mission=mission, configurations=(UP_AND_DOWN, UP_AND_DOWN))
    size = estimate(wanted, 21)
    assert size.flights == 317 * 28 * 2 * 21
    assert size.chunks == len(list(chunks(wanted, range(21))))
    assert estimate(wanted, 21, cores=2).seconds == pytest.approx(size.seconds / 2)


@given(
    radius=st.floats(0.0, 60_000.0),
    times=st.integers(1, 9),
    members=st.integers(1, 31),
    configurations=st.integers(1, 3),
    chunk=st.integers(1, 500),
)
def test_every_flight_is_in_one_chunk(
    *, radius: float, times: int, members: int, configurations: int, chunk: int
) -> None:
    wanted = plan(
        Target(0.0, 0.0, 1000.0),
        area=SearchArea(0.0, 0.0, radius, 10_000.0),
        mission=LaunchWindow(TimeWindow(START, START + times * HOUR, HOUR)),
        configurations=(UP_AND_DOWN,) * configurations,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "_CHUNK_FLIGHTS", chunk)
        found = list(chunks(wanted, range(members)))
        assert estimate(wanted, members).chunks == len(found)
    seen = np.zeros((configurations, times, wanted.area.count, members), np.int64)
    for part in found:
        seen[part.configuration, slice(*part.times), slice(*part.places), list(part.members)] += 1
        assert np.diff(part.times)[0] * np.diff(part.places)[0] * len(part.members) <= max(chunk, 1)
    assert np.all(seen == 1)
    assert [part.index for part in found] == list(range(len(found)))


# --- What a search finds


def test_landings_come_from_as_far_upwind_as_the_wind_carries() -> None:
    """Eastward at 20 m/s: the launch that lands in the middle of the zone is one drift west of it."""
    found = search(plan(Target(0.0, drift(20.0), 15_000.0)), members(uniform(20.0, 0.0)))
    best = ranked(found)[0]
    assert (best.latitude, best.longitude) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert (best.hit_latitude, best.hit_longitude) == pytest.approx((0.0, drift(20.0)), abs=1e-4)
    assert best.distance < 10.0
    assert best.hit_time - best.time == pytest.approx(4000.0, abs=0.1)
    assert best.hit_altitude == pytest.approx(0.0, abs=0.01)
    assert (best.probability, best.members, best.configuration) == (1.0, 1, "10 km")
    assert best.score == pytest.approx(1.0, abs=1e-6)
    # All 9 places within 15 km of it hit, at each of 4 times.
    assert int(found.cells["hits"].sum()) == 9 * 4
    assert [x.places for x in found.launch_times()] == [9] * 4
    assert found.launch_times()[0].mean_probability == pytest.approx(9 / AREA.count)
    assert [x.reaching for x in found.launch_times()] == [9] * 4
    assert sorted(x.rank for x in found.launch_times()) == [1, 2, 3, 4]


def test_a_flight_passes_where_it_does_not_land() -> None:
    target = Target(0.0, drift(20.0) / 2.0, 4_000.0)
    passed = search(plan(target, mission=LaunchWindow(WHOLE_DAY)), members(uniform(20.0, 0.0)))
    assert ranked(passed)[0].hits == 1
    landed = search(plan(target), members(uniform(20.0, 0.0)))
    assert ranked(landed)[0].longitude == pytest.approx(-drift(20.0) / 2.0, abs=0.05)


def test_a_pass_counts_between_the_altitudes_of_the_zone_only() -> None:
    """The middle of the way is the top, 10 km."""
    middle = (0.0, drift(20.0) / 2.0, 4_000.0)
    winds = members(uniform(20.0, 0.0))
    mission = LaunchWindow(TimeWindow(START, START + 1.0))
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)

    def hits(lowest: float, highest: float) -> int:
        found = search(plan(Target(*middle, lowest, highest), area=one, mission=mission), winds)
        return int(found.cells["hits"].sum())

    assert hits(9_900.0, 20_000.0) == 1
    assert hits(10_001.0, 20_000.0) == 0
    assert hits(0.0, 8_000.0) == 0  # 8 km from there


def test_probability_is_the_share_of_the_members_that_hit() -> None:
    winds = members(uniform(20.0, 0.0), uniform(20.0, 1.0), uniform(80.0, 0.0), uniform(-20.0, 0.0))
    found = search(plan(Target(0.0, drift(20.0), 4_500.0)), winds)
    best = ranked(found)[0]
    assert best.longitude == pytest.approx(0.0, abs=1e-9)
    assert (best.members, best.hits, best.probability) == (4, 2, 0.5)
    off = math.radians(drift(1.0)) * EARTH_RADIUS
    assert best.score == pytest.approx((1.0 + score(off, 4_500.0)) / 4.0, abs=1e-4)
    assert best.member == 0


def test_score_falls_from_one_in_the_middle_to_a_half_at_the_edge() -> None:
    np.testing.assert_allclose(score([0.0, 500.0, 1000.0, 1000.001, np.inf], 1000.0), [1.0, 0.875, 0.5, 0.0, 0.0])


def test_a_likelier_launch_ranks_before_a_closer_one() -> None:
    """From 0 E all three members land in the zone, none in its middle; only one does from the place due west of it."""
    winds = members(uniform(20.0, 0.0), uniform(22.0, 0.0), uniform(36.0, 0.0))
    found = search(plan(Target(0.0, drift(26.0), 45_000.0)), winds)
    rows = ranked(found, 1000)
    order = [(-row.score, row.distance) for row in rows]
    assert order == sorted(order)
    assert rows[0].probability == 1.0


def test_each_configuration_is_searched() -> None:
    high = Configuration("20 km", Balloon(5.0, 5.0, 20000.0), PROFILES["zpb"])
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)
    target = Target(0.0, drift(20.0, 20000.0), 3_000.0)
    found = search(plan(target, area=one, configurations=(UP_AND_DOWN, high)), members(uniform(20.0, 0.0)))
    assert found.cells["hits"].sum(axis=(1, 2)).tolist() == [0, 4]
    assert ranked(found)[0].configuration == "20 km"


@pytest.mark.parametrize("centre", [(0.0, 180.0), (60.0, -179.8), (-30.0, 179.9)])
def test_search_across_the_antimeridian(centre: tuple[float, float]) -> None:
    area = dataclasses.replace(AREA, latitude=centre[0], longitude=centre[1])
    found = search(plan(Target(*centre, 15_000.0), area=area), members(uniform(10.0, 0.0)))
    best = ranked(found)[0]
    assert best.distance < 7_100.0
    west = distance(*centre, best.latitude, best.longitude)
    assert west == pytest.approx(40_000.0, abs=1.0)
    assert all(-180.0 <= row.longitude <= 180.0 and -180.0 <= row.hit_longitude <= 180.0 for row in ranked(found))


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_search_about_a_pole_that_the_zone_contains(pole: float) -> None:
    """In still air a balloon lands where it starts: the places within the radius hit, whatever their longitude."""
    area = dataclasses.replace(AREA, latitude=pole)
    target = Target(math.copysign(89.9, pole), 50.0, 25_000.0)
    found = search(plan(target, area=area), members(uniform(0.0, 0.0)))
    lon, lat = area.places.T
    expected = distance(lat, lon, target.latitude, target.longitude) <= target.radius
    assert 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(found.cells["hits"][0, 0], expected)


# --- In the zone at a time


def test_only_the_launch_that_is_there_at_that_time_hits() -> None:
    """Launched every hour: over the zone half an hour after the start."""
    arrival = START + 12.5 * HOUR
    target = Target(0.0, drift(20.0) * 1800.0 / 4000.0, 2_000.0)
    mission = TargetWindow(arrival, 0.5, step=0.5 * HOUR)
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)
    found = search(plan(target, area=one, mission=mission), members(uniform(20.0, 0.0)))
    (hit,) = np.flatnonzero(found.cells["hits"])
    assert mission.window.times[hit] == arrival - 1800.0
    assert ranked(found)[0].hit_time == arrival
    assert ranked(found)[0].hit_altitude == pytest.approx(9000.0)


def test_tolerance_lets_a_flight_be_there_a_little_earlier_or_later() -> None:
    target = Target(0.0, drift(20.0), 4_000.0)
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)

    def hits(arrival: float, tolerance: float) -> int:
        mission = TargetWindow(arrival, 1 / 24, tolerance, step=HOUR)
        return int(search(plan(target, area=one, mission=mission), members(uniform(20.0, 0.0))).cells["hits"].sum())

    # Launched an hour before, it lands 400 s too late; the zone begins 200 s of the way before its middle.
    assert hits(START + DAY, 0.0) == 0
    assert hits(START + DAY, 100.0) == 0
    assert hits(START + DAY, 250.0) == 1


def test_who_has_been_there_in_time_counts_though_the_winds_end_later() -> None:
    """A float that drifts on beyond the cycle: where it is at the arrival is known."""
    long = Configuration("float", Balloon(5.0, 5.0, 10000.0, 47 * HOUR), PROFILES["float"])
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)
    mission = TargetWindow(START + 2 * HOUR, 1 / 12, step=2 * HOUR)
    found = search(
        plan(Target(0.0, 0.0, 1e6), area=one, mission=mission, configurations=(long,)),
        members(uniform(20.0, 0.0), days=1.0),
    )
    assert (int(found.cells["flown"].sum()), found.lost) == (1, ())


@pytest.mark.parametrize("before", [0.0, 1.0, 59.0, 61.0, 3600.0])
def test_who_is_there_when_the_winds_end_hits(before: float) -> None:
    """A float on its way: hits do not depend on how near to their end it is asked for."""
    long = Configuration("float", Balloon(5.0, 5.0, 10000.0, 47 * HOUR), PROFILES["float"])
    winds = members(uniform(20.0, 0.0), days=1.0)
    mission = TargetWindow(START + DAY - before, 0.9, step=1234.5)
    found = search(plan(Target(0.0, 5.0, 400_000.0), mission=mission, configurations=(long,)), winds)
    hits = int((found.cells["hits"].sum(axis=2) > 0).sum())
    way = 2.0 * (400_000.0 + AREA.radius) / 20.0
    assert hits == pytest.approx(way / 1234.5, abs=2.0)
    assert (int(found.cells["flown"].sum()), found.lost) == (found.asked, ())


@pytest.mark.parametrize("refine", [False, True])
def test_a_pass_is_known_though_the_winds_end_later(refine: bool) -> None:
    """Launched at the end of the day, it passes the zone after an hour; from further off nobody knows."""
    long = Configuration("float", Balloon(5.0, 5.0, 10000.0, 47 * HOUR), PROFILES["float"])
    mission = LaunchWindow(TimeWindow(START + DAY - 2 * HOUR, START + DAY))
    target = Target(0.0, math.degrees(72_000.0 / EARTH_RADIUS), 25_000.0)
    wanted = plan(target, mission=mission, configurations=(long,), refine=refine)
    found = search(wanted, members(uniform(20.0, 0.0), days=1.0))
    lat = AREA.places[:, 1]
    passes = np.abs(np.radians(lat) * EARTH_RADIUS) < 25_000.0
    np.testing.assert_array_equal(found.cells["hits"][0, 0], passes)
    np.testing.assert_array_equal(found.cells["flown"][0, 0], passes)
    (lost,) = found.lost
    assert lost.flights == (~passes).sum()


def test_who_cannot_be_judged_counts_as_a_miss() -> None:
    """One member passes the zone before the winds end, two have not come there by then: at least one in three."""
    long = Configuration("float", Balloon(5.0, 5.0, 10000.0, 47 * HOUR), PROFILES["float"])
    mission = LaunchWindow(TimeWindow(START + DAY - 2 * HOUR, START + DAY))
    target = Target(0.0, math.degrees(72_000.0 / EARTH_RADIUS), 2_000.0)
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)
    winds = members(uniform(20.0, 0.0), uniform(2.0, 0.0), uniform(-20.0, 0.0), days=1.0)
    found = search(plan(target, area=one, mission=mission, configurations=(long,)), winds)
    assert found.cells["flown"].sum() == found.cells["hits"].sum() == 1
    assert found.probability[0, 0, 0] == pytest.approx(1.0 / 3.0)
    assert found.score[0, 0, 0] == pytest.approx(1.0 / 3.0, abs=1e-4)
    assert [(lost.flights, lost.reason) for lost in found.lost] == [
        (2, "are still in the air when the winds of the cycle end")
    ]


def test_a_launch_that_few_members_tell_of_ranks_after_one_that_many_do() -> None:
    """One member lands in the middle of the zone and is told for two days, the others aside of it, for one day."""
    middle, aside = uniform(20.0, 0.0), uniform(20.0, 0.5)
    winds = {**members(*(aside,) * 5, days=1.0), 0: members(middle)[0]}
    mission = LaunchWindow(TimeWindow(START, START + 1.5 * DAY), "land")
    found = search(plan(Target(0.0, drift(20.0), 30_000.0), mission=mission), winds)
    first = found.best_first(np.flatnonzero(found.cells["hits"]))[0]
    assert found.cells["flown"].ravel()[first] == 5
    assert found.cells["flown"].min() == 1
    assert found.probability[found.cells["flown"] == 1].max() == pytest.approx(0.2)


# --- What cannot be judged


def test_flights_that_leave_the_cycle_are_counted_and_named() -> None:
    """Launches from a day before to a day after the winds; the last that ends in time starts 6 h before their end."""
    mission = LaunchWindow(TimeWindow(START - DAY, START + 3 * DAY, 2 * HOUR))
    for refine in (False, True):
        found = search(plan(Target(20.0, 0.5, 9e5), mission=mission, refine=refine), members(uniform(20.0, 0.0)))
        flown = found.cells["flown"][0, :, 0]
        assert flown.tolist() == [0] * 12 + [1] * 24 + [0] * 12
        places = AREA.count
        told = {lost.reason: lost for lost in found.lost}
        outside = told["are launched outside the times of the cycle"]
        ending = told["are still in the air when the winds of the cycle end"]
        assert (outside.flights, outside.first, outside.last) == (
            (12 + 11) * places, START - DAY, START + 3 * DAY - 2 * HOUR,
        )  # fmt: skip
        assert (ending.flights, ending.first, ending.last) == (places, START + 2 * DAY, START + 2 * DAY)
        assert "2026-11-21T00:00:00Z" in str(ending)
        assert np.isnan(found.probability[0, 0, 0])
        assert len(found.launch_times()) == 24


def test_places_above_the_burst_cannot_launch() -> None:
    mountain = Simulator(sample(uniform(20.0, 0.0)), ElevationFile.flat(3000))
    low = Configuration("low", Balloon(5.0, 5.0, 2500.0), PROFILES["zpb"])
    found = search(plan(Target(0.0, 0.0, 9e5), configurations=(low,)), {0: mountain})
    assert [(x.flights, x.reason) for x in found.lost] == [
        (4 * AREA.count, "would start on ground above the altitude of their burst or float")
    ]
    assert ranked(found) == []


def test_launches_start_on_the_ground() -> None:
    """From 3000 m up to 10000 m and back: 2800 s."""
    mountain = Simulator(sample(uniform(20.0, 0.0)), ElevationFile.flat(3000))
    best = ranked(search(plan(Target(0.0, 0.0, 9e5)), {0: mountain}))[0]
    assert best.hit_time - best.time == pytest.approx(2800.0, abs=1.0)


# --- Chunks

SMALL = plan(Target(0.2, drift(20.0), 30_000.0), mission=LaunchWindow(TimeWindow(START, START + DAY, 3 * HOUR)))
# The first and the last agree: of equal flights that of the lower member counts.
WINDS = members(uniform(20.0, 0.0), uniform(24.0, 8.0), uniform(-12.0, 16.0), uniform(16.0, -8.0), uniform(20.0, 0.0))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[ChunkResult]:
    """The results of a search in many chunks, of all kinds."""
    monkeypatch.setattr(plans, "_CHUNK_FLIGHTS", 200)
    monkeypatch.setattr(plans, "_CHUNK_MEMBERS", 2)
    results = [fly_chunk(WINDS, chunk) for chunk in chunks(SMALL, sorted(WINDS))]
    assert len(results) > 20
    return results


def same(one: SearchResult, other: SearchResult) -> bool:
    return one.cells.tobytes() == other.cells.tobytes() and ranked(one) == ranked(other) and one.lost == other.lost


def test_chunks_come_to_the_same_in_any_order_and_number(parts: list[ChunkResult]) -> None:
    random = np.random.default_rng(3)
    whole = combine(SMALL, sorted(WINDS), parts)
    for _ in range(5):
        shuffled: Sequence[ChunkResult] = [parts[n] for n in random.permutation(len(parts))]
        assert same(combine(SMALL, sorted(WINDS), [*shuffled, *shuffled[:3]]), whole)
    assert whole.chunks == (len(parts), len(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "_CHUNK_FLIGHTS", 20_000)
        assert same(search(SMALL, WINDS), whole)


def test_some_chunks_tell_what_they_know(parts: list[ChunkResult]) -> None:
    some = combine(SMALL, sorted(WINDS), parts[:5])
    assert some.chunks == (5, len(parts))
    assert 0 < some.flights < some.asked
    assert ranked(some)


def test_chunks_travel(parts: list[ChunkResult]) -> None:
    for chunk, expected in zip(list(chunks(SMALL, sorted(WINDS)))[:3], parts, strict=False):
        result = fly_chunk(WINDS, pickle.loads(pickle.dumps(chunk)))
        assert pickle.loads(pickle.dumps(result)).cells.tobytes() == expected.cells.tobytes()


def test_a_chunk_of_another_search_is_refused(parts: list[ChunkResult]) -> None:
    with pytest.raises(ValueError, match="chunk 999 is not of this search"):
        combine(SMALL, sorted(WINDS), [dataclasses.replace(parts[0], index=999)])
    with pytest.raises(ValueError, match=r"chunk 0 holds \(1, 1\) cells"):
        combine(SMALL, sorted(WINDS), [dataclasses.replace(parts[0], cells=parts[0].cells[:1, :1])])


def test_a_wind_file_that_fails_ends_the_search() -> None:
    with pytest.raises(KeyError):
        fly_chunk({}, next(chunks(SMALL, [0])))


# --- Table and map layer


def test_the_layer_of_a_launch_time_has_every_place_and_the_layer_of_all_the_best() -> None:
    wanted = dataclasses.replace(
        SMALL, configurations=(UP_AND_DOWN, Configuration("5 km", Balloon(5.0, 5.0, 5000.0), PROFILES["zpb"]))
    )
    found = search(wanted, WINDS)
    names = ["hits", "flown", "score"]
    layers = [layer(found, index) for index in range(len(SMALL.mission.window.times))]
    for index, at in enumerate(layers):
        assert (at["time"] == index).all()
        cells = found.cells[at["configuration"], index, np.arange(AREA.count)]
        for name, of in zip(["hits", "members", "score"], names, strict=True):
            np.testing.assert_array_equal(at[name], cells[of])
        np.testing.assert_array_equal(at["score"], found.cells["score"][:, index].max(axis=0))
    assert {0, 1} == set(np.concatenate(layers)["configuration"].tolist())
    best = layer(found)
    np.testing.assert_array_equal(best["score"], np.max([at["score"] for at in layers], axis=0))
    times = best["time"]
    np.testing.assert_array_equal(best, np.stack(layers)[times, np.arange(AREA.count)])


def test_the_layer_tells_places_that_nobody_could_judge() -> None:
    mission = LaunchWindow(TimeWindow(START - DAY, START + DAY, DAY))
    found = search(dataclasses.replace(SMALL, mission=mission), WINDS)
    assert (layer(found, 0)["members"] == 0).all()
    assert (layer(found, 1)["members"] == len(WINDS)).all()
    np.testing.assert_array_equal(layer(found), layer(found, 1))


def test_the_table_has_the_best_of_all_and_of_each_time() -> None:
    found = search(SMALL, WINDS)
    times = found.cells.shape[1]
    kept = table(found, ranked=30, timed=25 * times)
    columns = kept.columns
    assert kept.ranked == 30
    rows = list(zip(columns["time"].tolist(), columns["place"].tolist(), columns["configuration"], strict=True))
    assert len(set(rows)) == len(rows) < found.cells.size
    score = np.nan_to_num(found.score)
    np.testing.assert_array_equal(columns["score"][:30], np.sort(score.ravel())[::-1][:30])
    for index, time in enumerate(SMALL.mission.window.times):
        of_time = columns["score"][columns["time"] == time][:25]
        np.testing.assert_array_equal(of_time, np.sort(score[:, index].ravel())[::-1][:25])
    for each, best in zip(found.launch_times(), best_at(found), strict=True):
        assert best.time == each.time
        assert best.score == columns["score"][columns["time"] == each.time][0]
    ranks = [each.rank for each in found.launch_times()]
    scores = [best.score for best in best_at(found)]
    assert [scores[ranks.index(rank)] for rank in range(1, times + 1)] == sorted(scores, reverse=True)


def test_a_place_that_was_left_out_has_no_closest_approach() -> None:
    area = SearchArea(0.0, 0.0, 300_000.0, 10_000.0)
    found = search(dataclasses.replace(SMALL, area=area, refine=True), WINDS)
    columns = candidates(found, np.arange(found.cells.size))
    told = columns["member"] < 0
    assert told.any()
    assert not told.all()
    for name in ("distance", "hit_time", "hit_latitude", "hit_longitude", "hit_altitude"):
        assert np.isnan(columns[name][told]).all()
        assert np.isfinite(columns[name][~told]).all()
    assert (columns["probability"][told] == 0.0).all()
    assert not (table(found).columns["member"] < 0).any()


# --- Gas balloons


def gas_balloon() -> Configuration:
    spec = filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, Wish(ascent_rate=5.0))
    return Configuration("gas", Balloon(1.0, 6.0, 49_000.0), PROFILES["physical"], spec)


def test_a_gas_balloon_is_flown_by_its_climb() -> None:
    """Its flight lasts as long as the climb of its sizing and the fall from there."""
    gas = gas_balloon()
    assert gas.spec is not None
    does = performance(gas.spec)
    assert gas.top == pytest.approx(does.top, abs=1.0)
    one = SearchArea(0.0, 0.0, 0.0, 1000.0)
    found = search(plan(Target(0.0, 0.0, 900_000.0), area=one, configurations=(gas,)), members(uniform(20.0, 0.0)))
    best = ranked(found)[0]
    from_top = PROFILES["standard"]
    straight = Configuration("steady", Balloon(does.top / does.seconds, 6.0, does.top), from_top)
    other = search(plan(Target(0.0, 0.0, 9e5), area=one, configurations=(straight,)), members(uniform(20.0, 0.0)))
    assert best.hit_time - best.time == pytest.approx(ranked(other)[0].hit_time - best.time, abs=5.0)
    assert best.hit_longitude == pytest.approx(ranked(other)[0].hit_longitude, abs=0.02)
    assert gas.seconds > does.seconds


def test_a_gas_balloon_cannot_start_above_its_burst() -> None:
    small = filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, Wish(burst_altitude=9000.0))
    low = Configuration("low", Balloon(1.0, 6.0, 49_000.0), PROFILES["physical"], small)
    mountain = Simulator(sample(uniform(20.0, 0.0)), ElevationFile.flat(9100))
    found = search(plan(Target(0.0, 0.0, 9e5), configurations=(low,)), {0: mountain})
    assert [(x.flights, x.reason) for x in found.lost] == [
        (4 * AREA.count, "would start on ground above the altitude of their burst or float")
    ]


# --- Refinement

WEATHER = {member: Simulator(demo(member), ElevationFile.flat()) for member in range(3)}
STANDARD = Configuration("30 km", Balloon(5.0, 6.0, 30000.0), PROFILES["standard"])
DEMO_TARGETS = [(45.0, 1.5), (45.8, 0.0), (-33.0, 150.9), (64.0, -179.5), (5.0, 30.0)]


def missed(coarse: SearchResult, brute: SearchResult) -> int:
    """How many hits of places and launch times brute force has and refinement has not."""
    return int(np.maximum(brute.cells["hits"].astype(int) - coarse.cells["hits"], 0).sum())


@pytest.mark.parametrize("target", DEMO_TARGETS)
@pytest.mark.parametrize("mission", ["pass", "land", "pass between altitudes", "arrival"])
def test_refined_search_finds_all_that_brute_force_finds(target: tuple[float, float], mission: str) -> None:
    area = SearchArea(target[0] + 0.2, target[1] - 1.0, 120_000.0, 8_000.0)
    window = TimeWindow(START, START + 1.8 * DAY)
    what: LaunchWindow | TargetWindow = LaunchWindow(window, "land" if mission == "land" else "pass")
    if mission == "arrival":
        what = TargetWindow(START + 1.5 * DAY, 0.25, 900.0, step=HOUR / 2)
    altitudes = (12_000.0, 18_000.0) if mission == "pass between altitudes" else (-math.inf, math.inf)
    wanted = plan(Target(*target, 15_000.0, *altitudes), area=area, mission=what, configurations=(STANDARD,))
    brute = search(wanted, WEATHER)
    refined = search(dataclasses.replace(wanted, refine=True), WEATHER)
    assert missed(refined, brute) == 0
    np.testing.assert_array_equal(refined.cells["flown"], brute.cells["flown"])
    hits = brute.cells["hits"] > 0
    np.testing.assert_array_equal(refined.score[hits], brute.score[hits])
    best = [c for c in ranked(brute) if c.hits]
    assert ranked(refined)[: len(best)] == best
    assert brute.flights == brute.asked
    assert refined.flights < 0.6 * brute.flights


def test_refined_searches_of_the_demo_have_something_to_find() -> None:
    """Guards the test above: a search without hits would prove nothing."""
    area = SearchArea(45.2, 0.5, 120_000.0, 8_000.0)
    found = search(
        plan(Target(45.0, 1.5, 15_000.0), area=area, mission=LaunchWindow(WHOLE_DAY), configurations=(STANDARD,)),
        WEATHER,
    )
    assert found.cells["hits"].sum() > 50


def test_a_cell_that_says_nothing_is_divided() -> None:
    """First a cell whose middle says nothing and whose corner hits, then nothing at all, then no flight that can."""
    points = SearchArea(0.0, 0.0, 13_000.0, 1000.0, "square").points
    distances = np.full((3, len(points)), 1e6)
    central = np.abs(points).max(axis=1) <= 4
    distances[0, central] = 1000.0 * np.hypot(*(points[central] - 4).T)
    distances[0, (points == 0).all(axis=1)] = np.nan
    distances[1], distances[2] = np.nan, np.inf
    flown = np.zeros(distances.shape, np.bool_)

    def fly(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        assert not (flown & chosen).any()
        flown[chosen] = True
        return np.where(flown, distances, np.nan)

    teller = refinement.fly_refined(refinement.levels(points, 1000.0), 3, 100.0, 1000.0, fly)
    (hit,) = np.flatnonzero(distances[0] == 0.0)
    assert flown[0, hit]
    assert teller[0, hit] == hit
    assert 9 < flown.sum(axis=1)[0] < 81
    assert flown.sum(axis=1)[1:].tolist() == [len(points), 9]


def rough() -> ElevationFile:
    """Ridges of 2500 m and valleys of 300 m, a quarter of a degree apart, on a grid of a tenth."""
    lat, lon = np.radians(np.arange(89.95, -90.0, -0.1))[:, None], np.radians(np.arange(0.05, 360.0, 0.1))
    heights = 1400.0 + 700.0 * np.sin(720.0 * lat + 90.0 * lon) + 400.0 * np.sin(720.0 * lon) * np.cos(540.0 * lat)
    return ElevationFile(heights.astype(np.int16), 89.95, 0.05, 0.1, 0.1)


ROUGH = {0: Simulator(demo(0), rough())}
LOW = Configuration("6 km", Balloon(5.0, 5.0, 6000.0), PROFILES["zpb"])
LONG = Configuration("4 km, half an hour", Balloon(5.0, 5.0, 4000.0, 1800.0), PROFILES["zpb"])


@settings(max_examples=60, deadline=None)
@given(
    where=st.tuples(st.floats(44.5, 45.5), st.floats(0.5, 1.5)),
    off=st.tuples(st.floats(-0.15, 0.15), st.floats(-0.3, 0.1)),
    above=st.floats(50.0, 500.0),
    limit=st.sampled_from(["highest", "lowest", "none"]),
    mission=st.sampled_from(["pass", "land", "arrival", "end"]),
    configuration=st.sampled_from([LOW, LONG]),
)
def test_refined_search_finds_all_that_brute_force_finds_over_rough_ground(
    *,
    where: tuple[float, float],
    off: tuple[float, float],
    above: float,
    limit: str,
    mission: str,
    configuration: Configuration,
) -> None:
    """Zones that end little above a valley, or begin there: of two neighbours one may get there and the other not."""
    edge = float(ROUGH[0].ground.at(*where)) + above
    lowest, highest = edge if limit == "lowest" else -math.inf, edge if limit == "highest" else math.inf
    end = ROUGH[0].field.end
    what: LaunchWindow | TargetWindow = LaunchWindow(TimeWindow(START, START + DAY), "pass")
    if mission == "land":
        what, lowest, highest = LaunchWindow(TimeWindow(START, START + DAY), "land"), -math.inf, math.inf
    elif mission == "arrival":
        what = TargetWindow(START + DAY, 1.0 / 12.0, 60.0, step=600.0)
    elif mission == "end":
        what = LaunchWindow(TimeWindow(end - 4000.0, end, 1000.0), "pass")
    area = SearchArea(where[0] + off[0], where[1] + off[1], 13_000.0, 1000.0)
    wanted = plan(Target(*where, 4_000.0, lowest, highest), area=area, mission=what, configurations=(configuration,))
    brute, refined = search(wanted, ROUGH), search(dataclasses.replace(wanted, refine=True), ROUGH)
    assert missed(refined, brute) == 0


def test_a_zone_in_a_valley_is_not_refined_away() -> None:
    """The flights of no coarse cell get below the top of the zone; some others do."""
    found = {}
    for refine in (False, True):
        hits = flights = asked = 0
        for shift in np.linspace(-0.1, 0.1, 5):
            target = (45.1, 1.0 + float(shift))
            edge = float(ROUGH[0].ground.at(*target)) + 60.0
            wanted = plan(
                Target(*target, 3_000.0, highest=edge), mission=LaunchWindow(TimeWindow(START, START + DAY)),
                area=SearchArea(45.1, 0.85, 40_000.0, 1000.0), configurations=(LOW,), refine=refine,
            )  # fmt: skip
            result = search(wanted, ROUGH)
            hits, flights = hits + int(result.cells["hits"].sum()), flights + result.flights
            asked += result.asked
        found[refine] = hits, flights / asked
    assert found[True][0] == found[False][0] > 20
    assert found[True][1] < 0.4


def test_long_flights_are_not_refined_away() -> None:
    """In two days neighbours may part by any distance: nothing is left out."""
    long = Configuration("float", Balloon(5.0, 5.0, 15000.0, 40 * HOUR), PROFILES["float"])
    wanted = plan(
        Target(45.0, 40.0, 15_000.0), mission=LaunchWindow(TimeWindow(START, START + HOUR)), configurations=(long,),
        area=SearchArea(45.0, 0.0, 60_000.0, 6_000.0), refine=True,
    )  # fmt: skip
    found = search(wanted, {0: WEATHER[0]})
    assert found.flights == found.asked


# --- What must hold for any search


@settings(max_examples=25)
@given(
    radius=st.floats(500.0, 60_000.0),
    more=st.floats(1.0, 3.0),
    offset=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 1.5)),
    hit=st.sampled_from(["pass", "land"]),
    refine=st.booleans(),
)
def test_a_larger_zone_never_has_fewer_hits(
    *, radius: float, more: float, offset: tuple[float, float], hit: str, refine: bool
) -> None:
    mission = LaunchWindow(TimeWindow(START, START + 1.0), "land" if hit == "land" else "pass")
    area = SearchArea(45.0, 0.0, 60_000.0, 12_000.0)

    def hits(size: float) -> SearchResult:
        target = Target(45.0 + offset[0], offset[1], size)
        return search(plan(target, area=area, mission=mission, configurations=(STANDARD,), refine=refine), WEATHER)

    small, large = hits(radius), hits(radius * more)
    assert np.all(small.cells["hits"] <= large.cells["hits"])
    assert np.all(small.score <= large.score + 1e-6)
    assert np.all(small.probability <= 1.0)
