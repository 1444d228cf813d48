"""From a request to its answer: the right flight, computed once, on one cycle, whatever happens around it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elev
import runs
import sharedfiles
import simulate
from gefs import Cycle, Cycles
from habsim import climb
from habsim.atmosphere import altitude, density, fall_altitude
from habsim.classes import Balloon, Flights, Location, Simulator
from habsim.envelopes import ENVELOPES, GASES
from habsim.errors import (
    BadRequestError,
    BusyError,
    NotFoundError,
    OutsideCycleError,
    UnavailableError,
    WindFileError,
)
from habsim.montecarlo import perturbed_balloons, table
from habsim.sizing import Wish, filled, performance
from runs import Progress, result_key
from simulate import Ensemble, EnsembleRequest, FlightRequest, Orchestrator
from store import publish as publishing
from store.bucket import LocalBucket
from store.manifest import cycle_at, cycle_start, wind_file_name
from store.publish import remove_cycle
from tests import faults
from tests.worlds import START, Floats, file_in, make_elevation, make_settings, sample, uniform, write_field

FIRST, SECOND = "2026111900", "2026111906"
LEVELS = [100.0, 300.0, 500.0, 850.0, 1020.0]  # every flight of these tests is between two of them
RADIUS = 6371009.0
HOUR = 3600.0
LONG = faults.DEADLINE_SECONDS

BALLOON = Balloon(ascent_rate=5.0, descent_rate=8.0, equilibrium_altitude=12000.0, coast_seconds=1200.0)
FLIGHT_SECONDS = 12000.0 / 5.0 + 1200.0 + 12000.0 / 8.0
# Inside both cycles.
REQUEST = FlightRequest(START + 7 * HOUR, Location(0.0, 10.0, 0.0), BALLOON, "zpb")
ENSEMBLE = EnsembleRequest(REQUEST, perturbations=6, seed=7)


# --- A small world


def member_winds(cycle: str, u: float, v: float = 0.0, *, times: int = 5) -> Any:
    return sample(lambda lat, lon, p, t: (u, v), levels=LEVELS, degrees=30.0, times=times, start=cycle_start(cycle))


def publish(folder: Path, cycle: str = FIRST, *, members: int = 3, wind: float = 10.0) -> LocalBucket:
    """Publish a cycle of some kilobytes; member m has an eastward wind of `wind` + m m/s."""
    bucket = LocalBucket(folder / "bucket")
    work = folder / f"making-{threading.get_ident()}"
    work.mkdir(exist_ok=True)
    files = {
        member: write_field(work / wind_file_name(cycle, member), member_winds(cycle, wind + member))
        for member in range(members)
    }
    publishing.publish(bucket, cycle, files, "test")
    return bucket


def orchestrator_of(folder: Path, *, ground: float = 0.0, **settings: Any) -> Orchestrator:
    """The orchestrator of one process on the bucket and data in `folder`. It looks for cycles when it is told to."""
    values = make_settings(folder, **settings)
    cycles = Cycles(LocalBucket(folder / "bucket"), values.data_dir, refresh_seconds=1e9)
    # Under a name of its own: processes of a test share the folder.
    terrain = elev.load(make_elevation(folder / f"terrain-{os.getpid()}.npz", ground))
    return Orchestrator(cycles, terrain, values)


@pytest.fixture
def orchestrator(tmp_path: Path) -> Orchestrator:
    """On one published cycle of three members, with flat ground at sea level."""
    publish(tmp_path)
    return orchestrator_of(tmp_path)


@pytest.fixture
def cycle(orchestrator: Orchestrator) -> Cycle:
    return orchestrator.cycles.current()


def drift_degrees(wind: float, balloon: Balloon = BALLOON) -> float:
    """Degrees along a great circle in a uniform wind: d(angle)/dt = wind / (R + altitude), in closed form."""
    top = balloon.equilibrium_altitude
    seconds_per_radius = (
        math.log1p(top / RADIUS) / balloon.ascent_rate
        + balloon.coast_seconds / (RADIUS + top)
        + math.log1p(top / RADIUS) / balloon.descent_rate
    )
    return math.degrees(wind * balloon.drift * seconds_per_radius)


def flown_at(request: FlightRequest = REQUEST, **changes: Any) -> FlightRequest:
    return dataclasses.replace(request, **changes)


def assert_is_of(ensemble: Ensemble, wind: float) -> None:
    """Every member's landing is where a wind of `wind` + member m/s carries it, to 2 m."""
    assert ensemble.members
    for member, path in zip(ensemble.members, ensemble.trajectories, strict=True):
        assert path is not None
        expected = REQUEST.place.longitude + drift_degrees(wind + member)
        assert path.landing[2] == pytest.approx(expected, abs=2e-5)


# --- One flight


@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("drift", [1.0, 0.75])
def test_flight_lands_where_a_uniform_wind_carries_it(orchestrator: Orchestrator, member: int, drift: float) -> None:
    balloon = dataclasses.replace(BALLOON, drift=drift)
    prediction = orchestrator.predict(flown_at(balloon=balloon), member, orchestrator.cycles.current())
    time, latitude, longitude, altitude, u, v = prediction.trajectory.landing
    assert time == pytest.approx(REQUEST.time + FLIGHT_SECONDS, abs=0.2)
    assert latitude == pytest.approx(0.0, abs=1e-9)
    assert longitude == pytest.approx(10.0 + drift_degrees(10.0 + member, balloon), abs=2e-5)
    assert altitude == pytest.approx(0.0, abs=1.0)
    assert (u, v) == pytest.approx((10.0 + member, 0.0), abs=1e-4)


def test_northward_flight_lands_where_the_wind_carries_it(tmp_path: Path) -> None:
    path = write_field(tmp_path / "a.npz", member_winds(FIRST, 0.0, 20.0))
    publishing.publish(LocalBucket(tmp_path / "bucket"), FIRST, {0: path}, "test")
    orchestrator = orchestrator_of(tmp_path)
    landing = orchestrator.predict(REQUEST, 0, orchestrator.cycles.current()).trajectory.landing
    assert landing[1:3] == pytest.approx((drift_degrees(20.0), 10.0), abs=2e-5)


def test_flight_ends_on_the_ground_and_starts_on_it(tmp_path: Path) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, ground=1500.0)
    flight = orchestrator.predict(REQUEST, 0, orchestrator.cycles.current()).trajectory
    assert flight.phases[0].points[0][3] == 1500.0
    assert flight.landing[3] == pytest.approx(1500.0, abs=1.0)
    with pytest.raises(BadRequestError, match="equil is 1000 m, below the ground at the launch, 1500 m"):
        low = flown_at(balloon=dataclasses.replace(BALLOON, equilibrium_altitude=1000.0))
        orchestrator.predict(low, 0, orchestrator.cycles.current())


def test_flight_says_what_it_was_made_from(orchestrator: Orchestrator, cycle: Cycle) -> None:
    provenance = orchestrator.predict(flown_at(step=60.0), 2, cycle).provenance
    assert (provenance.cycle, provenance.cycle_version, provenance.product) == (FIRST, cycle.version, "test")
    assert (provenance.members, provenance.step_seconds, provenance.seed) == ((2,), 60.0, None)
    assert not provenance.demo
    assert json.loads(json.dumps(provenance.to_dict()))["members"] == [2]


