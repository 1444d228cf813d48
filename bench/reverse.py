"""Reverse planning on classic files: whole searches on two cores, each in a process of its own.

The places are those of a grid with the middle of the area among them: 317 at 10 km within 100 km. The seed system's
table counts area / spacing^2 = 314, and so 8,792 flights of a member in a week instead of 8,876.
"""

from __future__ import annotations

import functools
import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import cycles, reverse_jobs
from bench.flights import START, elevation
from bench.table import Row
from habsim.classes import Balloon, Launches, Simulator, on_the_ground
from habsim.profiles import PROFILES
from habsim.reverse import (
    Configuration,
    LaunchWindow,
    Plan,
    SearchArea,
    SearchResult,
    Target,
    TimeWindow,
    chunks,
    combine,
    estimate,
    fly_chunk,
)
from missions.reverseresult import content
from store.manifest import wind_file_name
from windfile import WindFile

CORES = 2
TARGET = Target(45.0, 2.5, 20_000.0)  # downwind of most of the search area
BALLOON = Configuration("30 km", Balloon(5.0, 7.0, 30000.0), PROFILES["standard"])
DAY, HOUR = 86400.0, 3600.0
STEPS = (30.0, 60.0, 150.0)
CONVERGED_SECONDS = 2.0
FLIGHTS = 2000
# Innsbruck, Sion, Aosta, Bolzano.
VALLEYS = ((47.26, 11.39), (46.23, 7.36), (45.74, 7.32), (46.5, 11.35))
VALLEY_SEARCHES = 6
# What a job adds to its result.
_JOB = {"mission": "launch_window", "failed_members": [], "warnings": [], "provenance": {}}


@dataclass(frozen=True)
class Search:
    """A search to measure: 100 km about (45, 1), a grid of `spacing` m, `times` launch times `step` s apart."""

    what: str
    spacing: float
    times: int
    step: float
    members: int
    runs: int
    asked: str

    def plan(self, *, refine: bool) -> Plan:
        window = TimeWindow(START, START + self.times * self.step, self.step)
        area = SearchArea(45.0, 1.0, 100_000.0, self.spacing)
        return Plan(TARGET, area, LaunchWindow(window), (BALLOON,), refine)


SEARCHES = (
    Search("10 km grid, 7 days, 6 h", 10_000.0, 28, 6 * HOUR, 1, 7, "<= 2 s"),
    Search("10 km grid, 7 days, 6 h, 21 members", 10_000.0, 28, 6 * HOUR, 21, 5, "<= 20 s"),
    Search("10 km grid, 6.3 days, 1 h, 21 members", 10_000.0, 151, HOUR, 21, 3, "<= 60 s, <= 1 GB"),
    Search("2 km grid, 5.3 days, 1 h, 1 member", 2_000.0, 128, HOUR, 1, 3, "<= 60 s, <= 1 GB"),
)


@dataclass(frozen=True)
class Measured:
    """Median seconds of the runs, after one that warms caches; flights made and asked; hits; peak of own memory."""

    seconds: float
    flights: int
    asked: int
    hits: int
    megabytes: float


def rows(data_dir: Path) -> Iterator[Row]:
    bucket, told = cycles.bucket(data_dir / "bench", cycles.CLASSIC)
    yield Row("classic wind files, 1 degree, 19 levels, 6-hourly to 384 h", told)
    paths = [bucket.local_path(wind_file_name(cycles.CYCLE, member)) for member in range(cycles.MEMBERS)]
    yield from _of_steps(paths[3], data_dir)
    yield from _over_mountains(paths[3], data_dir)
    for wanted in SEARCHES:
        size = estimate(wanted.plan(refine=False), wanted.members, cores=CORES)
        yield Row(f"{wanted.what}: estimated", f"{size.seconds:.1f} s")
        found = {}
        for refine in (False, True):
            # Peaks are of a process, so each search has a new one.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[refine] = pool.submit(_measure, wanted, refine, paths[: wanted.members], data_dir).result()
            result = found[refine]
            how = f"refined, {result.flights:,} of {result.asked:,} flights" if refine else f"{result.asked:,} flights"
            yield Row(f"{wanted.what}: {how}", f"{result.seconds:.2f} s, {result.megabytes:.0f} MB", wanted.asked)
        yield Row(f"{wanted.what}: hits, of which refined finds", f"{found[False].hits:,}, {found[True].hits:,}")
    yield from reverse_jobs.rows(bucket.root, data_dir / "elevation.npz")


