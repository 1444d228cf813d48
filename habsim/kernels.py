"""Compiled inner loops: interpolation of winds and ground, and the integration of flights.

Everything here works on numbers and arrays whose values were checked before; nothing allocates in a loop, and nothing
holds the interpreter lock. `lat` and `lon` are degrees (lon 0..360), `alt` geopotential metres, times seconds since
the first time of the wind field, `c` the vertical coordinate in which winds are linear between levels (see `Winds`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from habsim.atmosphere import EARTH_RADIUS
from habsim.halffloat import weighted_sum
from habsim.memory import byte_at, real_at, set_byte, set_whole, whole_at

DEGREES = 180.0 / math.pi
POLAR_CAP = 70.0  # degrees: beyond it steps are taken in three dimensions, where meridians do not converge
LOWEST_GROUND = -500.0  # m, below every shore
LEVEL_TOLERANCE = 5.0  # m: a level this close counts as reached
SCALE_HEIGHT_INVERSE = 1.0 / 7000.0  # 1/m: the logarithm of the pressure falls about this much in a metre
GROUND_TOLERANCE = 0.01  # m
TIME_TOLERANCE = 1e-6  # s: Unix seconds as floating-point numbers are 2.4e-7 s apart
NARROWEST_CELL = 0.1  # of its width at the equator: nearer to the poles lie the sea and the even ice of Antarctica
MAX_STEPS = 5_000_000  # of one flight; a guard, far above what any accepted request needs
SCOUT_SECONDS = 6 * 3600.0  # for so long a flight goes on in the last winds it had, to see which tiles it will need

# Columns of a table of launches.
TIME, LATITUDE, LONGITUDE, ALTITUDE, ASCENT_RATE, DESCENT_RATE, EQUILIBRIUM_ALTITUDE, COAST_SECONDS, DRIFT = range(9)

# What ends a phase, and what moves it vertically.
END_ALTITUDE, END_DURATION, END_GROUND = 0, 1, 2
CONSTANT_RATE, DRAG_BALANCE, CLIMB = 0, 1, 2

# Of a climb in its table: one about every 10 s, between which a line is right to 0.1 m, and to 2 m before a float.
CLIMB_ENTRIES = 512

# How a flight ended.
LANDED, LAUNCH_OUT_OF_TIME, OUT_OF_TIME, BAD_WIND, TOO_LONG, NOT_RESIDENT = 0, 1, 2, 3, 4, 5

# What a zone is: the unit vector to its centre, altitudes (m) and Unix seconds within which it counts.
ZONE_X, ZONE_Y, ZONE_Z, ZONE_LOWEST, ZONE_HIGHEST, ZONE_FROM, ZONE_TO = range(7)

# What a flight met on its way, as bits.
ABOVE_TOP_LEVEL, BELOW_BOTTOM_LEVEL, EARLY_GROUND = 1, 2, 4

Floats = npt.NDArray[np.float64]
Shorts = npt.NDArray[np.int16]


class Winds(NamedTuple):
    """A wind field as the kernel reads it.

    `data` and `height` are addresses of the half-precision arrays (lat, lon, level, time, 2) and (lat, lon, level,
    time); `height` is 0 when there is none. `start` is the first time, Unix seconds. Without heights `c` is the
    logarithm of the pressure and `level_c` (level,) that of each level; with heights `c` is minus the altitude and
    `level_c` minus the standard height of each level, to which the file's differences are added. `c` ascends with the
    level index either way. `level_alt` (level,) m.

    A file that is only partly resident has `tile_shift` >= 0: a tile is a run of 2**tile_shift columns in one row, and
    `tiles` is the address of a byte for each (row * tiles_in_row + tile), 0 where the tile is not there yet. Who looks
    beyond what is there marks these tiles in the bytes at `wanted`, and gets the winds of the last cell that was there.
    `held` is the address of three whole numbers: that cell (row * columns + column, -1 when there was none), how often
    that happened in this flight, and when first (seconds since the first time).
    """

    data: int
    height: int
    start: float
    rows: int
    columns: int
    levels: int
    times: int
    interval: float
    level_c: Floats
    level_alt: Floats
    tile_shift: int
    tiles_in_row: int
    tiles: int
    wanted: int
    held: int


class Ground(NamedTuple):
    """Ground elevation, m: cell centres from `north` by `row_step` degrees southwards and from `west` eastwards.

    `highest` (180, 360): for each whole degree (from 90 north, from 0 east) nothing within a degree's distance is
    higher.
    """

    elevation: Shorts
    north: float
    west: float
    row_step: float
    column_step: float
    highest: Shorts


class Air(NamedTuple):
    """Tables of the standard atmosphere over altitude, from `bottom` m with `per_metre` entries in a metre.

    `fall` is the drag-scaled altitude, see `atmosphere.fall_altitude`: an object that falls with constant drag
    crosses it at its sea-level speed. `alt_of_fall` is its inverse, from fall[0], `per_fall_metre` entries in a metre.

    Climbs of gas balloons, see `habsim.climb`, by their addresses: `climb` holds CLIMB_ENTRIES altitudes (m) for each,
    evenly spaced in time with `climb_per_second` of them in a second, the last two at its top; `climb_of` is the climb
    of each flight, a whole number. 0 where no phase is a climb.
    """

    bottom: float
    per_metre: float
    log_pressure: Floats
    fall: Floats
    per_fall_metre: float
    alt_of_fall: Floats
    climb: int
    climb_per_second: int
    climb_of: int


# Inlining matters: passing the tuples of arrays between functions costs more than the physics. With numpy's error
# model a division needs no check that could raise.
_inlined = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

_blend_winds = weighted_sum(lanes=4, terms=8)
_blend_heights = weighted_sum(lanes=2, terms=4)


@_inlined
def table_value(table, first, per_entry, x):
    """`table` read linearly at `x`, its first entry at `first`, `per_entry` the inverse of its spacing.

    Beyond the ends the outermost entries hold.
    """
    position = (x - first) * per_entry
    if position <= 0.0:
        return table[0]
    index = int(position)
    if index >= table.size - 1:
        return table[table.size - 1]
    return table[index] + (position - index) * (table[index + 1] - table[index])


@_inlined
def ground_at(ground, lat, lon):
    """Bilinear elevation between cell centres, m; 0 north of the first row by more than a cell."""
    rows, columns = ground.elevation.shape
    y = (ground.north - lat) / ground.row_step
    if y < -1.0:
        return 0.0
    y = min(max(y, 0.0), rows - 1.0)
    row = min(int(y), rows - 2)
    down = y - row
    x = (lon - ground.west) / ground.column_step
    x -= math.floor(x / columns) * columns
    column = int(x)
    right = x - column
    if column >= columns:
        column = 0
    other = column + 1 if column + 1 < columns else 0
    upper = ground.elevation[row, column] * (1.0 - right) + ground.elevation[row, other] * right
    lower = ground.elevation[row + 1, column] * (1.0 - right) + ground.elevation[row + 1, other] * right
    return upper * (1.0 - down) + lower * down


@_inlined
def ground_at_each(ground, points, out):
    """`ground_at` for points (2, n), latitudes and longitudes."""
    for i in range(out.size):
        out[i] = ground_at(ground, points[0, i], points[1, i])


@_inlined
def highest_near(ground, lat, lon):
    """No ground within a degree's distance is higher than this, m."""
    return ground.highest[min(int(90.0 - lat), 179), min(int(lon), 359)]