@pytest.mark.parametrize("hours", [-1.0, -0.01, 24.01, 100.0])
def test_launch_outside_the_cycle_is_refused_with_what_it_covers(
    orchestrator: Orchestrator, cycle: Cycle, hours: float
) -> None:
    outside = flown_at(time=START + hours * HOUR)
    for ask in (
        lambda: orchestrator.predict(outside, 0, cycle),
        lambda: orchestrator.ensemble(EnsembleRequest(outside, 3, 1), cycle),
    ):
        with pytest.raises(OutsideCycleError, match="2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z"):
            ask()


def test_flight_that_outlasts_the_cycle_is_refused(orchestrator: Orchestrator, cycle: Cycle) -> None:
    late = flown_at(time=START + 24 * HOUR - 600.0)
    with pytest.raises(OutsideCycleError, match=r"is still at \d+ m .* when the winds of the cycle end"):
        orchestrator.predict(late, 0, cycle)
    messages = set()
    for _ in range(5):
        with pytest.raises(OutsideCycleError, match="is still at") as caught:
            orchestrator.ensemble(EnsembleRequest(late, 3, 1), cycle)
        messages.add(caught.value.message)
    assert len(messages) == 1  # that of the first member, whichever was done first


def test_member_that_the_cycle_lacks_is_not_found(orchestrator: Orchestrator, cycle: Cycle) -> None:
    with pytest.raises(NotFoundError, match=r"it has 0\.\.2"):
        orchestrator.predict(REQUEST, 3, cycle)
    assert orchestrator.open_members() == []


# --- Gas balloons in the air of the forecast

GAS_BALLOON = filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, Wish(ascent_rate=5.0))
GAS_FLIGHT = FlightRequest(
    REQUEST.time, REQUEST.place, Balloon(1.0, 5.0, 50_000.0), "physical", spec=GAS_BALLOON, model_air=True
)


def stretched(factor: float, _lat: Floats, _lon: Floats, pressure: Floats, _time: Floats) -> Floats:
    return factor * altitude(pressure)


def in_air(folder: Path, *stretches: float) -> Orchestrator:
    """On a cycle of members whose air is warmer than the standard at every pressure by these factors."""
    bucket = LocalBucket(folder / "bucket")
    files = {}
    for member, stretch in enumerate(stretches):
        field = sample(uniform(10.0, 0.0), degrees=30.0, start=cycle_start(FIRST), height=partial(stretched, stretch))
        files[member] = write_field(folder / wind_file_name(FIRST, member), field)
    publishing.publish(bucket, FIRST, files, "test")
    return orchestrator_of(folder)


@pytest.fixture
def warm(tmp_path: Path) -> Orchestrator:
    return in_air(tmp_path, 1.03, 1.06)


@pytest.mark.parametrize(("member", "stretch"), [(0, 1.03), (1, 1.06)])
def test_gas_balloon_bursts_where_the_air_of_its_member_lets_it(
    warm: Orchestrator, member: int, stretch: float
) -> None:
    """All heights stretch with the temperature, and in warmer air the density at burst is at a higher pressure."""
    needed = GAS_BALLOON.gas_mass * GAS_BALLOON.gas.lightness / GAS_BALLOON.envelope.volume
    heights = np.arange(0.0, 50_001.0, 10.0)
    burst = stretch * float(np.interp(-stretch * needed, -density(heights), heights))
    cycle = warm.cycles.current()
    found = warm.predict(GAS_FLIGHT, member, cycle).trajectory.phases[0].points[-1, 3]
    assert found == pytest.approx(burst, abs=60.0)  # levels are 5 km apart up there
    standard = warm.predict(flown_at(GAS_FLIGHT, model_air=False), member, cycle).trajectory.phases[0].points[-1, 3]
    assert standard == pytest.approx(performance(GAS_BALLOON).top, abs=0.1)
    assert found > standard + 300.0


def test_members_of_an_ensemble_climb_in_their_own_air(warm: Orchestrator) -> None:
    cycle = warm.cycles.current()
    ensemble = warm.ensemble(EnsembleRequest(GAS_FLIGHT, perturbations=4, seed=7), cycle)
    assert not ensemble.failed
    for member, path in zip(ensemble.members, ensemble.trajectories, strict=True):
        assert path is not None
        alone = warm.predict(GAS_FLIGHT, member, cycle).trajectory
        assert [phase.points.tolist() for phase in path.phases] == [phase.points.tolist() for phase in alone.phases]
    assert len({tuple(row) for row in ensemble.landings[:, :2].tolist()}) == 10


@pytest.mark.parametrize("model_air", [False, True])
def test_balloons_that_do_not_leave_the_ground_are_no_landings(warm: Orchestrator, model_air: bool) -> None:
    """So little free lift that 2 % less gas, or 1 % more mass, leaves none."""
    spec = filled(ENVELOPES["kaymont-3000"], GASES["helium"], 10.0, Wish(ascent_rate=2.0))
    flight = flown_at(GAS_FLIGHT, spec=spec, model_air=model_air)
    ensemble = warm.ensemble(EnsembleRequest(flight, perturbations=100, seed=1), warm.cycles.current())
    # Others rise so slowly that the winds end before their flights.
    slow, grounded = (
        sum(int(text.partition(" ")[0]) for text in ensemble.warnings if words in text)
        for words in ("could not be completed", "of 200 perturbed balloons cannot lift what they carry")
    )
    assert grounded >= 2
    assert len(ensemble.landings) == 2 * 101 - slow - grounded
    assert np.abs(ensemble.landings[:, 1] - flight.place.longitude).min() > 0.1


def test_what_is_heavier_falls_faster_under_its_chute(warm: Orchestrator) -> None:
    """By the root of its mass; a descent rate that is given stays as it is."""
    cycle, widths = warm.cycles.current(), dict.fromkeys(table({}, balloon=True), 0.0) | {"mass": 0.2}
    given, chute = (
        warm.ensemble(EnsembleRequest(flown_at(GAS_FLIGHT, model_air=False, under_chute=under), 10, 7, widths), cycle)
        for under in (False, True)
    )
    rows = perturbed_balloons(np.array(GAS_BALLOON.row()), 7, 10, table(widths, balloon=True))
    mass = rows[1:, climb.DEAD_MASS] / rows[0, climb.DEAD_MASS]
    assert np.ptp(mass) > 0.2
    lands = [found.landings[found.landings[:, 3] == 0][:, 1] for found in (given, chute)]
    assert lands[0][0] == lands[1][0]
    top = performance(GAS_BALLOON).top
    fall = float(np.interp(top, z := np.arange(0.0, 45_001.0, 25.0), fall_altitude(z))) / 5.0
    per_second = np.degrees(10.0 / 6.38e6 / math.cos(math.radians(REQUEST.place.latitude)))
    sooner = fall * (1.0 - 1.0 / np.sqrt(mass))
    assert (lands[0] - lands[1])[1:] == pytest.approx(sooner * per_second, rel=0.02)


