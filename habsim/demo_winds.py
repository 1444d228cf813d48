"""An analytic atmosphere for demonstration: balanced winds and heights that look like a GEFS ensemble.

Geopotential height is the sum of zonal-mean jets and travelling waves, and the winds are its geostrophic winds,
derived analytically (Holton, An Introduction to Dynamic Meteorology, 4th ed., 2004, eq. 3.4). Nothing blows up at the
equator, because heights are built so that they can be divided by f:

* the height of a jet is the integral of f u over latitude, so u itself may be anything;
* the height of a mid-latitude wave has the factor sin^2(latitude);
* the tropics also have mixed Rossby-gravity waves, a solution of the equations of motion on the equatorial beta plane
  (Matsuno 1966; Holton, section 11.4), which are not geostrophic and vanish outside the tropics.

At the poles a wave of zonal wavenumber m goes like cos^m(latitude), which makes the wind one vector there. Below
850 hPa an Ekman spiral slows the wind and turns it towards low pressure.

The control member is one and the same weather in every cycle, a function of absolute time, so a new cycle continues
the last. Other members add waves of their own that grow with lead time. All is a function of the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from habsim import atmosphere

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
SampleArray = npt.NDArray[np.float32]

# The isobaric levels of the GEFS (pgrb2a and pgrb2b together), hPa.
LEVELS: Array = np.array(
    [*(1, 2, 3, 5, 7, 10, 20, 30, 50, 70), *range(100, 900, 50), *range(900, 1001, 25)], dtype=np.float64
)

ROTATION = 7.292e-5  # rad/s
SCALE_HEIGHT = 7_000.0  # m, of the log-pressure height (Holton, section 8.4.1)
DAY = 86_400.0  # s
TROPICAL_YEAR = 365.2422 * DAY
MID_JANUARY = 15.0 * DAY  # Unix seconds of 16 January 1970: depth of the northern winter in the free atmosphere

EKMAN_DEPTH = 400.0  # m, height over which the spiral decays by e: the boundary layer is about pi times as deep
EKMAN_DRAG = 0.65  # 1 is no slip at the ground; 0.65 leaves 55 % of the wind, turned by 14 degrees, at 1000 hPa
EKMAN_TURN_LATITUDE = 10.0  # degrees from the equator over which the turning changes its sign

EQUATORIAL_TILT = 2 * math.pi / 16_000.0  # rad/m: equatorial waves reach the stratosphere with such wavelengths
ERROR_RATE = 0.46 / DAY  # 1/s: errors double in 1.5 days while small
INITIAL_ERROR = 0.12  # of saturation


@dataclass(frozen=True)
class Axes:
    """Where to sample: latitudes and longitudes (degrees), levels (hPa), times (Unix seconds), each 1-D."""

    latitudes: Array
    longitudes: Array
    levels: Array
    times: Array


@dataclass(frozen=True)
class Sample:
    """`height` is geopotential height minus the US-1976 height of the level (m), `eastward` and `northward` wind
    (m/s); each float32 (lat, lon, level, time)."""

    height: SampleArray
    eastward: SampleArray
    northward: SampleArray

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.height + other.height, self.eastward + other.eastward, self.northward + other.northward)


@dataclass(frozen=True)
class Jet:
    """A zonal-mean wind of `speed` m/s, Gaussian in latitude (degrees) and in log-pressure height (m)."""

    speed: float
    latitude: float
    width: float
    height: float
    depth_below: float
    depth_above: float

    def wind(self, latitudes: Array, heights: Array) -> Array:
        """Eastward wind (lat, level) in m/s; it goes to zero at the poles like cos(latitude)."""
        across = np.exp(-0.5 * ((latitudes - self.latitude) / self.width) ** 2)
        across *= np.cos(np.radians(latitudes)) / math.cos(math.radians(self.latitude))
        above = heights - self.height
        up = np.exp(-0.5 * (above / np.where(above < 0, self.depth_below, self.depth_above)) ** 2)
        result: Array = self.speed * across[:, None] * up
        return result


@dataclass(frozen=True)
class Wave:
    """A wave that travels eastward at `speed` m/s at `latitude` (degrees), where its height amplitude is largest.

    `amplitude` m near 300 hPa; `width` is in sin(latitude). A `deep` of 1 makes it grow into the stratosphere as
    planetary waves do in winter westerlies (Charney and Drazin 1961), 0 keeps it in the troposphere.
    """

    wavenumber: int
    amplitude: float
    speed: float
    phase: float
    latitude: float
    width: float
    deep: float


@dataclass(frozen=True)
class EquatorialWave:
    """A mixed Rossby-gravity wave; it travels westward. `amplitude` m/s of northward wind at the equator."""

    wavenumber: int
    amplitude: float
    phase: float


@dataclass(frozen=True)
class _Mode:
    """One wave as a product: structure in latitude x structure in height x exp(i (m longitude - frequency t)).

    `height`, `eastward`, `northward` (lat,) and `vertical` (level,); fields are the real parts.
    """

    wavenumber: int
    frequency: float
    height: ComplexArray
    eastward: ComplexArray
    northward: ComplexArray
    vertical: ComplexArray


def sample_control(axes: Axes, start: float) -> Sample:
    """Member 0 of the cycle that starts at `start` (Unix seconds), sampled on `axes`."""
    zonal_height, zonal_wind = zonal_mean(axes.latitudes, axes.levels, start)
    wind = _friction(axes.latitudes, axes.levels) * zonal_wind
    eddies = sample_waves(_control_waves(start), axes, np.ones(len(axes.times)))
    means = (zonal_height, wind.real, wind.imag)
    height, eastward, northward = (field.astype(np.float32)[:, None, :, None] for field in means)
    return eddies + Sample(height, eastward, northward)


def sample_perturbation(axes: Axes, start: float, member: int) -> Sample:
    """What `member` (1, 2, ...) of the cycle that starts at `start` adds to the control, sampled on `axes`."""
    return sample_waves(_member_waves(start, member), axes, error_growth(axes.times - start))


def sample_waves(waves: Sequence[Wave | EquatorialWave], axes: Axes, envelope: Array) -> Sample:
    """The sum of K `waves` times `envelope` (time,), slowed by friction near the ground, sampled on `axes`.

    Each field is one product of matrices, (lat x level, 2K) times (2K, lon x time), with Re(A e^{i x}) written as
    Re A cos x - Im A sin x.
    """
    modes = [_geostrophic_mode(w, axes) if isinstance(w, Wave) else _equatorial_mode(w, axes) for w in waves]
    longitudes = np.radians(axes.longitudes)[:, None]
    x = np.array([mode.wavenumber * longitudes - mode.frequency * axes.times for mode in modes])
    travelling = np.concatenate([envelope * np.cos(x), -envelope * np.sin(x)]).astype(np.float32)
    height = np.stack([np.outer(mode.height, mode.vertical) for mode in modes], axis=-1)
    eastward = np.stack([np.outer(mode.eastward, mode.vertical) for mode in modes], axis=-1)
    northward = np.stack([np.outer(mode.northward, mode.vertical) for mode in modes], axis=-1)
    friction = _friction(axes.latitudes, axes.levels)[..., None]
    slowed_eastward = friction.real * eastward - friction.imag * northward
    slowed_northward = friction.imag * eastward + friction.real * northward
    return Sample(*(_combine(field, travelling) for field in (height, slowed_eastward, slowed_northward)))


def season(time: float) -> float:
    """1 in mid-January, -1 in mid-July, from Unix seconds."""
    return math.cos(2 * math.pi * (time - MID_JANUARY) / TROPICAL_YEAR)


def error_growth(lead_times: Array) -> Array:
    """Amplitude of forecast errors as a fraction of saturation, at lead times in seconds (logistic; Lorenz 1982)."""
    result: Array = 1 / (1 + (1 / INITIAL_ERROR - 1) * np.exp(-ERROR_RATE * lead_times))
    return result


def log_pressure_height(levels: Array) -> Array:
    """Log-pressure height in m of levels in hPa."""
    result: Array = -SCALE_HEIGHT * np.log(levels / 1000.0)
    return result


def zonal_mean(latitudes: Array, levels: Array, time: float) -> tuple[Array, Array]:
    """Height anomaly (m) and geostrophic eastward wind (m/s) of the jets, each (lat, level).

    The height is the latitude integral of dZ/dlat = -a f u / g; its global mean is zero on each level, so that
    the mean atmosphere is the US-1976 one.
    """
    heights = log_pressure_height(levels)
    jets = _jets(season(time))
    fine = np.linspace(-90.0, 90.0, 1801)
    wind = sum((jet.wind(fine, heights) for jet in jets), np.zeros((len(fine), len(levels))))
    coriolis = 2 * ROTATION * np.sin(np.radians(fine))
    slope = -atmosphere.EARTH_RADIUS * coriolis[:, None] * wind / atmosphere.STANDARD_GRAVITY
    step = math.radians(fine[1] - fine[0])
    height = np.zeros_like(slope)
    np.cumsum(0.5 * step * (slope[1:] + slope[:-1]), axis=0, out=height[1:])
    area = np.cos(np.radians(fine))
    height -= area @ height / area.sum()
    at_latitudes = np.column_stack([np.interp(latitudes, fine, column) for column in height.T])
    return at_latitudes, sum((jet.wind(latitudes, heights) for jet in jets), np.zeros_like(at_latitudes))


def _jets(northern_winter: float) -> list[Jet]:
    """The zonal-mean winds, after the climatologies of Peixoto and Oort (1992) and Randel et al. (2004)."""
    return [
        *_hemisphere_jets(northern_winter, subtropical=(17.0, 25.0, 43.0, 11.0), eddy_driven=8.0, polar_night=48.0),
        *(
            Jet(jet.speed, -jet.latitude, jet.width, jet.height, jet.depth_below, jet.depth_above)
            for jet in _hemisphere_jets(
                -northern_winter, subtropical=(20.0, 20.0, 44.0, 14.0), eddy_driven=12.0, polar_night=68.0
            )
        ),
        Jet(-10.0, 0.0, 11.0, 32_000, 8_000, 12_000),
    ]


def _hemisphere_jets(
    winter: float, *, subtropical: tuple[float, float, float, float], eddy_driven: float, polar_night: float
) -> list[Jet]:
    """Jets of the northern hemisphere for `winter` from -1 (midsummer) to 1 (midwinter).

    `subtropical` is speed in summer, gain in winter (m/s), latitude in summer, shift in winter (degrees).
    """
    cold = (1 + winter) / 2
    summer_speed, gain, summer_latitude, shift = subtropical
    return [
        Jet(summer_speed + gain * cold, summer_latitude - shift * cold, 10.0, 11_500, 5_000, 5_000),
        Jet(eddy_driven, 51.0, 9.0, 9_000, 8_500, 6_000),
        Jet(-5.0 - 2.0 * cold, 14.0, 7.0, 1_000, 3_000, 3_000),  # trade winds
        Jet(-2.5, 73.0, 7.0, 0, 2_000, 2_000),  # polar easterlies
        Jet(-9.0 * (1 - cold), 9.0, 8.0, 14_000, 4_000, 3_000),  # tropical easterly jet
        Jet(polar_night * cold**1.5, 60.0, 11.0, 50_000, 19_000, 19_000),
        Jet(-45.0 * max(0.0, -winter), 35.0, 17.0, 50_000, 13_000, 13_000),  # summer stratosphere
    ]


def _control_waves(start: float) -> list[Wave | EquatorialWave]:
    """The weather of the control: for each zonal wavenumber and hemisphere one wave, stronger in winter."""
    random = np.random.Generator(np.random.Philox(key=0))
    northern_winter = season(start)
    # speed (m/s), latitude, width, amplitude (m) in the northern and in the southern winter
    table = {
        1: (1.5, 61.0, 0.25, 95.0, 80.0),
        2: (2.5, 56.0, 0.18, 95.0, 45.0),
        3: (4.0, 53.0, 0.16, 95.0, 65.0),
        4: (6.5, 50.0, 0.14, 100.0, 105.0),
        5: (8.5, 49.0, 0.14, 100.0, 110.0),
        6: (10.0, 48.0, 0.13, 90.0, 105.0),
        7: (11.5, 47.0, 0.13, 80.0, 85.0),
        8: (13.0, 46.0, 0.12, 65.0, 65.0),
        9: (14.0, 45.0, 0.12, 45.0, 45.0),
    }
    waves: list[Wave | EquatorialWave] = [EquatorialWave(4, 3.0, 0.0), EquatorialWave(6, 2.0, 2.0)]
    for wavenumber, (speed, latitude, width, north, south) in table.items():
        for sign, amplitude, summer_loss in ((1, north, 0.45), (-1, south, 0.2)):
            cold = (1 + sign * northern_winter) / 2
            strength = amplitude * (1 - summer_loss * (1 - cold))
            deep = cold if wavenumber <= 3 else 0.0
            phase = random.uniform(0, 2 * math.pi)
            waves.append(Wave(wavenumber, strength, speed, phase, sign * latitude, width, deep))
    return waves


def _member_waves(start: float, member: int) -> list[Wave | EquatorialWave]:
    """Waves of a member at saturation, from its own stream of a counter-based generator."""
    random = np.random.Generator(np.random.Philox(key=[int(start), member]))
    waves: list[Wave | EquatorialWave] = [
        EquatorialWave(wavenumber, random.normal(0.0, 3.0), random.uniform(0, 2 * math.pi))
        for wavenumber in (3, 4, 5, 6)
    ]
    for sign in (1, -1):
        cold = (1 + sign * season(start)) / 2
        for wavenumber in range(1, 11):
            planetary = wavenumber <= 2
            waves.append(
                Wave(
                    wavenumber,
                    # As much kinetic energy in every wavenumber from 3 on.
                    amplitude=random.normal(0.0, (0.7 + 0.3 * cold) * 750.0 / (wavenumber + 4)),
                    speed=random.uniform(2.0, 14.0),
                    phase=random.uniform(0, 2 * math.pi),
                    latitude=sign * (60.0 if planetary else random.uniform(30.0, 66.0)),
                    width=0.25 if planetary else random.uniform(0.11, 0.16),
                    deep=0.25 * cold if planetary else 0.0,
                )
            )
    return waves


def _geostrophic_mode(wave: Wave, axes: Axes) -> _Mode:
    """A mid-latitude wave with its geostrophic winds.

    With s = sin, c = cos of latitude the height is Z = c^m s^2 exp(-(s - s1)^2 / (2 width^2)); s1 is where it must
    be for the largest height to be at the latitude of the wave. Winds: u = -g/(f a) dZ/dlat, v = i m g/(f a c) Z.
    """
    m, width = wave.wavenumber, wave.width
    s0 = math.sin(math.radians(wave.latitude))
    c0 = math.cos(math.radians(wave.latitude))
    s1 = s0 + width**2 * (m * s0 / c0**2 - 2 / s0)
    s, c = _sine_cosine(axes.latitudes)
    largest = c0**m * s0**2 * math.exp(-0.5 * ((s0 - s1) / width) ** 2)
    bell = wave.amplitude / largest * np.exp(-0.5 * ((s - s1) / width) ** 2)
    scale = atmosphere.STANDARD_GRAVITY / (2 * ROTATION * atmosphere.EARTH_RADIUS)
    slope_over_sine = c ** (m + 1) * (2 - s * (s - s1) / width**2) - m * c ** (m - 1) * s**2
    return _Mode(
        wavenumber=m,
        frequency=m * wave.speed / (atmosphere.EARTH_RADIUS * c0),
        height=(c**m * s**2 * bell).astype(np.complex128),
        eastward=(-scale * bell * slope_over_sine).astype(np.complex128),
        northward=(1j * m * scale * bell * c ** (m - 1) * s).astype(np.complex128),
        vertical=_vertical_structure(wave.deep, log_pressure_height(axes.levels)) * np.exp(1j * wave.phase),
    )


def _equatorial_mode(wave: EquatorialWave, axes: Axes) -> _Mode:
    """A mixed Rossby-gravity wave with the winds and heights of the equatorial beta plane.

    Shallow water of gravity-wave speed C: v = V exp(-beta y^2 / (2 C)), u = i w y v / C and geopotential C u, with
    w^2 - C k w - beta C = 0 and k < 0 (Holton, section 11.4.1).
    """
    gravity_wave_speed = 25.0
    beta = 2 * ROTATION / atmosphere.EARTH_RADIUS
    shift = -gravity_wave_speed * wave.wavenumber / atmosphere.EARTH_RADIUS
    frequency = 0.5 * (shift + math.sqrt(shift**2 + 4 * beta * gravity_wave_speed))
    y = atmosphere.EARTH_RADIUS * np.radians(axes.latitudes)
    northward = (wave.amplitude * np.exp(-0.5 * beta * y**2 / gravity_wave_speed)).astype(np.complex128)
    # The complex conjugate of the solution, because a mode has +m longitude and this wave -m.
    eastward = (-1j * frequency * y / gravity_wave_speed * northward).astype(np.complex128)
    tilt = EQUATORIAL_TILT * log_pressure_height(axes.levels)
    return _Mode(
        wavenumber=wave.wavenumber,
        frequency=-frequency,
        height=gravity_wave_speed / atmosphere.STANDARD_GRAVITY * eastward,
        eastward=eastward,
        northward=northward,
        vertical=np.exp(1j * (wave.phase + tilt)).astype(np.complex128),
    )


def _vertical_structure(deep: float, heights: Array) -> ComplexArray:
    """Amplitude and westward tilt of a wave over log-pressure height (m); its largest value in the troposphere is 1.

    The tilt of a growing baroclinic wave is about a quarter of a wavelength, nearly all below 10 km; that of a
    vertically propagating planetary wave goes on through the stratosphere (Holton, sections 8.2 and 12.3).
    """
    above = heights - 9_000.0
    trapped: Array = 1 / (1 + (above / np.where(above < 0, 13_000.0, 9_000.0)) ** 2)
    growing = 0.6 * np.exp(np.minimum(heights, 40_000.0) / 20_000.0)
    trapped_tilt = 0.5 * math.pi * (1 - np.exp(-heights / 4_000.0))
    growing_tilt = math.pi * heights / 48_000.0
    result: ComplexArray = (1 - deep) * trapped * np.exp(1j * trapped_tilt) + deep * growing * np.exp(1j * growing_tilt)
    return result


def _friction(latitudes: Array, levels: Array) -> ComplexArray:
    """Factor (lat, level) that turns the complex geostrophic wind u + iv into the wind near the ground.

    The Ekman spiral 1 - exp(-(1 + i) z / D) (Holton, eq. 5.31), with less drag than at a wall because the lowest metres
    are not resolved, and with a smooth change of the turning at the equator.
    """
    turn = np.tanh(latitudes / EKMAN_TURN_LATITUDE)[:, None]
    depths = atmosphere.altitude(levels) / EKMAN_DEPTH
    return 1 - EKMAN_DRAG * np.exp(-depths).astype(np.complex128) * np.exp(-1j * turn * depths)


def _combine(structure: ComplexArray, travelling: SampleArray) -> SampleArray:
    """(lat, level, K) complex and (2K, lon, time) real to (lat, lon, level, time)."""
    latitudes, levels, _ = structure.shape
    _, longitudes, times = travelling.shape
    left = np.concatenate([structure.real, structure.imag], axis=2).astype(np.float32)
    product = left.reshape(latitudes * levels, -1) @ travelling.reshape(len(travelling), -1)
    return product.reshape(latitudes, levels, longitudes, times).transpose(0, 2, 1, 3)


def _sine_cosine(latitudes: Array) -> tuple[Array, Array]:
    """Sine and cosine of latitudes in degrees, with a cosine of exactly 0 at the poles."""
    cosine: Array = np.where(np.abs(latitudes) == 90.0, 0.0, np.cos(np.radians(latitudes)))
    return np.sin(np.radians(latitudes)), cosine
