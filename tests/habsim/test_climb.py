"""Climbs of gas balloons: Dormand-Prince against closed forms and a plain integration, its order, its events."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from habsim import balloons, climb, kernels
from habsim.balloons import BalloonSpec
from habsim.climb import Column
from habsim.envelopes import ENVELOPES, GASES

Floats = npt.NDArray[np.float64]

GRAVITY = 9.80665
SCALE_HEIGHT = 7000.0  # m
ISOTHERMAL = Column(-1000.0, 0.01, np.log(1.2) - np.arange(-1000.0, 60001.0, 100.0) / SCALE_HEIGHT)
STANDARD = balloons.standard_column()

LATEX = BalloonSpec(ENVELOPES["kaymont-1200"], GASES["helium"], 1.05, 0.55)
ZERO_PRESSURE = BalloonSpec(ENVELOPES["raven-40mcf"], GASES["helium"], 2700.0, 740.0)
SUPER_PRESSURE = BalloonSpec(ENVELOPES["nasa-spb-19mcf"], GASES["helium"], 2268.0, 855.0)
ALL = pytest.mark.parametrize("spec", [LATEX, ZERO_PRESSURE, SUPER_PRESSURE], ids=lambda spec: spec.envelope.kind)


def climbed(
    spec: BalloonSpec,
    start: float = 0.0,
    column: Column = STANDARD,
    tolerance: float = balloons.TOLERANCE,
    ceiling: float = 6e4,
) -> tuple[Floats, float, Floats]:
    """The table of a climb, its entries in a second, and what came of it."""
    table, per_second, result = np.empty((1, kernels.CLIMB_ENTRIES)), np.empty(1), np.empty((1, 5))
    climb.climb(column, np.array([spec.row()]), start, ceiling, tolerance, table, per_second, result)
    return table[0], float(per_second[0]), result[0]


def air_density(column: Column, alt: float) -> float:
    return math.exp(
        np.interp((alt - column.bottom) * column.per_metre, np.arange(column.log_density.size), column.log_density)
    )


def plain_speed(spec: BalloonSpec, column: Column, alt: float) -> float:
    """Ascent speed from forces alone: buoyancy, weights and drag."""
    rho = air_density(column, alt)
    gas_density = rho / spec.gas.lightness
    volume, gas = min(spec.gas_mass / gas_density, spec.envelope.volume), spec.gas_mass
    if spec.envelope.kind == "zero-pressure":
        gas = gas_density * volume
    lift = GRAVITY * (rho * volume - gas - spec.dead_mass)
    radius = (0.75 * volume / math.pi) ** (1 / 3)
    return math.sqrt(max(lift, 0.0) / (0.5 * rho * spec.envelope.drag * math.pi * radius**2))


def fine_times(spec: BalloonSpec, targets: Floats, length: float = 0.5) -> Floats:
    """When a fourth-order Runge-Kutta of short steps is at altitudes (m) that it passes."""
    times, alt, time, speed = [], 0.0, 0.0, lambda z: plain_speed(spec, STANDARD, z)
    for target in targets:
        while True:
            k1 = speed(alt)
            k2 = speed(alt + 0.5 * length * k1)
            k3 = speed(alt + 0.5 * length * k2)
            k4 = speed(alt + length * k3)
            after = alt + length * (k1 + 2 * k2 + 2 * k3 + k4) / 6
            if after >= target:
                times.append(time + (target - alt) / (after - alt) * length)
                break
            alt, time = after, time + length
    return np.array(times)


def test_climb_in_isothermal_air_is_its_closed_form() -> None:
    """With rho = rho0 exp(-z/H) the speed is v0 exp(z/6H), so z = -6 H ln(1 - v0 t / 6H)."""
    table, per_second, result = climbed(LATEX, column=ISOTHERMAL, tolerance=1e-6)
    v0 = LATEX.ascent_rate(1.2)
    reach = 6.0 * SCALE_HEIGHT
    burst = SCALE_HEIGHT * math.log(1.2 * LATEX.envelope.volume / (LATEX.gas_mass * LATEX.gas.lightness))
    assert result[climb.TOP] == pytest.approx(burst, abs=1e-3)
    assert result[climb.START_SPEED] == pytest.approx(v0, rel=1e-12)
    assert result[climb.SECONDS] == pytest.approx(reach / v0 * -math.expm1(-burst / reach), abs=1e-4)
    times = np.arange(kernels.CLIMB_ENTRIES - 1) / per_second
    np.testing.assert_allclose(table[:-1], -reach * np.log1p(-v0 * times / reach), atol=1e-3)


@ALL
def test_climb_is_that_of_a_fine_runge_kutta(spec: BalloonSpec) -> None:
    table, per_second, result = climbed(spec)
    targets = np.array([1000.0, 10000.0, 12000.0, 20000.0, 30000.0, result[climb.TOP] - 50.0, result[climb.TOP]])
    times = fine_times(spec, targets)
    assert result[climb.SECONDS] == pytest.approx(times[-1], abs=0.05)
    found = np.interp(times * per_second, np.arange(table.size), table)
    near = [0.1, 0.1, 0.1, 0.1, 0.1, 2.0, 0.1]  # the line between two entries is worst where a balloon comes to rest
    assert (np.abs(found - targets) < near).all()


def test_order_of_a_step_is_at_least_five() -> None:
    reach = 6.0 * SCALE_HEIGHT
    errors = []
    for count in (8, 16, 32):
        length, alt = 5600.0 / count, 0.0
        limp = climb.limp_speed(np.array(LATEX.row()))
        v0 = LATEX.ascent_rate(1.2)
        for _ in range(count):
            speed = climb.speed_at(ISOTHERMAL, alt, False, limp, 1.0, 1.0)
            alt = climb.step(ISOTHERMAL, alt, speed, length, False, limp, 1.0, 1.0)[0]
        errors.append(abs(alt + reach * math.log1p(-v0 * 5600.0 / reach)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 4.8).all()


def test_order_inside_a_step_is_four() -> None:
    """Half-way through one step from the ground the error falls with the fifth power of its length."""
    reach, v0 = 6.0 * SCALE_HEIGHT, LATEX.ascent_rate(1.2)
    limp = climb.limp_speed(np.array(LATEX.row()))
    errors = []
    for length in (2400.0, 1200.0, 600.0):
        speed = climb.speed_at(ISOTHERMAL, 0.0, False, limp, 1.0, 1.0)
        end, _, after, bend = climb.step(ISOTHERMAL, 0.0, speed, length, False, limp, 1.0, 1.0)
        pieces = np.array([[length, 0.0, end, speed, after, bend]])
        inside = climb.within(pieces, 0, 0.4)
        errors.append(abs(inside + reach * math.log1p(-v0 * 0.4 * length / reach)))
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([5.0, 5.0], abs=0.7)


@ALL
def test_a_tighter_tolerance_changes_little(spec: BalloonSpec) -> None:
    usual, tight = climbed(spec, tolerance=balloons.TOLERANCE), climbed(spec, tolerance=1e-7)
    assert usual[2][climb.SECONDS] == pytest.approx(tight[2][climb.SECONDS], abs=0.05)
    assert usual[2][climb.STEPS] < tight[2][climb.STEPS]
    np.testing.assert_allclose(usual[0], tight[0], atol=0.5)


def test_burst_is_located_where_the_envelope_is_as_large_as_it_gets() -> None:
    _, _, result = climbed(LATEX)
    assert result[climb.OUTCOME] == climb.BURST
    rho = air_density(STANDARD, result[climb.TOP])
    assert LATEX.volume(rho) == pytest.approx(LATEX.envelope.volume, rel=1e-9)


@pytest.mark.parametrize("spec", [ZERO_PRESSURE, SUPER_PRESSURE], ids=["zero-pressure", "super-pressure"])
def test_float_is_located_at_neutral_buoyancy(spec: BalloonSpec) -> None:
    _, _, result = climbed(spec)
    assert result[climb.OUTCOME] == climb.FLOAT
    rho = air_density(STANDARD, result[climb.TOP] + climb.FLOAT_MARGIN)
    gas = spec.gas_mass if spec.envelope.kind == "super-pressure" else rho * spec.envelope.volume / spec.gas.lightness
    assert rho * spec.envelope.volume == pytest.approx(spec.dead_mass + gas, rel=1e-9)


@ALL
def test_the_table_rises_evenly_in_time_to_the_top(spec: BalloonSpec) -> None:
    table, per_second, result = climbed(spec, start=250.0)
    assert table[0] == 250.0
    assert (np.diff(table[:-1]) > 0.0).all()
    assert table[-1] == table[-2] == result[climb.TOP]
    assert (kernels.CLIMB_ENTRIES - 2) / per_second == pytest.approx(result[climb.SECONDS], rel=1e-12)
    middle = kernels.CLIMB_ENTRIES // 2
    rise = (table[middle + 1] - table[middle - 1]) / 2.0 * per_second
    assert rise == pytest.approx(plain_speed(spec, STANDARD, table[middle]), rel=1e-3)


@ALL
def test_what_has_begun_higher_goes_on_alike(spec: BalloonSpec) -> None:
    table, per_second, result = climbed(spec)
    _, _, later = climbed(spec, start=float(table[200]))
    assert later[climb.SECONDS] + 200 / per_second == pytest.approx(result[climb.SECONDS], abs=0.02)


def changed(**row: float) -> Callable[[], Floats]:
    def make() -> Floats:
        found = np.array(LATEX.row())
        for name, value in row.items():
            found[getattr(climb, name)] = value
        return found

    return make


@pytest.mark.parametrize(
    ("row", "outcome", "top"),
    [
        (changed(DEAD_MASS=10.0), climb.NO_LIFT, 100.0),
        (changed(DEAD_MASS=0.55 * (LATEX.gas.lightness - 1.0)), climb.NO_LIFT, 100.0),  # in balance with its gas
        (changed(VOLUME=1e6), climb.CEILING, 45000.0),
        (changed(DRAG=1e6), climb.TOO_SLOW, None),
        (changed(VOLUME=3.0), climb.BURST, 100.0),  # it is larger than that on the ground
    ],
)
def test_other_ends(row: Callable[[], Floats], outcome: int, top: float | None) -> None:
    table, per_second, result = np.empty((1, kernels.CLIMB_ENTRIES)), np.empty(1), np.empty((1, 5))
    climb.climb(STANDARD, row()[np.newaxis], 100.0, 45000.0, 1e-3, table, per_second, result)
    assert result[0, climb.OUTCOME] == outcome
    if top is not None:
        assert result[0, climb.TOP] == top
    assert 100.0 <= result[0, climb.TOP] <= 45000.0
    assert np.isfinite(table).all()
    assert table[0, -1] == result[0, climb.TOP]
    assert per_second[0] > 0.0


def test_an_altitude_is_found_from_its_density() -> None:
    for alt in (-1000.0, -10.0, 0.0, 12345.6, 47000.0, 62000.0):
        assert climb.altitude_of(STANDARD, climb.log_density_at(STANDARD, alt)) == pytest.approx(alt, abs=1e-6)
    assert climb.altitude_of(STANDARD, 5.0) == -1000.0
    assert climb.altitude_of(STANDARD, -50.0) == 62000.0
