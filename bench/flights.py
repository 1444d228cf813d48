"""Flights in this process, on one core: the kernel without the service."""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import elev
from bench import cycles
from bench.table import Row
from habsim import balloons, montecarlo, sizing
from habsim.classes import DEFAULT_STEP_SECONDS, Balloon, ElevationFile, Launches, Location, Simulator, on_the_ground
from habsim.envelopes import ENVELOPES, GASES
from habsim.profiles import PROFILES
from store.manifest import cycle_start, wind_file_name
from windfile import WindFile

START = cycle_start(cycles.CYCLE)
ZPB = PROFILES["zpb"]
GLOBE = 20_000


def elevation(data_dir: Path) -> tuple[ElevationFile, str]:
    """The embedded ground where it was set up, else flat ground, and which of the two."""
    path = data_dir / "elevation.npz"
    return (elev.load(path), "real ground") if path.exists() else (ElevationFile.flat(), "flat ground")


def rows(data_dir: Path) -> Iterator[Row]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core
    bucket, told = cycles.bucket(data_dir / "bench", cycles.CLASSIC)
    ground, which = elevation(data_dir)
    yield Row("classic wind files, 1 degree, 19 levels, 6-hourly to 384 h", told)
    paths = [bucket.local_path(wind_file_name(cycles.CYCLE, member)) for member in range(cycles.MEMBERS)]
    simulators = [Simulator(WindFile(path).winds, ground) for path in paths]
    Simulator.warm_up(ground)
    batch = ensemble(ground)
    flights = len(simulators) * len(batch)
    for step, asked in ((DEFAULT_STEP_SECONDS, "<= 6 ms"), (120.0, "")):
        seconds = median_seconds(functools.partial(_fly_all, simulators, batch, step), 40)
        yield Row(f"{flights} flights, 21 members, step {step:g} s, {which}", f"{seconds * 1e3:.2f} ms", asked)
    spread = around_the_globe(ground)
    for step, asked in ((120.0, ">= 40,000 flights/s"), (DEFAULT_STEP_SECONDS, "")):
        seconds = median_seconds(functools.partial(simulators[0].fly, spread, ZPB, step=step), 5)
        told = f"{GLOBE / seconds:,.0f} flights/s"
        yield Row(f"{GLOBE:,} flights over the globe and the cycle, step {step:g} s", told, asked)
    yield from _physical(simulators[0], spread)


def _physical(simulator: Simulator, launches: Launches) -> Iterator[Row]:
    """Gas balloons: what their climbs cost, and flights with them."""
    spec = sizing.filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, sizing.Wish(ascent_rate=5.0))
    rows = montecarlo.perturbed_balloons(np.array(spec.row()), 1, len(launches) - 1, montecarlo.BALLOON_DISTRIBUTIONS)
    seconds = median_seconds(functools.partial(balloons.launches_of, launches, rows), 5)
    yield Row(f"{len(launches):,} climbs of gas balloons", f"{1e6 * seconds / len(launches):.1f} us a climb")

    def fly() -> None:
        simulator.fly(balloons.launches_of(launches, rows), PROFILES["physical"])

    told = f"{len(launches) / median_seconds(fly, 5):,.0f} flights/s"
    yield Row(f"{len(launches):,} flights of profile physical, each with its climb", told, ">= 5,000 flights/s")


def _fly_all(simulators: list[Simulator], batch: Launches, step: float) -> None:
    for simulator in simulators:
        simulator.fly(batch, ZPB, step=step)


def ensemble(ground: ElevationFile) -> Launches:
    """A launch as asked for and 20 perturbed ones."""
    launch = Launches.single(START + 130_000.0, Location(37.3553, -121.8763, 24.0), Balloon(4.0, 8.0, 30000.0))
    return on_the_ground(montecarlo.perturbed(launch, 1, 20, montecarlo.DISTRIBUTIONS), ground)


def around_the_globe(ground: ElevationFile) -> Launches:
    """Launches anywhere, at any time of the cycle that leaves room for the flight."""
    random = np.random.default_rng(7)
    table = np.zeros((GLOBE, 9))
    table[:, 0] = START + random.uniform(0.0, 15.5 * 86400.0, GLOBE)
    table[:, 1] = np.degrees(np.arcsin(random.uniform(-1.0, 1.0, GLOBE)))
    table[:, 2] = random.uniform(0.0, 360.0, GLOBE)
    table[:, 4:] = 5.0, 7.0, 30000.0, 0.0, 1.0
    return on_the_ground(Launches(table), ground)


def median_seconds(run: Callable[[], object], times: int) -> float:
    """The median time of a run, after two that warm caches."""
    taken = []
    for _ in range(times + 2):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])
