"""Compiled: how a gas balloon climbs. Altitude against time by Dormand-Prince 5(4), with its events located.

The speed at each altitude balances free lift with drag, F = 1/2 rho v^2 Cd A, A being the cross section of the sphere
of the gas (Yajima et al. 2009, "Scientific Ballooning", chapter 2). The gas has the pressure and temperature of the air
around it, so its density is that of the air divided by its lightness L, the ratio of the molar masses:

    not full          V = m_gas L / rho              F = g (m_gas (L - 1) - m)         v proportional to rho^(-1/6)
    zero-pressure     V constant, surplus vented     F = g (rho V (1 - 1/L) - m)
    super-pressure    V constant, surplus kept       F = g (rho V - m_gas - m)

with m the mass of envelope and payload. Altitudes are geopotential, so that g is constant. Acceleration is left out:
the speed follows its balance within seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from habsim.atmosphere import STANDARD_GRAVITY
from habsim.kernels import CLIMB_ENTRIES

# Columns of a table of balloons: kg, kg, m^3, -, -, and one of the kinds.
GAS_MASS, DEAD_MASS, VOLUME, DRAG, LIGHTNESS, KIND = range(6)
LATEX, ZERO_PRESSURE, SUPER_PRESSURE = 0, 1, 2

# How a climb ended.
BURST, FLOAT, CEILING, NO_LIFT, TOO_SLOW = range(5)

# Columns of what came of a climb: seconds, m, m/s at the start, how it ended, accepted steps.
SECONDS, TOP, START_SPEED, OUTCOME, STEPS = range(5)

FLOAT_MARGIN = 1.0  # m below neutral buoyancy, where a climb that slows down for ever counts as ended
MOST_STEPS = 2000  # of a climb; some 30 do, and at 900 s each these would be three weeks
_FIRST_STEP, _LONGEST_STEP = 20.0, 900.0  # s
_EVENT_TOLERANCE = 1e-7  # m

Floats = npt.NDArray[np.float64]


class Column(NamedTuple):
    """A column of air: ln of the density (kg/m^3) from `bottom` m upwards, `per_metre` entries in a metre, falling."""

    bottom: float
    per_metre: float
    log_density: Floats


_inlined = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def log_density_at(column, alt):
    """ln of the density at `alt` m; beyond the ends the outermost entries hold."""
    position = (alt - column.bottom) * column.per_metre
    if position <= 0.0:
        return column.log_density[0]
    index = int(position)
    if index >= column.log_density.size - 1:
        return column.log_density[column.log_density.size - 1]
    here = column.log_density[index]
    return here + (position - index) * (column.log_density[index + 1] - here)


@_inlined
def altitude_of(column, log_density):
    """Altitude (m) at which the column has this density, the inverse of `log_density_at`; within the column."""
    low, high = 0, column.log_density.size - 1
    if log_density >= column.log_density[low]:
        return column.bottom
    if log_density <= column.log_density[high]:
        return column.bottom + high / column.per_metre
    while high - low > 1:
        middle = (low + high) // 2
        if column.log_density[middle] >= log_density:
            low = middle
        else:
            high = middle
    share = (log_density - column.log_density[low]) / (column.log_density[high] - column.log_density[low])
    return column.bottom + (low + share) / column.per_metre


@_inlined
def limp_speed(balloon):
    """ln of the speed (m/s) of a balloon that is not full, in air of 1 kg/m^3; NaN where it cannot lift."""
    gas = balloon[GAS_MASS] * balloon[LIGHTNESS]
    lift = STANDARD_GRAVITY * (gas - balloon[GAS_MASS] - balloon[DEAD_MASS])
    section = math.pi * (0.75 / math.pi * gas) ** (2.0 / 3.0)
    if not lift > 0.0:
        return math.nan
    return 0.5 * math.log(2.0 * lift / (balloon[DRAG] * section))


@_inlined
def full_speed(balloon):
    """(a, b) of the speed v^2 = a - b / rho of a full balloon, m^2/s^2."""
    volume, gas, dead = balloon[VOLUME], balloon[GAS_MASS], balloon[DEAD_MASS]
    section = math.pi * (0.75 / math.pi * volume) ** (2.0 / 3.0)
    scale = 2.0 * STANDARD_GRAVITY / (balloon[DRAG] * section)
    if balloon[KIND] == ZERO_PRESSURE:
        return scale * volume * (1.0 - 1.0 / balloon[LIGHTNESS]), scale * dead
    return scale * volume, scale * (gas + dead)


@_inlined
def speed_at(column, alt, full, limp, a, b):
    """Ascent speed (m/s) at `alt` m, from `limp_speed` or, where `full`, from `full_speed`."""
    log_density = log_density_at(column, alt)
    if full:
        return math.sqrt(max(a - b * math.exp(-log_density), 0.0))
    return math.exp(limp - log_density * (1.0 / 6.0))


@_inlined
def step(column, alt, k1, length, full, limp, a, b):
    """One step of Dormand-Prince 5(4) of `length` s from `alt` m, where the speed is `k1`.

    Returns the altitude at its end (order 5), the estimate of its error (m), the speed there, and the coefficient of
    the continuous extension (Dormand and Prince 1980; Hairer, Norsett and Wanner 1993, table II.5.2 and II.6).
    """
    k2 = speed_at(column, alt + length * k1 / 5.0, full, limp, a, b)
    k3 = speed_at(column, alt + length * (3.0 * k1 + 9.0 * k2) / 40.0, full, limp, a, b)
    k4 = speed_at(column, alt + length * (44.0 / 45.0 * k1 - 56.0 / 15.0 * k2 + 32.0 / 9.0 * k3), full, limp, a, b)
    slope = 19372.0 / 6561.0 * k1 - 25360.0 / 2187.0 * k2 + 64448.0 / 6561.0 * k3 - 212.0 / 729.0 * k4
    k5 = speed_at(column, alt + length * slope, full, limp, a, b)
    slope = 9017.0 / 3168.0 * k1 - 355.0 / 33.0 * k2 + 46732.0 / 5247.0 * k3 + 49.0 / 176.0 * k4
    k6 = speed_at(column, alt + length * (slope - 5103.0 / 18656.0 * k5), full, limp, a, b)
    end = alt + length * (
        35.0 / 384.0 * k1 + 500.0 / 1113.0 * k3 + 125.0 / 192.0 * k4 - 2187.0 / 6784.0 * k5 + 11.0 / 84.0 * k6
    )
    k7 = speed_at(column, end, full, limp, a, b)
    error = length * (
        71.0 / 57600.0 * k1 - 71.0 / 16695.0 * k3 + 71.0 / 1920.0 * k4 - 17253.0 / 339200.0 * k5 + 22.0 / 525.0 * k6
        - k7 / 40.0
    )  # fmt: skip
    bend = length * (
        -12715105075.0 / 11282082432.0 * k1 + 87487479700.0 / 32700410799.0 * k3 - 10690763975.0 / 1880347072.0 * k4
        + 701980252875.0 / 199316789632.0 * k5 - 1453857185.0 / 822651844.0 * k6 + 69997945.0 / 29380423.0 * k7
    )  # fmt: skip
    return end, abs(error), k7, bend


@_inlined
def length_to(column, alt, k1, target, length, full, limp, a, b):
    """Length (s) of the step from `alt` that ends at `target` m, which one of `length` s passes: Newton's method."""
    for _ in range(20):
        end, _, speed, _ = step(column, alt, k1, length, full, limp, a, b)
        if abs(end - target) < _EVENT_TOLERANCE or not speed > 0.0:
            break
        length = max(length + (target - end) / speed, 0.0)
    return length