def test_member_whose_heights_are_those_of_no_air_is_told(tmp_path: Path) -> None:
    orchestrator = in_air(tmp_path, 1.03, 2.0)
    cycle = orchestrator.cycles.current()
    ensemble = orchestrator.ensemble(EnsembleRequest(GAS_FLIGHT, perturbations=4, seed=7), cycle)
    assert ensemble.failed.keys() == {1}
    reason = (
        r"heights of .*01\.npz over the launch are those of no air: a column needs the air of the Earth, not .* hPa and"
    )
    assert re.match(reason, ensemble.failed[1])
    with pytest.raises(WindFileError, match=reason):
        orchestrator.predict(GAS_FLIGHT, 1, cycle)


def test_balloons_that_would_burst_at_float_are_left_out(warm: Orchestrator) -> None:
    """At 179 of 180 Pa about half of the fills are too much; in warm air it floats higher, where even it is."""
    spec = filled(ENVELOPES["nasa-spb-19mcf"], GASES["helium"], 2000.0, Wish(free_lift=14_000.0))
    flight = flown_at(GAS_FLIGHT, spec=spec, model_air=False, balloon=Balloon(1.0, 5.0, 50_000.0))
    cycle = warm.cycles.current()
    ensemble = warm.ensemble(EnsembleRequest(flight, perturbations=60, seed=7), cycle)
    (warning,) = [text for text in ensemble.warnings if "burst at float" in text]
    left_out = int(warning.split(" of ")[0])
    assert 30 < left_out < 90
    assert len(ensemble.landings) == 2 * 61 - left_out
    fuller = filled(ENVELOPES["nasa-spb-19mcf"], GASES["helium"], 2000.0, Wish(free_lift=25_000.0))
    with pytest.raises(BadRequestError, match="Pa more than the air, the envelope stands 180 Pa"):
        warm.predict(flown_at(flight, spec=fuller), 0, cycle)


def test_winds_without_heights_have_no_air(orchestrator: Orchestrator, cycle: Cycle) -> None:
    with pytest.raises(BadRequestError, match=r"atmosphere=model needs winds with heights, and .*00\.npz has none"):
        orchestrator.predict(GAS_FLIGHT, 0, cycle)
    with pytest.raises(BadRequestError, match="needs winds with heights"):
        orchestrator.ensemble(EnsembleRequest(GAS_FLIGHT, perturbations=4, seed=7), cycle)


# --- An ensemble


def test_landings_are_members_first_then_perturbations(orchestrator: Orchestrator, cycle: Cycle) -> None:
    ensemble = orchestrator.ensemble(ENSEMBLE, cycle)
    assert ensemble.members == (0, 1, 2)
    assert ensemble.landings.shape == (3 * (1 + 6), 5)
    expected = [(perturbation, member) for perturbation in range(-1, 6) for member in range(3)]
    assert [(int(row[2]), int(row[3])) for row in ensemble.landings] == expected
    assert ensemble.landings[:, 4].tolist() == [2.0] * 3 + [1.0] * 18
    assert ensemble.failed == {}
    assert ensemble.warnings == ()
    assert ensemble.provenance.members == (0, 1, 2)
    assert ensemble.provenance.seed == 7


def test_members_of_an_ensemble_fly_as_they_fly_alone(orchestrator: Orchestrator, cycle: Cycle) -> None:
    ensemble = orchestrator.ensemble(ENSEMBLE, cycle)
    assert_is_of(ensemble, wind=10.0)
    for member, trajectory in enumerate(ensemble.trajectories):
        assert trajectory is not None
        alone = orchestrator.predict(REQUEST, member, cycle).trajectory
        assert [phase.points.tobytes() for phase in trajectory.phases] == [p.points.tobytes() for p in alone.phases]
        assert ensemble.landings[member, :2].tolist() == alone.landing[1:3].tolist()


def test_perturbed_flights_lie_around_their_member(orchestrator: Orchestrator, cycle: Cycle) -> None:
    ensemble = orchestrator.ensemble(EnsembleRequest(REQUEST, 40, 1), cycle)
    for member in range(3):
        rows = ensemble.landings[ensemble.landings[:, 3] == member]
        away = rows[1:, 1] - rows[0, 1]
        assert np.ptp(away) > 0.0
        assert (np.abs(away) < 0.15 * drift_degrees(13.0)).all()


def test_more_perturbations_keep_the_first_ones(orchestrator: Orchestrator, cycle: Cycle) -> None:
    few, many = (orchestrator.ensemble(EnsembleRequest(REQUEST, n, 3), cycle) for n in (2, 5))
    assert few.landings.tobytes() == many.landings[:9].tobytes()


def test_seed_and_half_widths_change_the_perturbed_flights_alone(orchestrator: Orchestrator, cycle: Cycle) -> None:
    base = orchestrator.ensemble(ENSEMBLE, cycle).landings
    for other in (
        dataclasses.replace(ENSEMBLE, seed=8),
        dataclasses.replace(ENSEMBLE, half_widths={"asc": 1.5}),
    ):
        landings = orchestrator.ensemble(other, cycle).landings
        assert landings[:3].tobytes() == base[:3].tobytes()
        assert (landings[3:, 1] != base[3:, 1]).all()


@pytest.mark.parametrize(("ground", "share"), [(0.0, 1.0), (250.0, 0.0)])
def test_share_over_water_follows_the_ground(tmp_path: Path, ground: float, share: float) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, ground=ground)
    assert orchestrator.ensemble(ENSEMBLE, orchestrator.cycles.current()).over_water == share


def test_perturbed_flights_past_the_end_are_left_out_with_a_warning(orchestrator: Orchestrator, cycle: Cycle) -> None:
    """The flight itself ends a second before the winds do: the slower half of its copies does not."""
    late = flown_at(time=START + 24 * HOUR - FLIGHT_SECONDS - 1.0)
    ensemble = orchestrator.ensemble(EnsembleRequest(late, 20, 1), cycle)
    lost = 3 * 21 - len(ensemble.landings)
    assert 3 <= lost <= 57
    assert f"{lost} perturbed flights could not be completed and are left out" in ensemble.warnings
    assert ensemble.failed == {}
    assert ensemble.landings[:3, 2].tolist() == [-1.0] * 3
    assert np.isfinite(ensemble.landings).all()
    assert math.isfinite(ensemble.statistics.longitude)