@_inlined
def vertical_coordinate(winds, air, alt):
    if winds.height != 0:
        return -alt
    return table_value(air.log_pressure, air.bottom, air.per_metre, alt)


@_inlined
def is_resident(winds, row, column):
    """Whether the four columns of a cell are in tiles that are there."""
    first = winds.tiles + row * winds.tiles_in_row + (column >> winds.tile_shift)
    second = winds.tiles + row * winds.tiles_in_row + ((column + 1) >> winds.tile_shift)
    below = winds.tiles_in_row
    return byte_at(first) & byte_at(second) & byte_at(first + below) & byte_at(second + below) != 0


@njit(nogil=True, cache=True, error_model="numpy")
def miss(tiles, wanted, held, rows, columns, shift, in_row, row, column, time):
    """Mark the tiles of a cell and of those around it as wanted; returns the cell whose winds stand in.

    The arguments are those of `Winds`; see there.
    """
    around = columns - 1
    for r in range(max(row - 1, 0), min(row + 3, rows)):
        for c in range(column - 1, column + 3):
            tile = r * in_row + ((c if 0 <= c <= around else c % around) >> shift)
            if byte_at(tiles + tile) == 0:
                set_byte(wanted + tile, np.uint8(1))
    misses = whole_at(held + 8)
    if misses == 0:
        set_whole(held + 16, np.int64(time))
    set_whole(held + 8, misses + 1)
    return max(whole_at(held), 0)


