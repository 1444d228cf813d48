"""GRIB2: takes files and messages apart and decodes the winds and heights on isobaric levels.

`messages` finds the messages of a file, `scan` says what is in one, and `decode` turns its bytes into fields in the
order of the wind file. `decode` depends on nothing but its argument, so it can run in any process.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import eccodes
import numpy as np
import numpy.typing as npt

from forecasts import halves
from habsim.atmosphere import altitude
from habsim.errors import ConversionError

# Discipline, category, number (table 4.2)
VARIABLES = {(0, 2, 2): "UGRD", (0, 2, 3): "VGRD", (0, 3, 5): "HGT"}
# Flights end below 50 km (0.8 hPa). The level above it is needed to interpolate, thinner air is not.
TOP_LEVEL_HPA = 0.4
# Generating processes of NCEP (its table A)
_MODELS = {("kwbc", 81): "GFS", ("kwbc", 96): "GFS", ("kwbc", 107): "GEFS"}
_UNIT_SECONDS = {0: 60, 1: 3600, 2: 86400, 10: 10800, 11: 21600, 12: 43200, 13: 1}  # table 4.4
_ISOBARIC, _NO_SURFACE = 100, 255  # table 4.5
_AT_A_TIME = {0: "forecast", 1: "member", 2: "derived"}  # table 4.0: product templates of one moment
_MEANS = {0: "ensemble mean", 1: "weighted ensemble mean"}  # table 4.7
_NOT_WEATHER = {5: "a probability", 6: "a forecast error", 7: "an analysis error"}  # table 4.3
_REFERENCE_IS_START = (0, 1)  # table 1.2: analysis, start of forecast
_OF_ONE_FIELD = {4, 5, 6, 7}  # sections that every field has for itself
_BITMAP_FOLLOWS, _BITMAP_AS_BEFORE, _NO_BITMAP = 0, 254, 255  # table 6.0
_WESTWARD, _NORTHWARD, _BY_COLUMN, _ALTERNATING = 128, 64, 32, 16  # scanning mode, table 3.4
_TOLERANCE_DEGREES = 1e-3  # grids that came from GRIB1 are in millidegrees
_MISSING = 9.999e20  # eccodes' own default, 9999, is also a height

Half = npt.NDArray[np.float16]
Slot = tuple[str, float, int]  # variable, level in hPa, valid time in Unix seconds


@dataclass(frozen=True)
class Message:
    """Where one GRIB2 message lies in a file; `number` counts from 1, `position` and `length` are bytes."""

    file: Path
    number: int
    position: int
    length: int

    def __str__(self) -> str:
        return f"{self.file.name}, message {self.number} at byte {self.position}"

    def content(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.position)
            return file.read(self.length)


@dataclass(frozen=True)
class Series:
    """What all fields of one wind file have in common.

    `run` is Unix seconds, `rows` and `columns` are those of the wind file. `kind` tells a deterministic forecast, a
    member and an ensemble mean apart; `member` is None where the product has no number.
    """

    run: int
    rows: int
    columns: int
    centre: str
    kind: str
    member: int | None
    process: int = field(compare=False)  # the analysis and the forecast of one model differ in it

    @property
    def model(self) -> str:
        return _MODELS.get((self.centre, self.process), self.centre)

    @property
    def product(self) -> str:
        """Model, grid and, for an ensemble mean, what it is, for example `GFS 2.5 deg`."""
        spacings = {180 / (self.rows - 1), 360 / (self.columns - 1)}
        spacing = " x ".join(f"{degrees:.4g}" for degrees in sorted(spacings))
        kind = f" {self.kind}" if self.kind in _MEANS.values() else ""
        return f"{self.model} {spacing} deg{kind}"


@dataclass(frozen=True)
class Header:
    """One field without its values: `level` hPa, `valid` Unix seconds."""

    variable: str
    level: float
    valid: int
    series: Series

    @property
    def slot(self) -> Slot:
        return self.variable, self.level, self.valid

    def __str__(self) -> str:
        return slot_name(self.slot)


@dataclass(frozen=True)
class Field:
    """One field as the wind file has it.

    `values` float16 (lat, lon), latitude 90..-90, longitude 0..360 with the first column repeated: m/s, or for HGT
    metres above the standard-atmosphere height of the level.
    """

    header: Header
    values: Half


def moment(timestamp: int) -> str:
    """Unix seconds as a date and time to read."""
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def slot_name(slot: Slot) -> str:
    """What to call a field in a message, for example `UGRD at 250 hPa, 2026-07-24 06:00 UTC`."""
    variable, level, valid = slot
    return f"{variable} at {level:g} hPa, {moment(valid)}"


def messages(path: Path) -> list[Message]:
    """All messages of a GRIB2 file, in order.

    Raises ConversionError when the file is not an unbroken row of whole GRIB2 messages.
    """
    found: list[Message] = []
    position = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while position < size:
                file.seek(position)
                where = Message(path, len(found) + 1, position, size - position)
                length = _message_length(file.read(16), where)
                found.append(Message(path, len(found) + 1, position, length))
                position += length
    except OSError as error:
        raise ConversionError(f"{path.name} cannot be read: {error.strerror}") from error
    if not found:
        raise ConversionError(f"{path.name} is empty")
    return found


def _message_length(start: bytes, rest: Message) -> int:
    """Length of the message that begins with the 16 bytes `start` in the `rest` of a file."""
    if start[:4] != b"GRIB"[: len(start)]:
        if rest.position == 0:
            raise ConversionError(f"{rest.file.name} is not a GRIB file: it starts with {start[:8]!r}")
        raise ConversionError(f"{rest} is not a GRIB message: it starts with {start[:8]!r}; download the file again")
    if len(start) > 7 and start[7] != 2:
        raise ConversionError(f"{rest} is GRIB edition {start[7]}; only edition 2 can be converted")
    length = int.from_bytes(start[8:16], "big")
    if len(start) < 16 or length > rest.length:
        needed = f"{length} bytes" if len(start) == 16 else "at least 16 bytes"
        raise ConversionError(f"{rest} is cut off: {rest.length} of {needed} are there; download the file again")
    if length < 20:
        raise ConversionError(f"{rest} is damaged: its length is {length} bytes")
    return length


def _single_fields(message: bytes) -> Iterator[bytes]:
    """Each field of `message` that is a variable of ours, as a message of its own.

    A GRIB2 message may repeat its sections 2-7, 3-7 or 4-7; what is not repeated holds on (FM 92, regulation 92.1).
    """
    start, length = message[:8], int.from_bytes(message[8:16], "big")
    if start[:4] != b"GRIB" or start[7:] != b"\2" or length != len(message) or message[-4:] != b"7777":
        raise ConversionError(
            f"it is not a whole GRIB2 message: {len(message)} bytes from {start!r} to {message[-4:]!r}"
        )
    sections: dict[int, bytes] = {}
    bitmap = b""
    position = 16
    while position < len(message) - 4:
        length = int.from_bytes(message[position : position + 4], "big")
        number = message[position + 4]
        # Only the data section may be empty, when all values are equal.
        if not (5 if number == 7 else 6) <= length <= len(message) - 4 - position:
            raise ConversionError(f"it is damaged: a section of {length} bytes at byte {position} of {len(message)}")
        section = message[position : position + length]
        if number == 6:
            section = _bitmap(section, bitmap)
            bitmap = section if section[5] == _BITMAP_FOLLOWS else bitmap
        sections[number] = section
        position += length
        if number == 7:
            if not {1, 3, 4, 5, 6} <= sections.keys():
                raise ConversionError(f"it is damaged: a field has only the sections {sorted(sections)}")
            if (message[6], *sections[4][9:11]) in VARIABLES:
                body = b"".join(sections[number] for number in sorted(sections)) + b"7777"
                yield start + (16 + len(body)).to_bytes(8, "big") + body
            for number in _OF_ONE_FIELD:
                del sections[number]
    if not sections or sections.keys() & _OF_ONE_FIELD:
        raise ConversionError(f"it is damaged: it ends after the sections {sorted(sections)} of a field")


def _bitmap(section: bytes, before: bytes) -> bytes:
    """The bitmap section that holds for a field: its own, or the one `before` that the message brought."""
    if section[5] == _BITMAP_AS_BEFORE and before:
        return before
    if section[5] not in (_BITMAP_FOLLOWS, _NO_BITMAP):
        raise ConversionError(f"its bitmap (indicator {section[5]} of table 6.0) is not in the message")
    return section


@contextlib.contextmanager
def _opened(message: bytes) -> Iterator[int]:
    """An eccodes handle for a message of one field; what eccodes cannot read becomes a ConversionError."""
    try:
        handle: int = eccodes.codes_new_from_message(message)
        try:
            yield handle
        finally:
            eccodes.codes_release(handle)
    except eccodes.CodesInternalError as error:
        raise ConversionError(f"eccodes cannot read it: {error}") from error


def scan(message: bytes) -> tuple[list[Header], list[str]]:
    """The usable fields of a GRIB2 message without their values, and why each other UGRD, VGRD or HGT was left out.

    Raises ConversionError for a damaged message and for a usable field on a grid that cannot become a wind file.
    """
    headers, left_out = [], []
    for single in _single_fields(message):
        with _opened(single) as handle:
            reason = _unusable(handle)
            if reason is None:
                headers.append(_header(handle, _grid(handle)))
            else:
                left_out.append(reason)
    return headers, left_out


def decode(message: bytes, stride: int = 1) -> list[Field]:
    """The usable fields of a GRIB2 message: instantaneous wind and height on an isobaric level.

    Their values are every `stride`-th point of each row and column, from 90 N and 0 E; `stride` divides the grid.
    Raises ConversionError as `scan` does, and for values that are missing or do not fit float16.
    """
    fields = []
    for single in _single_fields(message):
        with _opened(single) as handle:
            if _unusable(handle) is None:
                grid = _grid(handle)
                header = _header(handle, grid)
                eccodes.codes_set_double(handle, "missingValue", _MISSING)
                plane = grid.oriented(eccodes.codes_get_values(handle))
                fields.append(Field(header, _as_stored(plane[::stride, ::stride], header)))
    return fields


def units(message: bytes) -> list[str]:
    """The unit of each wind or height of a GRIB2 message as eccodes calls it, for example `m s**-1`."""
    found = []
    for single in _single_fields(message):
        with _opened(single) as handle:
            found.append(str(eccodes.codes_get_string(handle, "units")))
    return found


def _integer(handle: int, key: str) -> int:
    return int(eccodes.codes_get_long(handle, key))


def _parameter(handle: int) -> tuple[int, int, int]:
    return _integer(handle, "discipline"), _integer(handle, "parameterCategory"), _integer(handle, "parameterNumber")


def _unusable(handle: int) -> str | None:
    """Why a field is not an instantaneous one on an isobaric level that a flight can reach; None when it is."""
    template = _integer(handle, "productDefinitionTemplateNumber")
    if template not in _AT_A_TIME:
        if eccodes.codes_is_defined(handle, "typeOfStatisticalProcessing"):
            return "an average or extreme over time"
        return f"product template {template}"
    if template == 2 and _integer(handle, "derivedForecast") not in _MEANS:
        return "an ensemble statistic other than the mean"
    process_type = _integer(handle, "typeOfGeneratingProcess")
    if process_type in _NOT_WEATHER:
        return _NOT_WEATHER[process_type]
    surface = _integer(handle, "typeOfFirstFixedSurface")
    if surface != _ISOBARIC:
        return f"on surface type {surface}"
    if _integer(handle, "typeOfSecondFixedSurface") != _NO_SURFACE:
        return "a layer between two surfaces"
    if _level(handle) < TOP_LEVEL_HPA:
        return f"above {TOP_LEVEL_HPA} hPa"
    return None


def _level(handle: int) -> float:
    """The level in hPa; the message has it in Pa as a whole number and a power of ten."""
    keys = ("scaledValueOfFirstFixedSurface", "scaleFactorOfFirstFixedSurface")
    if any(eccodes.codes_is_missing(handle, key) for key in keys):
        raise ConversionError("it is on an isobaric level without a pressure")
    value, scale = (_integer(handle, key) for key in keys)
    return float(Fraction(value) / Fraction(10) ** (scale + 2))


def _header(handle: int, grid: Grid) -> Header:
    run = _run(handle)
    unit = _integer(handle, "indicatorOfUnitOfTimeRange")
    if unit not in _UNIT_SECONDS:
        raise ConversionError(f"its step is in time unit {unit} of table 4.4; known are {sorted(_UNIT_SECONDS)}")
    template = _integer(handle, "productDefinitionTemplateNumber")
    kind, member = _AT_A_TIME[template], None
    if template == 1:
        # NCEP's paired members, one added and one subtracted, share a number
        kind = f"member of ensemble type {_integer(handle, 'typeOfEnsembleForecast')}"
        member = _integer(handle, "perturbationNumber")
    elif template == 2:
        kind = _MEANS[_integer(handle, "derivedForecast")]
    return Header(
        variable=VARIABLES[_parameter(handle)],
        level=_level(handle),
        valid=run + _integer(handle, "forecastTime") * _UNIT_SECONDS[unit],
        series=Series(
            run=run,
            rows=grid.rows,
            columns=grid.columns + 1,
            centre=str(eccodes.codes_get_string(handle, "centre")),
            kind=kind,
            member=member,
            process=_integer(handle, "generatingProcessIdentifier"),
        ),
    )


def _run(handle: int) -> int:
    significance = _integer(handle, "significanceOfReferenceTime")
    if significance not in _REFERENCE_IS_START:
        raise ConversionError(f"its reference time is not the start of a forecast (code {significance} of table 1.2)")
    date = [_integer(handle, key) for key in ("year", "month", "day", "hour", "minute", "second")]
    year, month, day, hour, minute, second = date
    try:
        return int(datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC).timestamp())
    except ValueError as error:
        raise ConversionError(f"its reference time {date} is no date") from error


@dataclass(frozen=True)
class Grid:
    """A global latitude-longitude grid in the order of a message: `scanning` has the flags of table 3.4.

    `west` is the longitude of the westernmost column in that order, degrees.
    """

    rows: int
    columns: int
    west: float
    scanning: int

    def oriented(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values (lat * lon,) in the order of the message as (lat, lon) from 90 N and 0 E, copied only if need be."""
        by_column = bool(self.scanning & _BY_COLUMN)
        lines = values.reshape((self.columns, self.rows) if by_column else (self.rows, self.columns))
        if self.scanning & _ALTERNATING:
            # every other line runs backwards; eccodes leaves them so
            lines = lines.copy()
            lines[1::2] = lines[1::2, ::-1]
        plane = lines.T if by_column else lines
        if self.scanning & _WESTWARD:
            plane = plane[:, ::-1]
        if self.scanning & _NORTHWARD:
            plane = plane[::-1]
        shift = round(self.west * self.columns / 360)
        return np.roll(plane, shift, axis=1) if shift else plane


