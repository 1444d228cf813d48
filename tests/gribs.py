"""Small GRIB2 messages for tests, encoded with eccodes from an analytic atmosphere.

`truth` is the atmosphere, `message` encodes one field of it, `joined` puts several fields into one message.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import numpy.typing as npt

from habsim.atmosphere import altitude

Array = npt.NDArray[np.float64]

RUN = datetime.datetime(2026, 7, 24, 0, tzinfo=datetime.UTC)
PARAMETERS = {"UGRD": (2, 2), "VGRD": (2, 3), "HGT": (3, 5), "TMP": (0, 0)}  # category, number
SPATIAL = "grid_complex_spatial_differencing"  # the packing of NCEP's files
CONTROL, PERTURBED = 1, 3  # typeOfEnsembleForecast


def truth(variable: str, level: float, step_hours: float, latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> Array:
    """Wind (m/s) or geopotential height (m) at `level` hPa: another value at every node, level and time."""
    lat, lon = np.radians(latitude), np.radians(longitude)
    depth = np.log(1000.0 / level)
    wave = np.cos(lat) * np.sin(lon + 0.05 * step_hours)
    if variable == "UGRD":
        return np.asarray(25 * np.cos(lat) + 12 * wave + 4 * depth + 3 * np.sin(lat))
    if variable == "VGRD":
        return np.asarray(-8 * np.sin(2 * lat) + 10 * np.cos(lat) * np.cos(lon - 0.03 * step_hours) - 2 * depth)
    if variable == "HGT":
        return np.asarray(altitude(level) + 300 * np.cos(2 * lat) + 90 * wave + 2 * step_hours - 40 * depth)
    return np.asarray(250 + 30 * np.cos(lat) + wave)


@dataclass(frozen=True)
class Spec:
    """One field to encode. `west` is the longitude of the westernmost column, `scanning` the flags of table 3.4.

    `values` (rows, columns), latitude 90..-90, longitude from 0 east, replace the analytic atmosphere. `keys` are
    eccodes keys set before the values, `pressure` (scaled value, scale factor) Pa replaces `level` hPa.
    """

    variable: str = "UGRD"
    level: float = 500
    step_hours: int = 0
    run: datetime.datetime = RUN
    rows: int = 13
    columns: int = 24
    west: float = 0
    scanning: int = 0
    member: int | None = None
    packing: str = "grid_simple"
    bits: int = 16
    values: Array | None = None
    pressure: tuple[int, int] | None = None
    keys: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def latitudes(self) -> Array:
        return np.linspace(90, -90, self.rows)

    @property
    def longitudes(self) -> Array:
        return np.arange(self.columns, dtype=np.float64) * (360 / self.columns)

    def plane(self) -> Array:
        """The values (rows, columns), latitude 90..-90, longitude from 0 east."""
        if self.values is not None:
            return self.values
        return truth(self.variable, self.level, self.step_hours, self.latitudes[:, None], self.longitudes[None, :])


def message(spec: Spec | None = None, /, **changes: Any) -> bytes:
    """A GRIB2 message of one field."""
    spec = replace(spec or Spec(), **changes)
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    try:
        for keys in (_identity(spec), _grid(spec), spec.keys):
            for key, value in keys.items():
                eccodes.codes_set(handle, key, value)
        # This order: packing, bits, values. Another one makes eccodes pack garbage without an error.
        eccodes.codes_set(handle, "packingType", spec.packing)
        eccodes.codes_set(handle, "bitsPerValue", spec.bits)
        eccodes.codes_set_values(handle, in_scanning_order(spec))
        encoded: bytes = eccodes.codes_get_message(handle)
        return encoded
    finally:
        eccodes.codes_release(handle)


def _identity(spec: Spec) -> dict[str, int | float | str]:
    category, number = PARAMETERS[spec.variable]
    scaled, scale = spec.pressure or (round(spec.level * 100), 0)
    keys: dict[str, int | float | str] = {
        "centre": "kwbc",
        "significanceOfReferenceTime": 1,
        "productDefinitionTemplateNumber": 0 if spec.member is None else 1,
        "generatingProcessIdentifier": 96 if spec.member is None else 107,
        "typeOfGeneratingProcess": 2 if spec.member is None else 4,
        "discipline": 0,
        "parameterCategory": category,
        "parameterNumber": number,
        "dataDate": int(spec.run.strftime("%Y%m%d")),
        "dataTime": int(spec.run.strftime("%H%M")),
        "indicatorOfUnitOfTimeRange": 1,
        "forecastTime": spec.step_hours,
        "scaleFactorOfFirstFixedSurface": scale,
        "scaledValueOfFirstFixedSurface": scaled,
    }
    if spec.member is not None:
        keys["typeOfEnsembleForecast"] = PERTURBED if spec.member else CONTROL
        keys["perturbationNumber"] = spec.member
        keys["numberOfForecastsInEnsemble"] = 30
    return keys


def _grid(spec: Spec) -> dict[str, int | float | str]:
    west, east = spec.west % 360, (spec.west - 360 / spec.columns) % 360
    north, south = (-90, 90) if spec.scanning & 64 else (90, -90)
    if spec.scanning & 128:
        west, east = east, west
    return {
        "Ni": spec.columns,
        "Nj": spec.rows,
        "scanningMode": spec.scanning,
        "latitudeOfFirstGridPointInDegrees": north,
        "latitudeOfLastGridPointInDegrees": south,
        "longitudeOfFirstGridPointInDegrees": west,
        "longitudeOfLastGridPointInDegrees": east,
        "iDirectionIncrementInDegrees": 360 / spec.columns,
        "jDirectionIncrementInDegrees": 180 / (spec.rows - 1),
    }


def in_scanning_order(spec: Spec) -> Array:
    """The values one by one as the scanning flags say, walking the grid point by point."""
    first_column = round(spec.west * spec.columns / 360)
    rows = list(range(spec.rows))
    columns = [(first_column + i) % spec.columns for i in range(spec.columns)]
    if spec.scanning & 64:
        rows.reverse()
    if spec.scanning & 128:
        columns.reverse()
    outer, inner = (columns, rows) if spec.scanning & 32 else (rows, columns)
    plane = spec.plane().T if spec.scanning & 32 else spec.plane()
    values = []
    for count, slow in enumerate(outer):
        line = reversed(inner) if spec.scanning & 16 and count % 2 else inner
        values += [plane[slow, fast] for fast in line]
    return np.array(values)


def joined(messages: Sequence[bytes], start_section: int = 4) -> bytes:
    """One message with the fields of all `messages`; sections from `start_section` on are repeated."""
    multi = eccodes.codes_grib_multi_new()
    handles = [eccodes.codes_new_from_message(one) for one in messages]
    try:
        for handle in handles:
            eccodes.codes_grib_multi_append(handle, start_section, multi)
        with tempfile.TemporaryFile() as file:
            eccodes.codes_grib_multi_write(multi, file)
            file.seek(0)
            return file.read()
    finally:
        for handle in handles:
            eccodes.codes_release(handle)
        eccodes.codes_grib_multi_release(multi)


def grib1() -> bytes:
    """A GRIB edition 1 message."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib1")
    try:
        encoded: bytes = eccodes.codes_get_message(handle)
        return encoded
    finally:
        eccodes.codes_release(handle)