@_inlined
def wind_at(winds, lat, lon, time, c, c_ahead, level):
    """Wind at a point, linear in latitude, longitude, time and `c`; beyond the outermost levels their wind holds.

    The pair of levels is the one around `c_ahead`, a little further on the way, so that a point on a level belongs to
    the layer it is about to enter. `level` is where the search starts. Returns eastward and northward wind (m/s), the
    index of the upper level of the pair, and the altitudes of its two levels (upper, lower).
    """
    y = (90.0 - lat) * ((winds.rows - 1) / 180.0)
    row = min(max(int(y), 0), winds.rows - 2)
    x = lon * ((winds.columns - 1) / 360.0)
    column = min(max(int(x), 0), winds.columns - 2)
    if winds.tile_shift >= 0:
        if is_resident(winds, row, column):
            set_whole(winds.held, row * winds.columns + column)
        else:
            cell = miss(
                winds.tiles, winds.wanted, winds.held, winds.rows, winds.columns, winds.tile_shift, winds.tiles_in_row,
                row, column, time,
            )  # fmt: skip
            row, column = cell // winds.columns, cell % winds.columns
            y = min(max(y, float(row)), row + 1.0)
            x = min(max(x, float(column)), column + 1.0)
    down = y - row
    right = x - column
    s = time / winds.interval
    step = min(max(int(s), 0), winds.times - 2)
    later = np.float32(s - step)
    corners = (
        np.float32((1.0 - down) * (1.0 - right)),
        np.float32((1.0 - down) * right),
        np.float32(down * (1.0 - right)),
        np.float32(down * right),
    )
    # The four columns at this time, counted in values of (lat, lon, level, time).
    north_west = (row * winds.columns + column) * winds.levels * winds.times + step
    north_east = north_west + winds.levels * winds.times
    south_west = north_west + winds.columns * winds.levels * winds.times
    south_east = south_west + winds.levels * winds.times

    if winds.height != 0:
        columns = (2 * north_west, 2 * north_east, 2 * south_west, 2 * south_east)
        above = _level_coordinate(winds, columns, corners, later, level)
        below = _level_coordinate(winds, columns, corners, later, level + 1)
        while level > 0 and c_ahead < above:
            level -= 1
            below = above
            above = _level_coordinate(winds, columns, corners, later, level)
        while level < winds.levels - 2 and c_ahead > below:
            level += 1
            above = below
            below = _level_coordinate(winds, columns, corners, later, level + 1)
        alt_above, alt_below = -above, -below
    else:
        while level > 0 and c_ahead < winds.level_c[level]:
            level -= 1
        while level < winds.levels - 2 and c_ahead > winds.level_c[level + 1]:
            level += 1
        above, below = winds.level_c[level], winds.level_c[level + 1]
        alt_above, alt_below = winds.level_alt[level], winds.level_alt[level + 1]

    lower = np.float32(min(max((c - above) / (below - above), 0.0), 1.0))
    upper = np.float32(1.0) - lower
    top = 4 * winds.times * level
    bottom = top + 4 * winds.times
    now_u, now_v, next_u, next_v = _blend_winds(
        winds.data,
        (
            4 * north_west + top,
            4 * north_east + top,
            4 * south_west + top,
            4 * south_east + top,
            4 * north_west + bottom,
            4 * north_east + bottom,
            4 * south_west + bottom,
            4 * south_east + bottom,
        ),
        (
            corners[0] * upper,
            corners[1] * upper,
            corners[2] * upper,
            corners[3] * upper,
            corners[0] * lower,
            corners[1] * lower,
            corners[2] * lower,
            corners[3] * lower,
        ),
    )
    u = float(now_u + later * (next_u - now_u))
    v = float(now_v + later * (next_v - now_v))
    return u, v, level, alt_above, alt_below