def _grid(handle: int) -> Grid:
    """The grid of a field. Raises ConversionError unless it is a global latitude-longitude grid with both poles."""
    kind = str(eccodes.codes_get_string(handle, "gridType"))
    if kind != "regular_ll":
        raise ConversionError(
            f"its grid is {kind}; only a global regular latitude-longitude grid (regular_ll) can be converted"
        )
    columns, rows, scanning = (_integer(handle, key) for key in ("Ni", "Nj", "scanningMode"))
    north, south, west, east = (
        float(eccodes.codes_get_double(handle, f"{key}InDegrees"))
        for key in (
            "latitudeOfFirstGridPoint",
            "latitudeOfLastGridPoint",
            "longitudeOfFirstGridPoint",
            "longitudeOfLastGridPoint",
        )
    )
    if scanning & _NORTHWARD:
        north, south = south, north
    if scanning & _WESTWARD:
        west, east = east, west
    extent = f"latitude {north:g}..{south:g}, longitude {west:g}..{east:g}, {rows} x {columns}"
    if scanning & 15:
        raise ConversionError(f"its grid has shifted rows (scanning mode {scanning}), which cannot be converted")
    points, coded = _integer(handle, "numberOfDataPoints"), _integer(handle, "numberOfValues")
    all_coded = coded <= points if _integer(handle, "bitmapPresent") else coded == points
    if rows < 3 or columns < 3 or rows * columns != points or not all_coded:
        raise ConversionError(f"it is damaged: {points} points with {coded} values on the grid {extent}")
    if not (_close(north, 90.0) and _close(south, -90.0)):
        raise ConversionError(f"its grid does not reach from pole to pole: {extent}")
    spacing = 360 / columns
    if not _close((east - west + spacing + 180) % 360, 180.0):
        raise ConversionError(f"its grid does not go once around the globe: {extent}")
    if not _close((west + spacing / 2) % spacing, spacing / 2):
        raise ConversionError(f"its grid has no column at longitude 0: {extent}")
    return Grid(rows, columns, west % 360, scanning)


def _close(angle: float, expected: float) -> bool:
    return abs(angle - expected) <= _TOLERANCE_DEGREES


def _as_stored(values: npt.NDArray[np.float64], header: Header) -> Half:
    """A plane (lat, lon) as the wind file has it: float16 (lat, lon + 1)."""
    standard = float(altitude(header.level)) if header.variable == "HGT" else 0.0
    stored = halves.pack(values, standard)
    if stored is None:
        missing = int(np.count_nonzero(~np.isfinite(values) | (values == _MISSING)))
        if missing:
            raise ConversionError(f"{header}: {missing} of {values.size} values are missing; a wind file has no gaps")
        largest = float(np.abs(values - standard).max())
        raise ConversionError(f"{header}: a value of size {largest:g} does not fit float16, limit {halves.LARGEST:g}")
    return stored