@pytest.mark.parametrize("fault", ["other bytes", "cut", "no numbers", "removed"])
def test_failed_member_is_named_while_the_others_fly(tmp_path: Path, fault: str) -> None:
    bucket = publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path)
    path, reason = bucket.local_path(f"{FIRST}_01.npz"), "SHA-256"
    if fault == "no numbers":
        field = member_winds(FIRST, 10.0)
        field.data[...] = np.nan
        files = {0: bucket.local_path(f"{FIRST}_00.npz"), 1: write_field(tmp_path / "nan.npz", field)}
        files[2] = bucket.local_path(f"{FIRST}_02.npz")
        publishing.publish(bucket, FIRST, files, "test")
        reason = "holds no number near 0.00, 10.00"
    cycle = orchestrator.cycles.current()
    match fault:
        case "other bytes":
            faults.overwrite_in_place(path, path.stat().st_size // 2, b"\x11\x22")
        case "cut":
            faults.truncate_in_place(path, 1000)
            reason = "is damaged"
        case "removed":
            path.unlink()
            reason = "is not in the bucket"
    ensemble = orchestrator.ensemble(ENSEMBLE, cycle)
    assert ensemble.members == (0, 1, 2)
    assert list(ensemble.failed) == [1]
    assert reason in ensemble.failed[1]
    assert [trajectory is None for trajectory in ensemble.trajectories] == [False, True, False]
    assert ensemble.provenance.members == (0, 2)
    told = "1 of 3 members could not be flown; landings and regions are of the other 2"
    assert told in ensemble.warnings
    assert set(ensemble.landings[:, 3]) == {0.0, 2.0}
    assert len(ensemble.landings) == 2 * 7


def test_ensemble_without_any_member_is_unavailable(orchestrator: Orchestrator, cycle: Cycle) -> None:
    for member in cycle.members:
        path = file_in(orchestrator.cycles.bucket, wind_file_name(FIRST, member))
        faults.overwrite_in_place(path, path.stat().st_size // 2, b"\x11\x22")
    with pytest.raises(UnavailableError, match=f"no member of cycle {FIRST} can be flown: {FIRST}_00") as caught:
        orchestrator.ensemble(ENSEMBLE, cycle)
    assert caught.value.details is not None
    failed = caught.value.details["failed_members"]
    assert [entry["model_id"] for entry in failed] == [0, 1, 2]
    assert all("SHA-256" in entry["reason"] for entry in failed)


ANSWER = """
import hashlib, sys
from pathlib import Path
from tests.test_simulate import ENSEMBLE, orchestrator_of, digest
orchestrator = orchestrator_of(Path(sys.argv[1]))
print(digest(orchestrator.ensemble(ENSEMBLE, orchestrator.cycles.current())))
"""


def digest(ensemble: Ensemble) -> str:
    """Everything of an ensemble, shortened."""
    paths = [[phase.points.tolist() for phase in path.phases] for path in ensemble.trajectories if path is not None]
    content = (ensemble.landings.tolist(), paths, ensemble.statistics, ensemble.over_water, ensemble.provenance)
    return result_key(content)


def test_same_request_gives_the_same_bytes_on_any_worker(tmp_path: Path) -> None:
    publish(tmp_path)
    workers = [orchestrator_of(tmp_path) for _ in range(2)]
    answers = {digest(worker.ensemble(ENSEMBLE, worker.cycles.current())) for worker in workers for _ in range(3)}
    with faults.Process(ANSWER, tmp_path) as process:
        answers.add(process.result())
    assert len(answers) == 1


# --- Computed once, kept for a while


class Computation:
    """A stand-in for an ensemble: counts in a file, and lasts until it is told to end."""

    def __init__(self, folder: Path) -> None:
        self._count = folder / "count"
        self._count.touch()
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> bytes:
        with self._count.open("a") as file:
            file.write("x")
        self.begun.set()
        assert self.may_end.wait(LONG)
        return f"answer {self.times}".encode()

    @property
    def times(self) -> int:
        return len(self._count.read_text())


@pytest.fixture
def computation(tmp_path: Path) -> Computation:
    return Computation(tmp_path)


@pytest.fixture
def quick(computation: Computation) -> Computation:
    computation.may_end.set()
    return computation


def test_result_is_kept(orchestrator: Orchestrator, quick: Computation) -> None:
    answers = [orchestrator.runs.once(request_id, "key", 3, 6, quick) for request_id in ("a", "a", "b")]
    assert answers == [b"answer 1"] * 3
    assert quick.times == 1
    assert orchestrator.runs.kept_results() == 1
    assert orchestrator.runs.once("a", "another key", 3, 6, quick) == b"answer 2"


def test_result_is_kept_for_other_workers(orchestrator: Orchestrator, tmp_path: Path, quick: Computation) -> None:
    orchestrator.runs.once("a", "key", 3, 6, quick)
    assert orchestrator_of(tmp_path).runs.once("a", "key", 3, 6, quick) == b"answer 1"


def test_result_is_computed_anew_when_its_time_is_over(tmp_path: Path, quick: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, prediction_seconds=100)
    orchestrator.runs.once("a", "key", 3, 6, quick)
    (kept,) = (tmp_path / "data" / "results").iterdir()
    now = time.time()
    os.utime(kept, (now - 50, now - 50))
    assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 1"
    os.utime(kept, (now - 101, now - 101))
    assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 2"


def test_results_are_bounded_by_number_and_age(tmp_path: Path, quick: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, cached_predictions=3, prediction_seconds=100)
    results, now = tmp_path / "data" / "results", time.time()
    for n in range(5):
        orchestrator.runs.once("a", f"key{n}", 3, 6, quick)
        os.utime(results / f"key{n}.json", (now - 50 + n, now - 50 + n))
    orchestrator.runs.once("a", "last", 3, 6, quick)
    assert sorted(path.stem for path in results.iterdir()) == ["key3", "key4", "last"]
    os.utime(results / "key3.json", (now - 200, now - 200))
    os.utime(results / "key4.json", (now - 200, now - 200))
    orchestrator.runs.once("a", "very last", 3, 6, quick)
    assert sorted(path.stem for path in results.iterdir()) == ["last", "very last"]


def test_start_of_a_server_forgets_results(orchestrator: Orchestrator, quick: Computation) -> None:
    orchestrator.runs.once("a", "key", 3, 6, quick)
    orchestrator.runs.drop_results()
    assert orchestrator.runs.kept_results() == 0
    assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 2"


def test_key_of_a_result_tells_everything_apart() -> None:
    variants = [
        ENSEMBLE,
        dataclasses.replace(ENSEMBLE, seed=8),
        dataclasses.replace(ENSEMBLE, perturbations=7),
        dataclasses.replace(ENSEMBLE, half_widths={"asc": 0.1}),
        dataclasses.replace(ENSEMBLE, flight=flown_at(profile="standard")),
        dataclasses.replace(ENSEMBLE, flight=flown_at(step=60.0)),
        dataclasses.replace(ENSEMBLE, flight=flown_at(time=REQUEST.time + 1e-3)),
    ]
    keys = {result_key(FIRST, "v", variant) for variant in variants}
    keys |= {result_key(SECOND, "v", ENSEMBLE), result_key(FIRST, "w", ENSEMBLE)}
    assert len(keys) == len(variants) + 2
    assert result_key(FIRST, "v", ENSEMBLE) in keys
    assert all(len(key) == 32 and key.isalnum() for key in keys)


def test_equal_requests_in_threads_are_computed_once(
    orchestrator: Orchestrator, tmp_path: Path, computation: Computation
) -> None:
    workers = [orchestrator, orchestrator_of(tmp_path)]
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(workers[n % 2].runs.once, "a", "key", 3, 6, computation) for n in range(8)]
        assert computation.begun.wait(LONG)
        time.sleep(0.05)  # that the others come to wait; those that come later get the kept result
        assert not any(answer.done() for answer in answers)
        computation.may_end.set()
        assert {answer.result(LONG) for answer in answers} == {b"answer 1"}
    assert computation.times == 1


ONCE = """
import sys, time
from pathlib import Path
from tests.test_simulate import Computation, orchestrator_of
folder, mode = Path(sys.argv[1]), sys.argv[2]
orchestrator, computation = orchestrator_of(folder, max_ensembles=1), Computation(folder)
class Slow:
    def __call__(self, progress):
        progress.fetching(3, 1)
        print("computing", flush=True)
        time.sleep(0.3 if mode == "short" else 600)
        return computation(progress)
computation.may_end.set()
print("ready", flush=True)
print(orchestrator.runs.once("a", "key", 3, 6, Slow()).decode(), flush=True)
"""


def test_equal_requests_in_processes_are_computed_once(tmp_path: Path) -> None:
    publish(tmp_path)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(faults.Process(ONCE, tmp_path, "short")) for _ in range(3)]
        for process in processes:
            assert process.line() == "ready"
        last_lines = [process.result().splitlines()[-1] for process in processes]
    assert last_lines == ["answer 1"] * 3
    assert Computation(tmp_path).times == 1


