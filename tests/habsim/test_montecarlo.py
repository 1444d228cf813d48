"""Perturbations: reproducible everywhere, each parameter on its own, distributed and bounded as the table says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from habsim import kernels, montecarlo
from habsim.classes import Launches
from habsim.montecarlo import DISTRIBUTIONS, Distribution
from tests.worlds import START, Floats, launches

SEED = 20261119
MANY = 20000
LAUNCH = launches(START, 47.0, 8.0, 400.0, asc=5.0, desc=6.0, equil=30000.0, coast=3600.0, drift=1.0)

# Of the request's parameters as http-api.md gives them: the least and the most that may be drawn from LAUNCH.
BOUNDS = {
    "lat": (46.999, 47.001),
    "lon": (7.999, 8.001),
    "alt": (350.0, 450.0),
    "equil": (29800.0, 30200.0),
    "eqtime": (3240.0, 3960.0),
    "asc": (4.5, 5.5),
    "desc": (5.5, 6.5),
    "coeff": (0.9, 1.0),
}


def drawn(name: str, *, seed: int = SEED, count: int = MANY) -> Floats:
    copies = montecarlo.perturbed(LAUNCH, seed, count, DISTRIBUTIONS).table[1:]
    column: Floats = copies[:, DISTRIBUTIONS[name].column]
    return column


def test_first_launch_is_the_one_asked_for() -> None:
    batch = montecarlo.perturbed(LAUNCH, SEED, 20, DISTRIBUTIONS)
    assert len(batch) == 21
    np.testing.assert_array_equal(batch.table[0], LAUNCH.table[0])
    assert len(montecarlo.perturbed(LAUNCH, SEED, 0, DISTRIBUTIONS)) == 1


def test_time_is_not_perturbed() -> None:
    assert (montecarlo.perturbed(LAUNCH, SEED, 50, DISTRIBUTIONS).table[:, kernels.TIME] == START).all()


@pytest.mark.parametrize("name", BOUNDS)
def test_draws_fill_their_bounds_and_keep_within(name: str) -> None:
    low, high = BOUNDS[name]
    values = drawn(name)
    width = high - low
    assert low <= values.min() < low + 0.01 * width
    assert high >= values.max() > high - 0.01 * width


@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "coeff"])
def test_draws_are_uniform(name: str) -> None:
    """Kolmogorov and Smirnov: the largest gap between the two distribution functions, 1 % level 1.63 / sqrt(n)."""
    low, high = BOUNDS[name]
    ranks = (np.sort(drawn(name)) - low) / (high - low)
    assert np.abs(ranks - (np.arange(MANY) + 0.5) / MANY).max() < 1.63 / np.sqrt(MANY)


def test_coefficient_is_above_095_nine_times_in_ten() -> None:
    values = drawn("coeff")
    above = values >= 0.95
    assert above.mean() == pytest.approx(0.9, abs=0.01)
    assert values[above].mean() == pytest.approx(0.975, abs=0.001)
    assert values[~above].mean() == pytest.approx(0.925, abs=0.002)


def test_every_parameter_has_its_own_stream() -> None:
    assert len({d.stream for d in DISTRIBUTIONS.values()}) == len({d.column for d in DISTRIBUTIONS.values()}) == 8
    columns = np.array([drawn(name) for name in BOUNDS])
    off_diagonal = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(MANY)


def test_seeds_have_nothing_in_common() -> None:
    for seed in (SEED + 1, 0, 2**64 - 1):
        assert abs(np.corrcoef(drawn("asc"), drawn("asc", seed=seed))[0, 1]) < 4.5 / np.sqrt(MANY)


def test_more_perturbations_keep_the_first() -> None:
    few, many = (montecarlo.perturbed(LAUNCH, SEED, count, DISTRIBUTIONS).table for count in (20, 100))
    np.testing.assert_array_equal(few, many[:21])


def test_replacing_or_leaving_out_a_parameter_does_not_move_the_others() -> None:
    plain = montecarlo.perturbed(LAUNCH, SEED, 50, DISTRIBUTIONS).table
    replaced = montecarlo.perturbed(LAUNCH, SEED, 50, montecarlo.table({"asc": 2.0, "coeff": 0.01})).table
    without = {name: d for name, d in DISTRIBUTIONS.items() if name not in {"asc", "coeff"}}
    left_out = montecarlo.perturbed(LAUNCH, SEED, 50, without).table
    others = [d.column for d in without.values()]
    np.testing.assert_array_equal(plain[:, others], replaced[:, others])
    np.testing.assert_array_equal(plain[:, others], left_out[:, others])
    assert (
        left_out[:, [kernels.ASCENT_RATE, kernels.DRIFT]] == LAUNCH.table[0, [kernels.ASCENT_RATE, kernels.DRIFT]]
    ).all()
    assert replaced[1:, kernels.ASCENT_RATE].min() < 3.3
    assert replaced[1:, kernels.ASCENT_RATE].max() > 6.7
    assert np.abs(replaced[:, kernels.DRIFT] - 1.0).max() <= 0.01


def test_draws_are_the_same_in_any_process() -> None:
    """Python salts the hashes of strings anew in each process; nothing here may depend on them."""
    code = (
        "from habsim import montecarlo; from tests.worlds import launches; "
        f"t = montecarlo.perturbed(launches(), {SEED}, 30, montecarlo.DISTRIBUTIONS).table; print(t.tobytes().hex())"
    )
    root = Path(__file__).resolve().parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": salt},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for salt in ("1", "2")
    }
    here = montecarlo.perturbed(launches(), SEED, 30, DISTRIBUTIONS).table.tobytes().hex()
    assert outputs == {here}


@example(alt=0.0, above=0.0, lat=90.0, speed=0.1, coast=0.0, seed=1)
@example(alt=50000.0, above=0.0, lat=-90.0, speed=0.1, coast=0.0, seed=1)
@given(
    alt=st.floats(0.0, 50000.0),
    above=st.floats(0.0, 1.0),
    lat=st.floats(-90.0, 90.0),
    speed=st.floats(0.1, 20.0),
    coast=st.floats(0.0, 172800.0),
    seed=st.integers(0, 2**64 - 1),
)
def test_perturbed_launches_stay_possible(
    *, alt: float, above: float, lat: float, speed: float, coast: float, seed: int
) -> None:
    launch = launches(START, lat, 0.0, alt, asc=speed, desc=speed, equil=alt + above * (50000.0 - alt), coast=coast)
    widest = montecarlo.table({name: d.widest for name, d in DISTRIBUTIONS.items()})
    table = montecarlo.perturbed(launch, seed, 100, widest).table
    assert np.isfinite(table).all()
    assert (np.abs(table[:, kernels.LATITUDE]) <= 90.0).all()
    assert ((table[:, kernels.ALTITUDE] >= 0.0) & (table[:, kernels.ALTITUDE] <= 50000.0)).all()
    assert (table[:, kernels.EQUILIBRIUM_ALTITUDE] >= table[:, kernels.ALTITUDE]).all()
    assert (table[:, kernels.EQUILIBRIUM_ALTITUDE] <= 50000.0).all()
    assert (table[:, [kernels.ASCENT_RATE, kernels.DESCENT_RATE]] >= 0.1).all()
    assert (table[:, kernels.COAST_SECONDS] >= 0.0).all()
    assert (table[:, kernels.DRIFT] >= 0.0).all()


def test_launch_itself_is_left_as_it_was() -> None:
    launch = Launches(LAUNCH.table.copy())
    montecarlo.perturbed(launch, SEED, 10, DISTRIBUTIONS)
    np.testing.assert_array_equal(launch.table, LAUNCH.table)


def test_quantiles_go_through_the_pieces_in_order() -> None:
    two = Distribution(0, 0, ((0.25, 10.0, 20.0), (0.75, -1.0, 0.0)), widest=1.0)
    found = two.quantile(np.array([0.0, 0.125, 0.24999999, 0.25, 0.625, 0.9999999]))
    assert found == pytest.approx([10.0, 15.0, 20.0, -1.0, -0.5, 0.0], abs=1e-5)


@pytest.mark.parametrize(("name", "half_width"), [("asc", 0.3), ("eqtime", 0.2), ("coeff", 0.05)])
def test_replaced_distribution_is_uniform_around_the_value(name: str, half_width: float) -> None:
    distribution = montecarlo.table({name: half_width})[name]
    draws = distribution.draw(SEED, MANY)
    centre = 1.0 if distribution.factor else 0.0
    assert draws.min() == pytest.approx(centre - half_width, abs=0.01 * half_width)
    assert draws.max() == pytest.approx(centre + half_width, abs=0.01 * half_width)
    assert draws.mean() == pytest.approx(centre, abs=0.02 * half_width)
