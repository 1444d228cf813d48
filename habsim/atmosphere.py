"""US Standard Atmosphere 1976 below 71 km, in geopotential height, and what a parachute does in the air.

Source: U.S. Standard Atmosphere, 1976, NOAA-S/T 76-1562, table 4 and equations 23, 33a, 33b and 42. Altitudes are
geopotential metres throughout HABSIM, as in the GEFS.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EARTH_RADIUS = 6371009.0  # m, mean radius (2a + b) / 3 of WGS 84
STANDARD_GRAVITY = 9.80665  # m/s^2
GAS_CONSTANT_AIR = 287.05287  # J/(kg K)
SEA_LEVEL_PRESSURE = 1013.25  # hPa
_ROOT_SEA_LEVEL_DENSITY = 1.1045  # sqrt(kg/m^3), as in Tawhiri

# Base of each layer: geopotential height (m), temperature (K), lapse rate (K/m).
_BASE_HEIGHT = np.array([0.0, 11000.0, 20000.0, 32000.0, 47000.0, 51000.0])
_BASE_TEMPERATURE = np.array([288.15, 216.65, 216.65, 228.65, 270.65, 270.65])
_LAPSE = np.array([-0.0065, 0.0, 0.001, 0.0028, 0.0, -0.0028])

Array = npt.NDArray[np.float64]


def _layer_log_pressure(base_log_pressure: Array | float, layer: npt.NDArray[np.intp] | int, height: Array) -> Array:
    """ln of the pressure at `height` (m) inside `layer`, from ln of the pressure at its base (eq. 33a, 33b)."""
    above = height - _BASE_HEIGHT[layer]
    temperature = _BASE_TEMPERATURE[layer]
    lapse = _LAPSE[layer]
    scale = STANDARD_GRAVITY / GAS_CONSTANT_AIR
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient = -scale / lapse * np.log1p(lapse * above / temperature)
    result: Array = base_log_pressure + np.where(lapse == 0.0, -scale * above / temperature, gradient)
    return result


def _base_log_pressures() -> Array:
    logs = [float(np.log(SEA_LEVEL_PRESSURE))]
    for layer in range(len(_BASE_HEIGHT) - 1):
        logs.append(float(_layer_log_pressure(logs[-1], layer, _BASE_HEIGHT[layer + 1])))
    return np.array(logs)


_BASE_LOG_PRESSURE = _base_log_pressures()


def log_pressure(altitude: npt.ArrayLike) -> Array:
    """ln of the pressure in hPa at `altitude` (m), any shape, -5000..71000 m."""
    height = np.asarray(altitude, dtype=np.float64)
    layer = np.clip(np.searchsorted(_BASE_HEIGHT, height, side="right") - 1, 0, None)
    return _layer_log_pressure(_BASE_LOG_PRESSURE[layer], layer, height)


def pressure(altitude: npt.ArrayLike) -> Array:
    """Pressure in hPa at `altitude` (m), any shape, -5000..71000 m."""
    result: Array = np.exp(log_pressure(altitude))
    return result


def temperature(altitude: npt.ArrayLike) -> Array:
    """Temperature in K at `altitude` (m), any shape (eq. 23)."""
    height = np.asarray(altitude, dtype=np.float64)
    layer = np.clip(np.searchsorted(_BASE_HEIGHT, height, side="right") - 1, 0, None)
    result: Array = _BASE_TEMPERATURE[layer] + _LAPSE[layer] * (height - _BASE_HEIGHT[layer])
    return result


def density(altitude: npt.ArrayLike) -> Array:
    """Density in kg/m^3 at `altitude` (m), any shape (eq. 42)."""
    result: Array = 100.0 * pressure(altitude) / (GAS_CONSTANT_AIR * temperature(altitude))
    return result


def altitude(pressure_hpa: npt.ArrayLike) -> Array:
    """Altitude in m of `pressure_hpa`, any shape, the inverse of `pressure`."""
    logs = np.log(np.asarray(pressure_hpa, dtype=np.float64))
    layer = np.clip(np.searchsorted(-_BASE_LOG_PRESSURE, -logs, side="right") - 1, 0, None)
    fall = _BASE_LOG_PRESSURE[layer] - logs
    base_temperature = _BASE_TEMPERATURE[layer]
    lapse = _LAPSE[layer]
    scale = GAS_CONSTANT_AIR / STANDARD_GRAVITY
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient = base_temperature / lapse * np.expm1(lapse * scale * fall)
    result: Array = _BASE_HEIGHT[layer] + np.where(lapse == 0.0, scale * base_temperature * fall, gradient)
    return result


def parachute_density(altitude_m: npt.ArrayLike) -> Array:
    """Density in kg/m^3 at `altitude_m`, any shape, that parachutes fall through.

    The Earth Atmosphere Model of the NASA Glenn Research Center (metric units), within 1.1 % of `density` below 20 km
    and 5 % below 47 km. It is the one of the Tawhiri predictor, so that both descend alike: half a percent of density
    moves a landing by up to 200 m.
    """
    z = np.asarray(altitude_m, dtype=np.float64)
    celsius = np.where(z > 25000.0, -131.21 + 0.00299 * z, np.where(z > 11000.0, -56.46, 15.04 - 0.00649 * z))
    kelvin = celsius + 273.1
    middle = 22.65 * np.exp(1.73 - 0.000157 * z)
    lower = 101.29 * (kelvin / 288.08) ** 5.256
    upper = 2.488 * (kelvin / 216.6) ** -11.388
    kilopascal = np.where(z > 25000.0, upper, np.where(z > 11000.0, middle, lower))
    result: Array = kilopascal / (0.2869 * kelvin)
    return result


def fall_altitude(altitude_m: Array) -> Array:
    """Integral of w0 / w from sea level, m, on an evenly spaced ascending grid `altitude_m` that has 0.

    With drag in balance with weight the speed of fall is w = w0 * 1.1045 / sqrt(rho), w0 being that at sea level
    (Tawhiri, models.py, `drag_descent`): the integral then falls at w0 everywhere. Simpson's rule on each interval.
    """
    middle = 0.5 * (altitude_m[:-1] + altitude_m[1:])
    ends, middles = (np.sqrt(parachute_density(z)) / _ROOT_SEA_LEVEL_DENSITY for z in (altitude_m, middle))
    pieces = np.diff(altitude_m) * (ends[:-1] + 4.0 * middles + ends[1:]) / 6.0
    integral = np.concatenate(([0.0], np.cumsum(pieces)))
    result: Array = integral - np.interp(0.0, altitude_m, integral)
    return result