@njit(nogil=True, cache=True, error_model="numpy")
def winds_over(winds, air, lat, lon, time, altitudes, out):
    """Wind over one point at `altitudes` (n,), m, into `out` (n, 2): eastward and northward, m/s.

    Quickest where the altitudes rise or fall, so that the search for a level starts next to it.
    """
    level = winds.levels - 2
    for i in range(altitudes.size):
        c = vertical_coordinate(winds, air, altitudes[i])
        u, v, level, _, _ = wind_at(winds, lat, lon, time, c, c, level)
        out[i, 0] = u
        out[i, 1] = v


@_inlined
def _level_coordinate(winds, columns, corners, later, level):
    """`c` of a level at the point, where the file has heights: minus the interpolated geopotential height."""
    shift = 2 * winds.times * level
    now, after = _blend_heights(
        winds.height, (columns[0] + shift, columns[1] + shift, columns[2] + shift, columns[3] + shift), corners
    )
    return winds.level_c[level] - float(now + later * (after - now))


@_inlined
def move(lat, lon, east, north, radius, basis_lat, basis_lon):
    """The point `east` and `north` metres from (lat, lon) on a sphere of `radius` m.

    The two directions are those at (basis_lat, basis_lon), where the wind was taken. Near a pole the step is made in
    three dimensions: position plus displacement, scaled back to the sphere.
    """
    if abs(lat) < POLAR_CAP:
        lat += DEGREES * north / radius
        lon += DEGREES * east / (radius * math.cos(basis_lat / DEGREES))
    else:
        lat, lon = _move_in_space(lat, lon, east / radius, north / radius, basis_lat, basis_lon)
    if lon < 0.0:
        lon += 360.0
    if lon >= 360.0:  # also what a hair below 0 became
        lon -= 360.0
    return lat, lon


@_inlined
def _move_in_space(lat, lon, east, north, basis_lat, basis_lon):
    sin_lat, cos_lat = math.sin(basis_lat / DEGREES), math.cos(basis_lat / DEGREES)
    sin_lon, cos_lon = math.sin(basis_lon / DEGREES), math.cos(basis_lon / DEGREES)
    ring = math.cos(lat / DEGREES)
    x = ring * math.cos(lon / DEGREES) - east * sin_lon - north * sin_lat * cos_lon
    y = ring * math.sin(lon / DEGREES) + east * cos_lon - north * sin_lat * sin_lon
    z = math.sin(lat / DEGREES) + north * cos_lat
    return DEGREES * math.atan2(z, math.hypot(x, y)), DEGREES * math.atan2(y, x)


@_inlined
def climb_altitude(air, entry):
    """Altitude (m) of an entry of the climbs' table, a whole number."""
    return real_at(air.climb + 8 * entry)


@_inlined
def climb_entry(air, climb, target):
    """Entry of the climbs' table, with its fraction, at which `climb` is first at `target` m; one of its own."""
    low = climb * CLIMB_ENTRIES
    high = low + CLIMB_ENTRIES - 1
    if target <= climb_altitude(air, low):
        return float(low)
    while high - low > 1:
        middle = (low + high) // 2
        if climb_altitude(air, middle) < target:
            low = middle
        else:
            high = middle
    here = climb_altitude(air, low)
    rise = climb_altitude(air, high) - here
    return low + (min(target - here, rise) / rise if rise > 0.0 else 0.0)