def sections(content: bytes) -> list[bytes]:
    """Sections 0 to 8 of a message, in order."""
    found, position = [content[:16]], 16
    while position < len(content) - 4:
        length = int.from_bytes(content[position : position + 4], "big")
        found.append(content[position : position + length])
        position += length
    return [*found, content[position:]]


def from_sections(parts: Iterable[bytes]) -> bytes:
    """A message of `parts`, with the length in section 0 put right."""
    content = b"".join(parts)
    return content[:8] + len(content).to_bytes(8, "big") + content[16:]


def cycle(
    levels: Iterable[float],
    steps_hours: Iterable[int],
    variables: Sequence[str] = ("UGRD", "VGRD", "HGT"),
    **changes: Any,
) -> list[bytes]:
    """Messages of every variable, level and step, as a run of one member has them."""
    return [
        message(variable=variable, level=level, step_hours=step, **changes)
        for step in steps_hours
        for level in levels
        for variable in variables
    ]


def write(path: Path, messages: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(messages))
    return path


def tolerance(spec: Spec, stored: npt.ArrayLike) -> Array:
    """How far a decoded value may be from `spec.plane()`: half a packing step and half a float16 step of `stored`."""
    plane = spec.plane()
    # eccodes takes the power of two above the ideal step.
    packing = float(np.ptp(plane)) / 2 ** (spec.bits - 1) + 1e-6 * float(np.abs(plane).max())
    return np.asarray(packing / 2 + np.spacing(np.abs(np.asarray(stored, np.float16))).astype(np.float64) / 2 * 1.001)