def test_killed_computation_is_taken_over_and_reads_as_failed(
    orchestrator: Orchestrator, tmp_path: Path, quick: Computation
) -> None:
    with faults.Process(ONCE, tmp_path, "long") as process:
        assert [process.line(), process.line()] == ["ready", "computing"]
        state = orchestrator.runs.progress("a")
        assert state is not None
        assert state["status"] == "loading"
        assert orchestrator.runs.running_ensembles() == 1
        process.kill()
    state = orchestrator.runs.progress("a")
    assert state is not None
    assert (state["status"], state["error"]) == ("failed", "the process that computed it ended; ask again")
    assert orchestrator.runs.running_ensembles() == 0
    assert orchestrator_of(tmp_path, max_ensembles=1).runs.once("a", "key", 3, 6, quick) == b"answer 1"


def test_waiting_request_computes_when_the_first_one_fails(orchestrator: Orchestrator, quick: Computation) -> None:
    begun, may_fail = threading.Event(), threading.Event()

    def fails(progress: Progress) -> bytes:
        begun.set()
        assert may_fail.wait(LONG)
        raise UnavailableError("no member can be flown")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(orchestrator.runs.once, "a", "key", 3, 6, fails)
        assert begun.wait(LONG)
        second = pool.submit(orchestrator.runs.once, "a", "key", 3, 6, quick)
        may_fail.set()
        with pytest.raises(UnavailableError):
            first.result(LONG)
        assert second.result(LONG) == b"answer 1"


# --- Turns


@contextlib.contextmanager
def running(orchestrator: Orchestrator, computation: Computation, count: int) -> Any:
    """`count` different ensembles that run until the block ends."""
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(orchestrator.runs.once, f"r{n}", f"run{n}", 3, 6, computation) for n in range(count)]
        try:
            faults.wait_until(lambda: computation.times >= count, "their begin")
            yield futures
        finally:
            computation.may_end.set()
        for future in futures:
            future.result(LONG)


def test_fourth_ensemble_waits_and_is_then_refused(tmp_path: Path, computation: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, ensemble_wait_seconds=0.1)
    other = orchestrator_of(tmp_path, ensemble_wait_seconds=0.1)  # turns are of the machine, not of the worker
    with running(orchestrator, computation, 3):
        assert orchestrator.runs.running_ensembles() == other.runs.running_ensembles() == 3
        began = time.monotonic()
        with pytest.raises(BusyError, match="3 ensembles are running, which is the limit") as caught:
            other.runs.once("fourth", "key", 3, 6, computation)
        assert time.monotonic() - began >= 0.1
        assert caught.value.retry_after_seconds == 5
        state = other.runs.progress("fourth")
        assert state is not None
        assert state["status"] == "failed"
        assert "3 ensembles are running" in state["error"]
    assert computation.times == 3
    assert orchestrator.runs.running_ensembles() == 0


def test_fourth_ensemble_gets_its_turn_when_one_ends(tmp_path: Path, computation: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, ensemble_wait_seconds=600.0)
    with ThreadPoolExecutor(1) as pool:
        with running(orchestrator, computation, 3):
            fourth: Future[bytes] = pool.submit(orchestrator.runs.once, "fourth", "key", 3, 6, computation)
            faults.wait_until(lambda: orchestrator.runs.progress("fourth"), "its wait")
            state = orchestrator.runs.progress("fourth")
            assert state is not None
            assert state["status"] == "loading"
            assert computation.times == 3
        assert fourth.result(LONG) == b"answer 4"


def test_kept_result_needs_no_turn(tmp_path: Path, computation: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, ensemble_wait_seconds=0.0)
    orchestrator.runs.once("a", "key", 3, 6, lambda progress: b"kept")
    with running(orchestrator, computation, 3):
        assert orchestrator.runs.once("a", "key", 3, 6, computation) == b"kept"


def test_killed_process_gives_its_turn_back(tmp_path: Path, quick: Computation) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path, max_ensembles=1, ensemble_wait_seconds=0.05)
    with faults.Process(ONCE, tmp_path, "long") as process:
        assert [process.line(), process.line()] == ["ready", "computing"]
        with pytest.raises(BusyError, match="1 ensembles are running"):
            orchestrator.runs.once("b", "other", 3, 6, quick)
        process.kill()
        assert orchestrator_of(tmp_path, max_ensembles=1).runs.once("b", "other", 3, 6, quick) == b"answer 1"


def test_failed_ensemble_gives_its_turn_back(orchestrator: Orchestrator) -> None:
    def fails(progress: Progress) -> bytes:
        raise RuntimeError("a bug")

    for n in range(4):
        with pytest.raises(RuntimeError, match="a bug"):
            orchestrator.runs.once("a", f"key{n}", 3, 6, fails)
    assert orchestrator.runs.running_ensembles() == 0
    state = orchestrator.runs.progress("a")
    assert state is not None
    assert (state["status"], state["error"]) == ("failed", "internal error")


# --- Progress