@_inlined
def scaled_altitude(air, kind, flight, alt):
    """What passes evenly in a phase: the drag-scaled altitude, m, or in a climb its entry in the table."""
    if kind == CLIMB:
        return climb_entry(air, whole_at(air.climb_of + 8 * flight), alt)
    return table_value(air.fall, air.bottom, air.per_metre, alt)


@_inlined
def altitude_after(air, kind, rate, alt, fall, elapsed):
    """Altitude (m) after `elapsed` s of a phase that began at `alt`, whose `scaled_altitude` is `fall`."""
    if kind == CLIMB:
        climb = int(fall) // CLIMB_ENTRIES
        entry = fall + real_at(air.climb_per_second + 8 * climb) * elapsed
        index = min(int(entry), (climb + 1) * CLIMB_ENTRIES - 2)
        here = climb_altitude(air, index)
        return here + min(entry - index, 1.0) * (climb_altitude(air, index + 1) - here)
    if kind == DRAG_BALANCE:
        return table_value(air.alt_of_fall, air.fall[0], air.per_fall_metre, fall + rate * elapsed)
    return alt + rate * elapsed


@_inlined
def time_to_altitude(air, kind, rate, alt, fall, target):
    """Seconds of a phase that began at `alt` until it is at `target` m; negative when that lies behind."""
    if kind == CLIMB:
        climb = int(fall) // CLIMB_ENTRIES
        return (climb_entry(air, climb, target) - fall) / real_at(air.climb_per_second + 8 * climb)
    if kind == DRAG_BALANCE:
        return (table_value(air.fall, air.bottom, air.per_metre, target) - fall) / rate
    return (target - alt) / rate


@_inlined
def step_from(winds, air, kind, rate, phase, point, stage, length, direction, drift):
    """One explicit midpoint step of `length` s. Returns latitude, longitude, altitude and `c` at its end.

    `phase` is (alt, fall) at its begin, `point` (lat, lon, alt, c, time, elapsed) at the step's, `stage` (u, v, level)
    the wind there. The wind is linear in `c` within a layer, so it is taken at the mean of `c` over the step
    (Simpson's rule), which removes the error of the vertical motion; what is left is second order in the drift.
    """
    lat, lon, alt, c, time, elapsed = point
    u, v, level = stage
    middle_alt = altitude_after(air, kind, rate, phase[0], phase[1], elapsed + 0.5 * length)
    end_alt = altitude_after(air, kind, rate, phase[0], phase[1], elapsed + length)
    end_c = vertical_coordinate(winds, air, end_alt)
    mean_c = (c + 4.0 * vertical_coordinate(winds, air, middle_alt) + end_c) * (1.0 / 6.0)
    half = 0.5 * length * direction * drift
    middle_lat, middle_lon = move(lat, lon, u * half, v * half, EARTH_RADIUS + alt, lat, lon)
    u, v, level, _, _ = wind_at(winds, middle_lat, middle_lon, time + 0.5 * length * direction, mean_c, mean_c, level)
    whole = length * direction * drift
    lat, lon = move(lat, lon, u * whole, v * whole, EARTH_RADIUS + middle_alt, middle_lat, middle_lon)
    return lat, lon, end_alt, end_c


@_inlined
def time_of_ground(winds, air, ground, kind, rate, phase, point, stage, length, direction, drift):
    """Seconds into a step of `length` s, which ends below the ground, at which it meets the ground.

    Bisection with the secant (Illinois) on the height above ground of steps of different length, so the landing is as
    exact as a step.
    """
    early, late = 0.0, length
    lat, lon, alt, _ = step_from(winds, air, kind, rate, phase, point, stage, length, direction, drift)
    above = max(point[2] - ground_at(ground, point[0], point[1]), 0.0)
    under = alt - ground_at(ground, lat, lon)
    for _ in range(60):
        if late - early < 1e-4 or above - under < 1e-9:
            break
        middle = early + (late - early) * above / (above - under)
        lat, lon, alt, _ = step_from(winds, air, kind, rate, phase, point, stage, middle, direction, drift)
        height = alt - ground_at(ground, lat, lon)
        if abs(height) < GROUND_TOLERANCE:
            return middle
        if height > 0.0:
            early, above = middle, height
            under *= 0.5
        else:
            late, under = middle, height
            above *= 0.5
    return late