@_inlined
def within(pieces, piece, share):
    """Altitude (m) at `share` of an accepted step, by the continuous extension of order 4."""
    start, end, length = pieces[piece, 1], pieces[piece, 2], pieces[piece, 0]
    rise = end - start
    first = length * pieces[piece, 3] - rise
    second = rise - length * pieces[piece, 4] - first
    rest = 1.0 - share
    return start + share * (rise + rest * (first + share * (second + rest * pieces[piece, 5])))


@njit(nogil=True, cache=True, error_model="numpy")
def climb(column, balloons, start, ceiling, tolerance, table, per_second, result):
    """Climb of n balloons from `start` m until they burst, float, or are at `ceiling` m.

    `balloons` (n, 6), columns named above. `tolerance` is the error of a step, m. Fills `table` (n, CLIMB_ENTRIES):
    altitudes (m) evenly spaced in time, `per_second` (n,) of them in a second, the last two at the top; and `result`
    (n, 5), columns named above. A balloon that cannot lift stays at `start`, one that is too slow where it got to.
    """
    pieces = np.empty((MOST_STEPS, 6))  # of a climb: length, altitudes and speeds at both ends, `bend`
    for n in range(balloons.shape[0]):
        balloon = balloons[n]
        limp = limp_speed(balloon)
        a, b = full_speed(balloon)
        full_altitude = altitude_of(column, math.log(balloon[GAS_MASS] * balloon[LIGHTNESS] / balloon[VOLUME]))
        outcome = BURST if balloon[KIND] == LATEX else FLOAT
        top = full_altitude if balloon[KIND] == LATEX else altitude_of(column, math.log(b / a)) - FLOAT_MARGIN
        if top > ceiling:
            top, outcome = ceiling, CEILING
        full = balloon[KIND] != LATEX and start >= full_altitude
        if math.isnan(limp):
            top, outcome = start, NO_LIFT
        alt, seconds, count = start, 0.0, 0
        speed = 0.0 if outcome == NO_LIFT else speed_at(column, alt, full, limp, a, b)
        start_speed = speed
        length = _FIRST_STEP
        while alt < top and count < MOST_STEPS and speed > 0.0:
            target = full_altitude if not full and full_altitude < top else top
            end, error, after, bend = step(column, alt, speed, length, full, limp, a, b)
            if error > tolerance:
                length *= max(0.2, 0.9 * (tolerance / error) ** 0.2)
                continue
            reached = end >= target
            if reached:
                length = length_to(column, alt, speed, target, length, full, limp, a, b)
                end, error, after, bend = step(column, alt, speed, length, full, limp, a, b)
                end = target
            pieces[count, 0] = length
            pieces[count, 1] = alt
            pieces[count, 2] = end
            pieces[count, 3] = speed
            pieces[count, 4] = after
            pieces[count, 5] = bend
            count += 1
            seconds += length
            alt, speed = end, after
            if reached and not full and alt < top:
                full = True
                speed = speed_at(column, alt, full, limp, a, b)
            length = min(length * min(5.0, 0.9 * (tolerance / max(error, 1e-12)) ** 0.2), _LONGEST_STEP)
            length = max(length, 1e-3)
        if alt < top:
            outcome = TOO_SLOW
        result[n, SECONDS] = seconds
        result[n, TOP] = alt
        result[n, START_SPEED] = start_speed
        result[n, OUTCOME] = outcome
        result[n, STEPS] = count
        _write(pieces, count, seconds, alt, table[n])
        per_second[n] = (CLIMB_ENTRIES - 2) / seconds if seconds > 0.0 else 1.0


@_inlined
def _write(pieces, count, seconds, top, row):
    """Altitudes evenly spaced in time into `row`, from the accepted steps."""
    last = row.size - 2
    piece, began = 0, 0.0
    for entry in range(last):
        if count == 0:
            row[entry] = top
            continue
        time = seconds * entry / last
        while piece < count - 1 and time > began + pieces[piece, 0]:
            began += pieces[piece, 0]
            piece += 1
        row[entry] = within(pieces, piece, min((time - began) / pieces[piece, 0], 1.0))
    row[last] = top
    row[last + 1] = top
