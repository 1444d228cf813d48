"""How far landings are off: for the length of the step, and for the levels of a wind file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.table import Row
from habsim.classes import DEFAULT_STEP_SECONDS, ElevationFile, Flights, Simulator
from habsim.profiles import PROFILES
from tests.references import LEVELS_19, Array, Synthetic, Tawhiri
from tests.worlds import DATA, LEVELS_31, distance

STEPS = sorted({60.0, 120.0, 150.0, 180.0, 240.0, 300.0, 400.0, 600.0, DEFAULT_STEP_SECONDS})
CONVERGED_SECONDS = 0.25
FLIGHTS = 200


def rows() -> Iterator[Row]:
    if not DATA.exists():
        yield Row("skipped: the shared data with the reference flights is not on this machine", "")
        return
    yield from _of_steps("15 Tawhiri cases", _tawhiri())
    synthetic = Synthetic()
    yield from _of_steps(f"{FLIGHTS} flights, classic synthetic file", _classic(synthetic))
    batch = synthetic.random_launches(60)
    for levels, asked in ((LEVELS_31, "<= 0.3 km (median)"), (LEVELS_19, "<= 2.2 km (median)")):
        errors = synthetic.errors(levels, batch, DEFAULT_STEP_SECONDS) / 1000.0
        told = f"{np.median(errors):.2f} / {np.quantile(errors, 0.9):.2f} / {errors.max():.2f} km"
        yield Row(f"60 flights, {len(levels)} levels, off the analytic wind: median, 90 %, max", told, asked)


Landings = Callable[[float], Array]


def _of_steps(what: str, landings: Landings) -> Iterator[Row]:
    """Landings are (n, 2), latitude and longitude, for a step."""
    exact = landings(CONVERGED_SECONDS)
    for step in STEPS:
        errors = distance(*landings(step).T, *exact.T)
        default = step == DEFAULT_STEP_SECONDS
        told = f"{np.median(errors):.2f} / {errors.max():.2f} m"
        name = f"{what}, step {step:g} s{' (default)' if default else ''}: median, max"
        yield Row(name, told, "<= 3 m, <= 11 m" if default else "")


def _tawhiri() -> Landings:
    cases = list(Tawhiri())

    def landings(step: float) -> Array:
        return np.concatenate([_places(case.simulator.fly(case.launch, case.profile, step=step)) for case in cases])

    return landings


def _classic(synthetic: Synthetic) -> Landings:
    batch = synthetic.random_launches(FLIGHTS)
    simulator = Simulator(synthetic.classic(0, *synthetic.true_tracks(batch)), ElevationFile.flat())

    def landings(step: float) -> Array:
        return _places(simulator.fly(batch, PROFILES["zpb"], step=step))

    return landings


def _places(flights: Flights) -> Array:
    assert not flights.failures
    return flights.landing[:, 1:3]