@_inlined
def _share(best, low, high, began, length):
    """The share of a step of `length` s next to `best` that lies between two times of the phase, s."""
    if length <= 0.0:
        return 0.0
    return min(max(best, (low - began) / length), max(high - began, low - began) / length)


@_inlined
def _chord_at(share, x, y, z, dx, dy, dz, zone):
    """The unit vector at a share of the way from (x, y, z) by (dx, dy, dz), and its squared chord to the centre."""
    x, y, z = x + share * dx, y + share * dy, z + share * dz
    norm = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / norm, y / norm, z / norm
    return x, y, z, (x - zone[ZONE_X]) ** 2 + (y - zone[ZONE_Y]) ** 2 + (z - zone[ZONE_Z]) ** 2


@njit(nogil=True, cache=True, error_model="numpy")
def note_approach(air, kind, rate, phase, began, direction, start, end, zone, closest):
    """Note in `closest` where a step comes closest to the centre of `zone`, if it is closer than what is there.

    `phase` is (alt, fall) at its begin, `began` its Unix seconds, `start` and `end` (lat, lon, elapsed) of the step.
    What counts is the part of the step within the zone's altitudes and times. Its path is the arc of the great
    circle, run through by the chord P + f D of unit vectors: towards the centre T it points best where the derivative
    of T.(P + f D) / |P + f D| vanishes, at f = (T.D - T.P P.D) / (T.P D.D - T.D P.D), and T.P is 1 where it matters.

    `closest` (6,): Unix seconds, lat, lon, alt, and the square of the chord to the centre on the unit sphere; last that
    square for the part of the way within the zone's times, whatever its altitude.
    """
    first, last = direction * (zone[ZONE_FROM] - began), direction * (zone[ZONE_TO] - began)
    low, high = max(start[2], min(first, last)), min(end[2], max(first, last))
    if low > high + TIME_TOLERANCE:
        return
    ring, other = math.cos(start[0] / DEGREES), math.cos(end[0] / DEGREES)
    x, y, z = ring * math.cos(start[1] / DEGREES), ring * math.sin(start[1] / DEGREES), math.sin(start[0] / DEGREES)
    dx, dy = other * math.cos(end[1] / DEGREES) - x, other * math.sin(end[1] / DEGREES) - y
    dz = math.sin(end[0] / DEGREES) - z
    square = dx * dx + dy * dy + dz * dz
    along = zone[ZONE_X] * dx + zone[ZONE_Y] * dy + zone[ZONE_Z] * dz
    towards = zone[ZONE_X] * x + zone[ZONE_Y] * y + zone[ZONE_Z] * z
    # P.D is -D.D / 2, because both ends are on the sphere.
    turn = square * (towards + 0.5 * along)
    # On the far side of the Earth that is where it points worst: one of the ends is best.
    best = (along + 0.5 * towards * square) / turn if turn > 0.0 else (2.0 if along > 0.0 else -1.0)
    length = end[2] - start[2]
    chord = _chord_at(_share(best, low, high, start[2], length), x, y, z, dx, dy, dz, zone)[3]
    closest[5] = min(closest[5], chord)
    if rate != 0.0:
        first = time_to_altitude(air, kind, rate, phase[0], phase[1], zone[ZONE_LOWEST])
        last = time_to_altitude(air, kind, rate, phase[0], phase[1], zone[ZONE_HIGHEST])
        low, high = max(low, min(first, last)), min(high, max(first, last))
        # A climb is at its top where it is asked for an altitude above.
        if kind == CLIMB and altitude_after(air, kind, rate, phase[0], phase[1], low) < zone[ZONE_LOWEST] - 0.01:
            return
    elif not zone[ZONE_LOWEST] <= phase[0] <= zone[ZONE_HIGHEST]:
        return
    if low > high + TIME_TOLERANCE:
        return
    share = _share(best, low, high, start[2], length)
    x, y, z, chord = _chord_at(share, x, y, z, dx, dy, dz, zone)
    if chord < closest[4]:
        elapsed = start[2] + share * length
        alt = altitude_after(air, kind, rate, phase[0], phase[1], elapsed)
        closest[0] = began + direction * elapsed
        closest[1] = DEGREES * math.atan2(z, math.hypot(x, y))
        closest[2] = DEGREES * math.atan2(y, x) % 360.0
        closest[3] = min(max(alt, zone[ZONE_LOWEST]), zone[ZONE_HIGHEST])
        closest[4] = chord