@pytest.fixture
def every_write(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """All states of progress files, as written; none is left out for coming too soon after another."""
    monkeypatch.setattr(runs, "PROGRESS_INTERVAL_SECONDS", 0.0)
    states: list[dict[str, Any]] = []
    write = sharedfiles.write_atomically

    def noted(path: Path, content: bytes, *, durable: bool = True) -> None:
        if path.parent.name == "progress":
            states.append(json.loads(content))
        write(path, content, durable=durable)

    monkeypatch.setattr(sharedfiles, "write_atomically", noted)
    return states


def test_progress_of_an_ensemble_from_its_begin_to_its_end(
    orchestrator: Orchestrator, cycle: Cycle, every_write: list[dict[str, Any]]
) -> None:
    assert orchestrator.runs.progress("a") is None
    run = lambda progress: digest(orchestrator.ensemble(ENSEMBLE, cycle, progress)).encode()  # noqa: E731
    orchestrator.runs.once("a", "key", 3, 6, run)
    statuses = [state["status"] for state in every_write]
    assert statuses == ["loading"] * 5 + ["simulating"] * 3 + ["complete"]
    assert all((s["total"], s["ensemble_total"], s["montecarlo_total"]) == (21, 3, 18) for s in every_write)
    loaded = [(state["bytes_loaded"], state["bytes_total"]) for state in every_write[1:5]]
    assert cycle.manifest is not None
    sizes = [member.size for member in cycle.manifest.members]
    assert loaded == [(sum(sizes[:n]), sum(sizes)) for n in range(4)]
    assert [s["completed"] for s in every_write] == [0, 0, 0, 0, 0, 7, 14, 21, 21]
    assert [s["ensemble_completed"] for s in every_write[5:]] == [1, 2, 3, 3]
    assert [s["montecarlo_completed"] for s in every_write[5:]] == [6, 12, 18, 18]
    # 100 is for an answer that is there.
    assert [s["percentage"] for s in every_write] == [0, 0, 0, 0, 0, 33, 66, 99, 100]


def test_progress_shows_on_every_worker(orchestrator: Orchestrator, tmp_path: Path, computation: Computation) -> None:
    other = orchestrator_of(tmp_path)
    with running(orchestrator, computation, 1):
        state = other.runs.progress("r0")
        assert state is not None
        assert (state["status"], state["completed"], state["total"]) == ("loading", 0, 21)
        assert "run" not in state
    state = other.runs.progress("r0")
    assert state is not None
    assert (state["status"], state["percentage"], state["completed"]) == ("complete", 100, 21)


def test_progress_is_kept_30_seconds_after_the_end(
    orchestrator: Orchestrator, quick: Computation, tmp_path: Path
) -> None:
    orchestrator.runs.once("a", "key", 3, 6, quick)
    path = tmp_path / "data" / "progress" / "a.json"
    now = time.time()
    for age, shown in ((0.0, True), (25.0, True), (31.0, False)):
        os.utime(path, (now - age, now - age))
        assert (orchestrator.runs.progress("a") is not None) is shown


def test_running_ensemble_is_shown_however_long_it_lasts(
    orchestrator: Orchestrator, computation: Computation, tmp_path: Path
) -> None:
    with running(orchestrator, computation, 1):
        hour_ago = time.time() - HOUR
        os.utime(tmp_path / "data" / "progress" / "r0.json", (hour_ago, hour_ago))
        state = orchestrator.runs.progress("r0")
        assert state is not None
        assert state["status"] == "loading"


def test_kept_answer_is_complete_at_once_for_who_watches(
    orchestrator: Orchestrator, quick: Computation, every_write: list[dict[str, Any]]
) -> None:
    """Nothing runs, so any other state would read as that of a process which died."""
    orchestrator.runs.once("a", "key", 3, 6, quick)
    every_write.clear()
    orchestrator.runs.once("b", "key", 3, 6, quick)
    assert [state["status"] for state in every_write] == ["complete"]
    orchestrator.runs.once("b", "key", 3, 6, quick)
    assert len(every_write) == 1
    state = orchestrator.runs.progress("b")
    assert state is not None
    assert state["percentage"] == 100


def test_progress_is_not_written_for_every_member(
    orchestrator: Orchestrator, cycle: Cycle, every_write: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PROGRESS_INTERVAL_SECONDS", 1e9)
    run = lambda progress: digest(orchestrator.ensemble(ENSEMBLE, cycle, progress)).encode()  # noqa: E731
    orchestrator.runs.once("a", "key", 3, 6, run)
    assert [state["status"] for state in every_write] == ["loading", "complete"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"status": "lo'])
def test_damaged_progress_is_none(orchestrator: Orchestrator, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data" / "progress" / "a.json").write_bytes(content)
    assert orchestrator.runs.progress("a") is None


# --- A full disk


def lock_without_room(path: Path, *, shared: bool = False) -> int | None:
    """`sharedfiles.try_lock` on a full disk: files that exist can be opened, no other can be made."""
    if not path.exists():
        faults.full_disk()
    return try_lock(path, shared=shared)


try_lock = sharedfiles.try_lock


def test_answer_comes_when_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path)
    monkeypatch.setattr(sharedfiles, "write_atomically", faults.full_disk)
    monkeypatch.setattr(sharedfiles, "try_lock", lock_without_room)

    def compute(cycle: Cycle) -> bytes:
        run = lambda progress: digest(orchestrator.ensemble(ENSEMBLE, cycle, progress)).encode()  # noqa: E731
        return orchestrator.runs.once("a", "key", 3, 6, run)

    answer = orchestrator.on_cycle(None, compute)
    assert orchestrator.predict(REQUEST, 0, orchestrator.cycles.current())
    for sentence in ("without its lock", "progress a is not shown", "result key is not kept", "could not be noted"):
        assert caplog.text.count(sentence) >= 1
    assert caplog.text.count("progress a is not shown") == 1
    assert orchestrator.runs.progress("a") is None
    assert orchestrator.runs.running_ensembles() == 0
    monkeypatch.undo()
    assert orchestrator.on_cycle(None, compute) == answer


def test_answer_comes_from_a_really_full_disk(tmp_path: Path, quick: Computation) -> None:
    publish(tmp_path)
    with faults.small_disk(tmp_path / "disk", kilobytes=256) as disk:
        values = make_settings(tmp_path, data_dir=disk)
        cycles = Cycles(LocalBucket(tmp_path / "bucket"), disk, refresh_seconds=1e9)
        orchestrator = Orchestrator(cycles, elev.load(make_elevation(tmp_path / "flat.npz")), values)
        filler = faults.fill(disk)
        cycle = orchestrator.cycles.current()
        assert_is_of(orchestrator.ensemble(ENSEMBLE, cycle), wind=10.0)
        assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 1"
        filler.unlink()
        assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 2"
        assert orchestrator.runs.once("a", "key", 3, 6, quick) == b"answer 2"


# --- Open files and cycles


def test_member_is_opened_once(orchestrator: Orchestrator, cycle: Cycle) -> None:
    simulator = orchestrator.simulator(cycle, 1)
    orchestrator.ensemble(ENSEMBLE, cycle)
    assert orchestrator.simulator(cycle, 1) is simulator
    assert sorted(orchestrator.open_members()) == [f"{FIRST}_0{member}.npz" for member in range(3)]


def test_number_of_open_members_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orchestrator: Orchestrator
) -> None:
    monkeypatch.setattr(simulate, "MAX_OPEN_MEMBERS", 3)
    publish(tmp_path, members=6)
    cycle = orchestrator.cycles.refresh()
    for member in (0, 1, 2, 0, 3):
        orchestrator.simulator(cycle, member)
    # The least recently used goes first.
    assert orchestrator.open_members() == [f"{FIRST}_0{member}.npz" for member in (2, 0, 3)]
    assert_is_of(orchestrator.ensemble(ENSEMBLE, cycle), wind=10.0)
    assert len(orchestrator.open_members()) == 3


def test_file_replaced_by_an_equal_one_is_opened_again(
    orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path
) -> None:
    before = orchestrator.simulator(cycle, 1)
    path = file_in(orchestrator.cycles.bucket, f"{FIRST}_01.npz")
    faults.replace_by_rename(path, faults.cut(path, tmp_path / "same.npz", path.stat().st_size))
    after = orchestrator.simulator(cycle, 1)
    assert after is not before
    assert orchestrator.simulator(cycle, 1) is after
    assert before.field.data.tobytes() == after.field.data.tobytes()


@pytest.mark.parametrize("fault", ["overwritten", "cut", "replaced", "removed"])
def test_file_that_changes_between_two_requests_is_refused(
    orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path, fault: str
) -> None:
    orchestrator.predict(REQUEST, 1, cycle)
    path = file_in(orchestrator.cycles.bucket, f"{FIRST}_01.npz")
    match fault:
        case "overwritten":
            faults.overwrite_in_place(path, path.stat().st_size // 2, b"\x11\x22")
        case "cut":
            faults.truncate_in_place(path, 1000)
        case "replaced":
            faults.replace_by_rename(path, write_field(tmp_path / "other.npz", member_winds(FIRST, 30.0)))
        case "removed":
            path.unlink()
    with pytest.raises((WindFileError, NotFoundError), match=f"{FIRST}_01.npz"):
        orchestrator.predict(REQUEST, 1, cycle)
    with pytest.raises((WindFileError, NotFoundError), match=f"{FIRST}_01.npz"):
        orchestrator.on_cycle(None, lambda cycle: orchestrator.predict(REQUEST, 1, cycle))
    assert orchestrator.predict(REQUEST, 0, cycle)


def test_changed_file_of_an_older_tool_is_flown_as_it_is_now(orchestrator: Orchestrator, tmp_path: Path) -> None:
    orchestrator.cycles.bucket.delete(f"{FIRST}.json")
    cycle = orchestrator.cycles.refresh()
    assert cycle.manifest is None
    orchestrator.predict(REQUEST, 1, cycle)
    other = write_field(tmp_path / "other.npz", member_winds(FIRST, 30.0))
    path = file_in(orchestrator.cycles.bucket, f"{FIRST}_01.npz")
    faults.overwrite_in_place(path, 0, other.read_bytes())
    landing = orchestrator.predict(REQUEST, 1, cycle).trajectory.landing
    assert landing[2] == pytest.approx(10.0 + drift_degrees(30.0), abs=2e-5)


def test_switch_lets_go_of_the_old_cycle(orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path) -> None:
    orchestrator.ensemble(ENSEMBLE, cycle)
    publish(tmp_path, SECOND, wind=20.0)
    new = orchestrator.cycles.refresh()
    orchestrator.predict(REQUEST, 0, new)
    assert orchestrator.open_members() == [f"{SECOND}_00.npz"]
    # One that asks for the old cycle by name does not drive the current one out.
    orchestrator.predict(REQUEST, 2, cycle)
    assert orchestrator.open_members() == [f"{SECOND}_00.npz", f"{FIRST}_02.npz"]
    with pytest.raises(AssertionError):
        assert_is_of(orchestrator.ensemble(ENSEMBLE, new), wind=10.0)
    assert_is_of(orchestrator.ensemble(ENSEMBLE, new), wind=20.0)
    assert_is_of(orchestrator.ensemble(ENSEMBLE, cycle), wind=10.0)


def test_named_cycle_is_flown_while_there_is_no_current_one(tmp_path: Path) -> None:
    publish(tmp_path).delete("whichgefs")
    orchestrator = orchestrator_of(tmp_path)
    with pytest.raises(UnavailableError, match="no cycle can be flown"):
        orchestrator.on_cycle(None, lambda cycle: orchestrator.predict(REQUEST, 0, cycle))
    for _ in range(2):
        ensemble = orchestrator.on_cycle(FIRST, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))
        assert_is_of(ensemble, wind=10.0)
    with pytest.raises(NotFoundError):
        orchestrator.on_cycle(SECOND, lambda cycle: orchestrator.predict(REQUEST, 0, cycle))


class SwitchesAfter(Progress):
    """Publishes the next cycle and removes this one, once the winds are open or a member has flown."""

    def __init__(self, path: Path, step: str, switch: Callable[[], None]) -> None:
        super().__init__(path, "run", 3, 6)
        self._step, self._switch, self._done = step, switch, False

    def fetching(self, asked: int, come: int) -> None:
        super().fetching(asked, come)
        self._at("loaded" if self.state["bytes_loaded"] == self.state["bytes_total"] else "")

    def flown(self, perturbations: int) -> None:
        super().flown(perturbations)
        self._at("flown")

    def _at(self, step: str) -> None:
        if step == self._step and not self._done:
            self._done = True
            self._switch()


@pytest.mark.parametrize("step", ["loaded", "flown"])
def test_flights_under_way_finish_on_their_cycle(
    orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path, step: str
) -> None:
    def switch() -> None:
        publish(tmp_path, SECOND, wind=20.0)
        new = orchestrator.cycles.refresh()
        assert_is_of(orchestrator.ensemble(ENSEMBLE, new), wind=20.0)
        remove_cycle(LocalBucket(tmp_path / "bucket"), FIRST)

    progress = SwitchesAfter(tmp_path / "progress.json", step, switch)
    ensemble = orchestrator.ensemble(ENSEMBLE, cycle, progress)
    assert ensemble.failed == {}
    assert ensemble.provenance.cycle == FIRST
    assert_is_of(ensemble, wind=10.0)
    assert all(name.startswith(SECOND) for name in orchestrator.open_members())


def test_ensemble_whose_cycle_is_removed_before_it_is_open_flies_on_the_next(
    orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path
) -> None:
    """One member was mapped, so its file is still there: an ensemble of it alone is no answer."""
    orchestrator.predict(REQUEST, 0, cycle)
    bucket = publish(tmp_path, SECOND, wind=20.0)
    remove_cycle(bucket, FIRST)
    assert f"{FIRST}_00.npz" in bucket.list()
    assert orchestrator.cycles.current() == cycle  # nobody has looked yet
    ensemble = orchestrator.on_cycle(None, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))
    assert ensemble.provenance.cycle == SECOND
    assert ensemble.failed == {}
    assert_is_of(ensemble, wind=20.0)
    # Asked for by name, it is not there.
    with pytest.raises(NotFoundError):
        orchestrator.on_cycle(FIRST, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))