def _measure(wanted: Search, refine: bool, paths: list[Path], data_dir: Path) -> Measured:
    ground, _ = elevation(data_dir)
    simulators = {member: Simulator(WindFile(path).winds, ground) for member, path in enumerate(paths)}
    plan = wanted.plan(refine=refine)
    taken = []
    with _Peak() as peak:
        for _ in range(wanted.runs + 1):
            began = time.perf_counter()
            found = _search(plan, simulators)
            content(found, _JOB, estimate(plan, wanted.members))
            taken.append(time.perf_counter() - began)
    hits = int(found.cells["hits"].sum())
    return Measured(statistics.median(taken[1:]), found.flights, found.asked, hits, peak.megabytes)


def _search(plan: Plan, simulators: dict[int, Simulator]) -> SearchResult:
    with ThreadPoolExecutor(CORES) as pool:
        results = pool.map(functools.partial(fly_chunk, simulators), chunks(plan, sorted(simulators)))
        return combine(plan, sorted(simulators), results)


class _Peak:
    """The largest memory of this process that no file backs: mapped wind files belong to the system's cache."""

    megabytes = 0.0

    def __enter__(self) -> _Peak:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.megabytes = max(self.megabytes, own * 1024 / 1e6)


def _over_mountains(path: Path, data_dir: Path) -> Iterator[Row]:
    """Refined searches for passes low over valleys of the Alps, against all flown: some flights get so low."""
    ground, _ = elevation(data_dir)
    simulators = {0: Simulator(WindFile(path).winds, ground)}
    low = Configuration("6 km", Balloon(5.0, 5.0, 6000.0), PROFILES["zpb"])
    random = np.random.default_rng(2)
    hits = dict.fromkeys((False, True), 0)
    flights = dict.fromkeys((False, True), 0)
    for lat, lon in VALLEYS:
        floor = float(ground.at(lat, lon))
        for above in random.uniform(100.0, 500.0, VALLEY_SEARCHES):
            area = SearchArea(lat, lon - 0.15, 25_000.0, 1000.0)
            target = Target(lat, lon, 4_000.0, highest=floor + above)
            for refine in (False, True):
                plan = Plan(target, area, LaunchWindow(TimeWindow(START, START + DAY)), (low,), refine)
                found = _search(plan, simulators)
                hits[refine] += int(found.cells["hits"].sum())
                flights[refine] += found.flights
    what = f"passes low over valleys, {len(VALLEYS) * VALLEY_SEARCHES} searches"
    share = flights[True] / flights[False]
    yield Row(
        f"{what}: hits, of which refined finds with {share:.0%} of the flights", f"{hits[False]:,}, {hits[True]:,}"
    )


def _of_steps(path: Path, data_dir: Path) -> Iterator[Row]:
    """How far closest approaches are off for the length of the step, in a zone that has altitudes."""
    ground, _ = elevation(data_dir)
    simulator = Simulator(WindFile(path).winds, ground)
    random = np.random.default_rng(1)
    table = np.zeros((FLIGHTS, 9))
    table[:, 0] = START + random.uniform(0.0, 7 * DAY, FLIGHTS)
    table[:, 1:3] = random.uniform((43.5, -0.5), (46.5, 2.5), (FLIGHTS, 2))
    table[:, 4:] = 5.0, 7.0, 30000.0, 0.0, 1.0
    launches = on_the_ground(Launches(table), ground)
    target = Target(TARGET.latitude, TARGET.longitude, TARGET.radius, 18_000.0, 25_000.0)
    area = SearchArea(45.0, 1.0, 100_000.0, 10_000.0)
    zone = Plan(target, area, LaunchWindow(TimeWindow(START, START)), (BALLOON,)).zone

    def distances(step: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        found = simulator.approach(launches, BALLOON.profile, zone, step=step)
        return found.closest[:, 4]

    exact = distances(CONVERGED_SECONDS)
    for step in STEPS:
        errors = np.abs(distances(step) - exact)
        told = f"{np.median(errors):.1f} / {errors.max():.1f} m"
        yield Row(f"{FLIGHTS:,} closest approaches between 18 and 25 km, step {step:g} s: median, max", told)