@_inlined
def step_length(remaining, to_level, longest):
    """Length of the next step, s: equal parts no longer than `longest` up to the next level or the phase's end."""
    reach = min(remaining, to_level)
    return reach / max(math.ceil(reach / longest - 1e-9), 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def fly(winds, air, ground, chain, launches, direction, longest, landing, outcome, path, marks, zone, closest):
    """Fly a batch of n flights of p phases each.

    `chain` (p, 5) whole numbers, one row a phase: what moves it vertically, the column of `launches` with its speed
    (m/s, at sea level in drag balance, at the start in a climb) and the factor of that (-1, 0, 1), what ends it, and
    the column with the altitude (m) or duration (s) at which it ends. `launches` (n, 9), time in Unix seconds.
    `direction` is 1.0, or -1.0 to fly backwards in time. `longest` is the longest step, s.

    Fills `landing` (n, 4): Unix seconds, lat, lon, alt of the last point; `outcome` (n, 2): how the flight ended, and
    what it met as bits. The first m flights are written to `path` (m, capacity, 6): Unix seconds, lat, lon, alt, u, v;
    `marks` (m, p + 1) tells where each phase begins and, last, how many points there are, which may be more than were
    kept. The closest approach of each flight to `zone` (7,) is noted in `closest` (n, 6), see `note_approach`, which
    finds there what was noted before. Both are None where nobody asks: this is compiled without it then.
    """
    phases = chain.shape[0]
    end_time = (winds.times - 1) * winds.interval
    for flight in range(launches.shape[0]):
        recorded = flight < path.shape[0]
        points = 0
        time = launches[flight, TIME] - winds.start
        lat, alt = launches[flight, LATITUDE], launches[flight, ALTITUDE]
        lon = launches[flight, LONGITUDE] % 360.0
        drift = launches[flight, DRIFT]
        status = LANDED
        if not 0.0 <= time <= end_time:
            status = LAUNCH_OUT_OF_TIME
        met = 0
        steps = 0
        level = winds.levels // 2 - 1
        on_ground = False
        if winds.tile_shift >= 0:
            set_whole(winds.held, -1)
            set_whole(winds.held + 8, 0)
        for p in range(phases):
            if recorded:
                marks[flight, p] = points
            if status != LANDED or on_ground:
                continue
            kind, end = chain[p, 0], chain[p, 3]
            rate = chain[p, 2] * launches[flight, chain[p, 1]]
            limit = launches[flight, chain[p, 4]]
            fall = scaled_altitude(air, kind, flight, alt)
            phase = (alt, fall)
            phase_time = time
            # A little further on the way, in `c`, which falls with altitude.
            ahead = LEVEL_TOLERANCE * (1.0 if winds.height != 0 else SCALE_HEIGHT_INVERSE)
            ahead *= -1.0 if rate > 0.0 else 1.0 if rate < 0.0 else 0.0
            c = vertical_coordinate(winds, air, alt)
            if end == END_DURATION:
                duration = limit
            elif end == END_ALTITUDE:
                duration = max(time_to_altitude(air, kind, rate, alt, fall, limit), 0.0)
            else:
                duration = max(time_to_altitude(air, kind, rate, alt, fall, LOWEST_GROUND), 0.0)
            elapsed = 0.0
            while True:
                u, v, level, alt_above, alt_below = wind_at(winds, lat, lon, time, c, c + ahead, level)
                if winds.tile_shift >= 0 and whole_at(winds.held + 8) > 0:
                    scouted = abs(time - whole_at(winds.held + 16))
                    if whole_at(winds.held) < 0 or scouted > SCOUT_SECONDS:
                        status = NOT_RESIDENT
                        break
                if recorded:
                    if points < path.shape[1]:
                        path[flight, points, 0] = winds.start + time
                        path[flight, points, 1] = lat
                        path[flight, points, 2] = lon
                        path[flight, points, 3] = alt
                        path[flight, points, 4] = u
                        path[flight, points, 5] = v
                    points += 1
                if level == 0 and alt > alt_above:
                    met |= ABOVE_TOP_LEVEL
                elif level == winds.levels - 2 and alt < alt_below:
                    met |= BELOW_BOTTOM_LEVEL
                if on_ground or elapsed >= duration:
                    break
                if not (math.isfinite(u) and math.isfinite(v)):
                    status = BAD_WIND
                    break
                steps += 1
                if steps > MAX_STEPS:
                    status = TOO_LONG
                    break

                to_level = math.inf
                if rate > 0.0 and alt < alt_above - LEVEL_TOLERANCE:
                    target = alt_below if alt < alt_below - LEVEL_TOLERANCE else alt_above
                    to_level = time_to_altitude(air, kind, rate, phase[0], fall, target) - elapsed
                elif rate < 0.0 and alt > alt_below + LEVEL_TOLERANCE:
                    target = alt_above if alt > alt_above + LEVEL_TOLERANCE else alt_below
                    to_level = time_to_altitude(air, kind, rate, phase[0], fall, target) - elapsed
                length = step_length(duration - elapsed, to_level, longest)
                low = min(alt, altitude_after(air, kind, rate, phase[0], fall, elapsed + length))
                near_ground = low < highest_near(ground, lat, lon)
                if near_ground:
                    # At most one cell of the ground in a step, so that no mountain is stepped over.
                    cell = min(ground.row_step, ground.column_step * max(math.cos(lat / DEGREES), NARROWEST_CELL))
                    speed = drift * math.hypot(u, v) + 0.01
                    length = min(length, max(EARTH_RADIUS * cell / DEGREES / speed, 1.0))
                # The last step ends where the winds end, so that what is known by then is known.
                left = end_time - time if direction > 0.0 else time
                outlasts = length > left + TIME_TOLERANCE
                if outlasts:
                    length = max(left, 0.0)

                point = (lat, lon, alt, c, time, elapsed)
                stage = (u, v, level)
                lat, lon, alt, c = step_from(winds, air, kind, rate, phase, point, stage, length, direction, drift)
                if not (math.isfinite(lat) and math.isfinite(lon)):
                    lat, lon, alt = point[0], point[1], point[2]
                    status = BAD_WIND
                    break
                last = length >= duration - elapsed - 1e-9
                after = duration if last else elapsed + length
                if near_ground and alt < ground_at(ground, lat, lon):
                    length = time_of_ground(
                        winds, air, ground, kind, rate, phase, point, stage, length, direction, drift
                    )
                    lat, lon, alt, c = step_from(winds, air, kind, rate, phase, point, stage, length, direction, drift)
                    alt = ground_at(ground, lat, lon)
                    after = point[5] + length
                    on_ground = True
                    if end != END_GROUND:
                        met |= EARLY_GROUND
                elif last and end == END_ALTITUDE:
                    alt = limit
                elapsed = after
                time = phase_time + direction * elapsed
                if closest is not None:
                    note_approach(
                        air, kind, rate, phase, winds.start + phase_time, direction,
                        (point[0], point[1], point[5]), (lat, lon, elapsed), zone, closest[flight],
                    )  # fmt: skip
                if outlasts and not on_ground:
                    time = end_time if direction > 0.0 else 0.0
                    status = OUT_OF_TIME
                    break
        if winds.tile_shift >= 0 and whole_at(winds.held + 8) > 0:
            status = NOT_RESIDENT
        if recorded:
            marks[flight, phases] = points
        landing[flight, 0] = winds.start + time
        landing[flight, 1] = lat
        landing[flight, 2] = lon
        landing[flight, 3] = alt
        outcome[flight, 0] = status
        outcome[flight, 1] = met
