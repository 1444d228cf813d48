"""The standard atmosphere against its published tables, and the descent under a parachute against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from habsim import atmosphere, kernels
from habsim.classes import air

# U.S. Standard Atmosphere, 1976, table I: geopotential height (m), temperature (K), pressure (hPa), density (kg/m^3).
TABLE = [
    (0.0, 288.150, 1013.25, 1.2250),
    (1000.0, 281.650, 898.746, 1.1116),
    (5000.0, 255.650, 540.199, 0.73612),
    (11000.0, 216.650, 226.321, 0.36392),
    (15000.0, 216.650, 120.446, 0.19367),
    (20000.0, 216.650, 54.7489, 0.088035),
    (25000.0, 221.650, 25.1102, 0.039466),
    (32000.0, 228.650, 8.68019, 0.013225),
    (40000.0, 251.050, 2.77522, 0.0038510),
    (47000.0, 270.650, 1.10906, 0.0014275),
    (51000.0, 270.650, 0.669389, 0.00086160),
    (71000.0, 214.650, 0.0395642, 0.000064211),
]


@pytest.mark.parametrize(("height", "temperature", "pressure", "density"), TABLE)
def test_atmosphere_is_that_of_the_published_tables(
    height: float, temperature: float, pressure: float, density: float
) -> None:
    assert atmosphere.temperature(height) == pytest.approx(temperature, abs=1e-3)
    assert atmosphere.pressure(height) == pytest.approx(pressure, rel=2e-5)
    assert atmosphere.density(height) == pytest.approx(density, rel=5e-5)
    assert atmosphere.altitude(pressure) == pytest.approx(height, abs=0.2)


@given(st.floats(-1000.0, 70999.0))
def test_altitude_is_the_inverse_of_pressure(height: float) -> None:
    assert atmosphere.altitude(atmosphere.pressure(height)) == pytest.approx(height, abs=1e-6)


@given(st.floats(-900.0, 70900.0))
def test_pressure_falls_by_the_weight_of_the_air(height: float) -> None:
    """The hydrostatic equation in geopotential height, d ln p / dz = -g0 / (R T), by a central difference."""
    slope = (atmosphere.log_pressure(height + 1.0) - atmosphere.log_pressure(height - 1.0)) / 2.0
    weight = 9.80665 / (287.05287 * atmosphere.temperature(height))
    assert slope == pytest.approx(-weight, rel=2e-5)


def test_every_function_takes_arrays_and_numbers_alike() -> None:
    heights = np.array([[0.0, 12000.0], [25000.0, 40000.0]])
    for function in (atmosphere.temperature, atmosphere.pressure, atmosphere.density, atmosphere.parachute_density):
        assert function(heights).shape == heights.shape
        assert function(heights)[1, 0] == function(25000.0)


def glenn_fall(top: float) -> float:
    """The integral of sqrt(rho) / 1.1045 from 0 to `top` m of NASA Glenn's model, its three layers in closed form."""

    def power(base_kelvin: float, lapse: float, exponent: float, low: float, high: float) -> float:
        """Of (base_kelvin + lapse z)^exponent."""
        ends = [(base_kelvin + lapse * z) ** (exponent + 1.0) / (lapse * (exponent + 1.0)) for z in (low, high)]
        return float(ends[1] - ends[0])

    factor = math.sqrt(101.29 / 0.2869) * 288.08 ** (-5.256 / 2)
    total = factor * power(15.04 + 273.1, -0.00649, (5.256 - 1.0) / 2, 0.0, min(top, 11000.0))
    if top > 11000.0:
        at_11 = math.sqrt(22.65 * math.exp(1.73) / (0.2869 * (273.1 - 56.46)))
        half = 0.000157 / 2
        total += at_11 * (math.exp(-half * 11000.0) - math.exp(-half * min(top, 25000.0))) / half
    if top > 25000.0:
        factor = math.sqrt(2.488 / 0.2869) * 216.6 ** (11.388 / 2)
        total += factor * power(273.1 - 131.21, 0.00299, (-11.388 - 1.0) / 2, 25000.0, top)
    return float(total / 1.1045)


@pytest.mark.parametrize("top", [500.0, 10000.0, 11000.0, 20000.0, 25000.0, 30000.0, 45000.0])
def test_fall_altitude_is_the_closed_integral(top: float) -> None:
    heights = np.arange(-1000.0, 55025.0, 25.0)
    found = np.interp(top, heights, atmosphere.fall_altitude(heights))
    assert found == pytest.approx(glenn_fall(top), abs=0.02)


@pytest.mark.parametrize("height", [0.0, 3000.0, 10900.0, 19000.0])
def test_parachutes_fall_through_nearly_the_standard_air(height: float) -> None:
    assert atmosphere.parachute_density(height) == pytest.approx(atmosphere.density(height), rel=0.011)


@given(st.floats(0.0, 50000.0))
def test_kernel_tables_invert_each_other(height: float) -> None:
    tables = air()
    fall = kernels.table_value(tables.fall, tables.bottom, tables.per_metre, height)
    back = kernels.table_value(tables.alt_of_fall, tables.fall[0], tables.per_fall_metre, fall)
    assert back == pytest.approx(height, abs=0.05)


@given(st.floats(-500.0, 50000.0))
def test_kernel_table_of_pressure_is_the_atmosphere(height: float) -> None:
    tables = air()
    found = kernels.table_value(tables.log_pressure, tables.bottom, tables.per_metre, height)
    assert found == pytest.approx(float(atmosphere.log_pressure(height)), abs=2e-6)


def test_tables_keep_their_ends_beyond_them() -> None:
    table = np.array([3.0, 5.0, 4.0])
    assert kernels.table_value(table, 10.0, 0.5, -100.0) == 3.0
    assert kernels.table_value(table, 10.0, 0.5, 13.0) == 4.5
    assert kernels.table_value(table, 10.0, 0.5, 1e9) == 4.0
