"""Flights against programs and instruments that know nothing of HABSIM; the data is described in its own README."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from habsim.classes import DEFAULT_STEP_SECONDS, ElevationFile, Flights, Simulator
from habsim.profiles import PROFILES
from tests import references
from tests.references import LEVELS_19, Case, Synthetic, Tawhiri
from tests.worlds import LEVELS_31, distance, launches


@functools.cache
def tawhiri() -> Tawhiri:
    return Tawhiri()


@functools.cache
def synthetic() -> Synthetic:
    return Synthetic()


def off(flights: Flights, place: tuple[float, float]) -> float:
    """Metres between the only landing and `place`."""
    assert not flights.failures
    return float(distance(flights.landing[0, 1], flights.landing[0, 2], *place))


# --- The Tawhiri predictor

# Metres from the flight of Tawhiri with its own step of 60 s, and with one of 1 s, which ends phases to the second:
# what is left then are the half-precision winds.
TAWHIRI = {
    "cambridge": (40, 10),
    "greenwich-back": (40, 10),
    "kansas": (40, 10),
    "equator-zero": (40, 10),
    "kiribati-west": (40, 10),
    "antimeridian-jet": (40, 10),
    "thule": (40, 10),
    "tokyo": (40, 10),
    "novosibirsk": (40, 10),
    "honolulu": (40, 10),
    "terrain-alps": (40, 10),
    "terrain-rockies": (40, 10),
    "above-model-top": (40, 10),
    "reverse-20km": (40, 10),
    # It floats for 23 hours and 3700 km, with a step of 60 s at 1 m below the altitude asked for.
    "float-12km": (400, 60),
}


@pytest.mark.parametrize(("name", "tolerances"), TAWHIRI.items(), ids=list(TAWHIRI))
def test_flights_end_where_those_of_tawhiri_end(name: str, tolerances: tuple[float, float]) -> None:
    case = tawhiri().case(name)
    flights = case.simulator.fly(case.launch, case.profile)
    assert off(flights, case.end) < tolerances[0]
    assert off(flights, case.fine_end) < tolerances[1]


def test_default_step_is_as_good_as_a_quarter_of_a_second() -> None:
    """Over the Tawhiri cases: landings within 3 m (median) and 11 m (the worst) of those of a 0.25 s step."""

    def error(case: Case) -> float:
        fine = case.simulator.fly(case.launch, case.profile, step=0.25).landing[0]
        return off(case.simulator.fly(case.launch, case.profile), (fine[1], fine[2]))

    errors = [error(case) for case in tawhiri()]
    assert len(errors) == len(TAWHIRI)
    assert np.median(errors) <= 3.0
    assert max(errors) <= 11.0


# --- An analytic wind, integrated apart


@pytest.mark.parametrize(("levels", "kilometres"), [(LEVELS_31, 0.3), (LEVELS_19, 2.2)], ids=["31", "19"])
def test_landings_are_near_those_in_the_analytic_wind_itself(levels: list[int], kilometres: float) -> None:
    """What a file of few levels costs; the 31 of the GEFS products together cost an eighth of the classic 19."""
    errors = synthetic().errors(levels, synthetic().random_launches(60), DEFAULT_STEP_SECONDS)
    assert np.median(errors) <= 1000.0 * kilometres


# --- The seed system


@pytest.mark.parametrize("name", ["base_model00", "base_model05", "eqtime2_model00", "lon360_convention"])
def test_flights_end_where_those_of_the_seed_end(name: str) -> None:
    """With its pressure formula, its interpolation linear in pressure and its step of 120 s.

    The seed takes degrees to be as long at 30 km as on the ground, which is 250 m after 120 km.
    """
    answer = references.seed_answer(name)
    classic = synthetic().classic(answer.member, answer.path[:, 1], answer.path[:, 2])
    simulator = Simulator(references.linear_in_pressure(classic, 200), _seed_ground())
    flights = simulator.fly(answer.launch, PROFILES["zpb"], step=120.0)
    end = answer.path[-1]
    assert off(flights, (end[1], end[2])) < 400.0
    assert flights.landing[0, 0] == pytest.approx(end[0], abs=1.0)
    assert flights.landing[0, 3] == pytest.approx(end[3], abs=5.0)


@functools.cache
def _seed_ground() -> ElevationFile:
    return synthetic().terrain()


# --- A radiosonde


def test_measured_wind_carries_a_balloon_to_where_the_radiosonde_was() -> None:
    """The sonde rose at no constant speed: its ascent is flown as 172 flights, each begun where the last one ended."""
    sonde = references.sounding().thinned(20)
    simulator = Simulator(sonde.field(), ElevationFile.flat())
    time, lat, lon = 0.0, float(sonde.latitude[0]), float(sonde.longitude[0])
    for n in range(1, len(sonde.height)):
        speed = (sonde.height[n] - sonde.height[n - 1]) / (sonde.seconds[n] - sonde.seconds[n - 1])
        launch = launches(time, lat, lon, sonde.height[n - 1], asc=speed, equil=sonde.height[n])
        flights = simulator.fly(launch, PROFILES["float"])
        assert not flights.failures
        time, lat, lon, _ = flights.landing[0]
    assert time == pytest.approx(sonde.seconds[-1], abs=0.1)
    assert distance(sonde.latitude[0], sonde.longitude[0], lat, lon) == pytest.approx(91_800.0, abs=500.0)
    assert distance(lat, lon, sonde.latitude[-1], sonde.longitude[-1]) < 500.0