def test_cycle_published_again_under_its_name_is_flown_at_once(
    orchestrator: Orchestrator, cycle: Cycle, tmp_path: Path
) -> None:
    orchestrator.predict(REQUEST, 0, cycle)
    publish(tmp_path, wind=20.0)
    assert orchestrator.cycles.current() == cycle
    flight = orchestrator.on_cycle(None, lambda cycle: orchestrator.predict(REQUEST, 1, cycle))
    assert flight.trajectory.landing[2] == pytest.approx(10.0 + drift_degrees(21.0), abs=2e-5)
    assert flight.provenance.cycle_version != cycle.version
    publish(tmp_path, wind=30.0)
    ensemble = orchestrator.on_cycle(None, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))
    assert_is_of(ensemble, wind=30.0)


def test_named_older_cycle_with_a_damaged_member_flies_with_the_others(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    bucket = publish(tmp_path, SECOND)
    orchestrator.cycles.refresh()
    path = bucket.local_path(f"{FIRST}_01.npz")
    faults.overwrite_in_place(path, path.stat().st_size // 2, b"\x11\x22")
    ensemble = orchestrator.on_cycle(FIRST, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))
    assert list(ensemble.failed) == [1]


def test_request_is_not_tried_again_on_the_same_cycle(orchestrator: Orchestrator) -> None:
    tried = []

    def run(cycle: Cycle) -> None:
        tried.append(cycle)
        raise WindFileError("damaged")

    with pytest.raises(WindFileError):
        orchestrator.on_cycle(None, run)
    with pytest.raises(WindFileError):
        orchestrator.on_cycle(FIRST, run)
    assert len(tried) == 2


def test_answers_never_mix_two_cycles(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """Ensembles in threads while cycles come and go: each answer is whole, and of the cycle that it names."""
    winds = {"2026111812": 70.0, "2026111818": 50.0, FIRST: 20.0, SECOND: 30.0}
    seen: set[str] = set()
    stop = threading.Event()

    def ask() -> int:
        count = 0
        while not stop.is_set():
            ensemble = orchestrator.on_cycle(None, lambda cycle: orchestrator.ensemble(ENSEMBLE, cycle))
            assert ensemble.failed == {}
            assert_is_of(ensemble, winds[ensemble.provenance.cycle])
            seen.add(ensemble.provenance.cycle)
            count += 1
        return count

    bucket = LocalBucket(tmp_path / "bucket")
    old, *later = winds
    remove_cycle(bucket, FIRST)
    publish(tmp_path, old, wind=winds[old])
    orchestrator.cycles.refresh()
    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(ask) for _ in range(3)]

        def wait_for(cycle: str) -> None:
            faults.wait_until(lambda: cycle in seen or any(t.done() for t in threads), "an answer")

        try:
            for new in later:
                wait_for(old)
                publish(tmp_path, new, wind=winds[new])
                orchestrator.cycles.refresh()
                remove_cycle(bucket, old)
                old = new
            wait_for(old)
        finally:
            stop.set()
        assert sum(thread.result(LONG) for thread in threads) >= 4
    assert seen == set(winds)


def test_flights_and_switches_leak_no_descriptors(
    orchestrator: Orchestrator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker serves for weeks: some hundred predictions, each on another cycle than the one before."""
    caplog.set_level(logging.ERROR)
    publish(tmp_path, SECOND)
    publish(tmp_path, "2026111818")
    cycles = [orchestrator.cycles.cycle(name) for name in (FIRST, SECOND)]
    current = orchestrator.cycles.refresh()
    members = current.members

    def fly(count: int) -> None:
        for n in range(count):
            cycle = cycles[n % 2]
            orchestrator.predict(REQUEST, members[n % 3], cycle)
            if n % 10 == 0:
                orchestrator.ensemble(ENSEMBLE, cycle)
            with contextlib.suppress(OutsideCycleError):
                orchestrator.predict(flown_at(time=0.0), 0, cycle)

    fly(12)
    before = faults.open_files()
    fly(300)
    assert faults.open_files() <= before + 2  # one more member may be open, on two descriptors
    with Path("/proc/self/maps").open() as maps:
        assert sum(".npz" in line and str(tmp_path) in line for line in maps) <= 2 * len(members)


# --- What answers must not hide


def test_result_with_a_failed_member_is_not_kept(tmp_path: Path) -> None:
    publish(tmp_path)
    orchestrator = orchestrator_of(tmp_path)
    cycle = orchestrator.cycles.current()
    file = tmp_path / "bucket" / wind_file_name(cycle.name, 1)
    away = file.rename(tmp_path / "away")

    def run(progress: Progress) -> bytes:
        return json.dumps(sorted(orchestrator.ensemble(ENSEMBLE, cycle, progress).failed)).encode()

    assert orchestrator.runs.once("a", "key", 3, 6, run) == b"[1]"
    away.rename(file)
    assert orchestrator.runs.once("a", "key", 3, 6, run) == b"[]"
    assert orchestrator.runs.kept_results() == 1


def test_results_are_bounded_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orchestrator: Orchestrator
) -> None:
    monkeypatch.setattr(runs, "RESULT_BYTES", 250)
    for n in range(4):
        orchestrator.runs.once("a", f"key{n}", 3, 6, lambda progress: bytes(100))
    assert orchestrator.runs.kept_results() == 2
    orchestrator.runs.once("a", "large", 3, 6, lambda progress: bytes(1000))
    assert [path.stem for path in (tmp_path / "data" / "results").iterdir()] == ["large"]


def test_progress_of_failed_ensembles_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orchestrator: Orchestrator
) -> None:
    monkeypatch.setattr(runs, "RESULT_WAIT_SECONDS", -1.0)

    def fails(progress: Progress) -> bytes:
        raise UnavailableError("no")

    for n in range(5):
        with pytest.raises(UnavailableError):
            orchestrator.runs.once(f"r{n}", f"key{n}", 3, 6, fails)
    assert list((tmp_path / "data" / "progress").iterdir()) == []


def test_winds_that_are_held_are_said_with_every_flight(tmp_path: Path) -> None:
    source = {"steady_hours": 24, "run": "2026-11-14T00:00:00Z", "steps_hours": [120]}
    cycle = cycle_at(START)
    file = write_field(tmp_path / wind_file_name(cycle, 0), sample(lambda *_: (10.0, 5.0)), source=source)
    publishing.publish(LocalBucket(tmp_path / "bucket"), cycle, {0: file}, "gfs")
    orchestrator = orchestrator_of(tmp_path)
    note = "one step of the forecast (2026-11-14T00:00:00Z +120 h) is held for 24 h"
    current = orchestrator.cycles.current()
    assert note in orchestrator.predict(REQUEST, 0, current).trajectory.warnings
    assert note in orchestrator.ensemble(ENSEMBLE, current).warnings


def test_flight_through_a_file_that_is_rewritten_meanwhile_is_refused(
    orchestrator: Orchestrator, cycle: Cycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    flown = Simulator.fly

    def fly_while_it_changes(simulator: Any, *arguments: Any, **options: Any) -> Flights:
        flights = flown(simulator, *arguments, **options)
        later = simulator.file.identity.modified_ns + 1_000_000_000
        os.utime(simulator.file.path, ns=(later, later))
        return flights

    monkeypatch.setattr(Simulator, "fly", fly_while_it_changes)
    with pytest.raises(WindFileError, match="was rewritten while it was read"):
        orchestrator.predict(REQUEST, 0, cycle)
