"""GRIB2 to wind files: takes messages apart, decodes winds and heights, assembles the wind file of one member.

`decode` turns the bytes of one message into fields, `Assembly` puts fields of any order into a wind file, and
`convert` does both for local files. A set of fields becomes a wind file only when it is whole.

A wind file's `timestamp` is its first valid time, and that time names its cycle: the reader knows nothing but start
and interval. So the file of a run from step 0 bears the name of the run, and a steady window, or a run from a later
step, that of its first valid time; the run itself is in `source`.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import windfile
from forecasts.grib import Field, Half, Header, Message, Series, Slot, decode, messages, moment, scan, slot_name
from habsim.errors import ConversionError, NotFoundError
from store.manifest import cycle_start, wind_file_name

log = logging.getLogger(__name__)

CONVERTER = "habsim GRIB2 converter 1"  # the number rises when the same input gives another wind file
WINDS = ("UGRD", "VGRD")
MAX_STEADY_HOURS = 384  # the length of a GEFS run
_NAMED = 10  # fields named in a message


@dataclass(frozen=True)
class Axes:
    """What a wind file is made of: `levels` ascending hPa, `times` ascending Unix seconds.

    With `steady_hours` the one time of the input lasts that long.
    """

    series: Series
    levels: tuple[float, ...]
    times: tuple[int, ...]
    has_height: bool
    steady_hours: int | None = None

    @property
    def interval_seconds(self) -> int:
        return self.times[1] - self.times[0] if self.steady_hours is None else self.steady_hours * 3600

    def absent(self, variables: Sequence[str], present: set[Slot]) -> list[str]:
        """Names of the fields of `variables` that are not `present` (variable, level, time)."""
        wanted = ((v, level, t) for t in self.times for level in self.levels for v in variables)
        return [slot_name(slot) for slot in wanted if slot not in present]


def plan(headers: Sequence[Header], steady_hours: int | None = None) -> Axes:
    """The axes that `headers` span.

    Raises ConversionError when they are not the whole wind of one member at equal intervals. Heights are taken only
    when every level and time has them.
    """
    winds = [header for header in headers if header.variable in WINDS]
    if not winds:
        raise ConversionError("the input has no UGRD or VGRD on isobaric levels")
    for header in headers:
        _refuse_mixture(header, headers[0].series)
    levels = tuple(sorted({header.level for header in winds}))
    times = tuple(sorted({header.valid for header in headers if header.level in levels}))
    if len(levels) < 2:
        raise ConversionError(f"the input has wind on one level only, {levels[0]:g} hPa; a wind file needs at least 2")
    present = {header.slot for header in headers}
    without_height = Axes(headers[0].series, levels, times, False, steady_hours)
    _refuse_absent(without_height.absent(WINDS, present))
    _check_times(times, steady_hours)
    absent = without_height.absent(("HGT",), present)
    if absent:
        log.warning("the wind file gets no heights: %d are missing, first %s", len(absent), absent[0])
        return without_height
    return Axes(headers[0].series, levels, times, True, steady_hours)


def _refuse_mixture(header: Header, series: Series) -> None:
    """Refuse a field that belongs to another run, grid or member."""
    if header.series == series:
        return
    differences = [
        f"{name} {getattr(header.series, name)} and {getattr(series, name)}"
        for name in ("run", "rows", "columns", "centre", "kind", "member")
        if getattr(header.series, name) != getattr(series, name)
    ]
    raise ConversionError(f"{header} does not belong with the other fields: {', '.join(differences)}")


def _refuse_absent(absent: list[str]) -> None:
    if absent:
        rest = f"; and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        raise ConversionError(f"{len(absent)} fields are missing: {'; '.join(absent[:_NAMED])}{rest}")


def _check_times(times: tuple[int, ...], steady_hours: int | None) -> None:
    if steady_hours is not None:
        if not 1 <= steady_hours <= MAX_STEADY_HOURS:
            raise ConversionError(f"steady hours are {steady_hours}, they must be 1..{MAX_STEADY_HOURS}")
        if len(times) > 1:
            raise ConversionError(f"the input has {len(times)} times; a steady wind is made of one")
    elif len(times) < 2:
        raise ConversionError(
            f"the input has one time only, {moment(times[0])}; a wind file needs two, or --steady-hours N"
        )
    elif len(set(np.diff(times).tolist())) > 1:
        raise ConversionError(f"the times are not at equal intervals: {', '.join(moment(time) for time in times)}")


def cycle_name(axes: Axes) -> str:
    """The cycle that the wind file belongs to. Raises ConversionError when its first time cannot name one."""
    name = datetime.datetime.fromtimestamp(axes.times[0], datetime.UTC).strftime("%Y%m%d%H")
    with contextlib.suppress(NotFoundError):
        if cycle_start(name) == axes.times[0]:
            return name
    raise ConversionError(
        f"the first time is {moment(axes.times[0])}; it names the cycle, so it must be 00, 06, 12 or 18 UTC"
    )


class Assembly:
    """A wind file in the making: fields come in any order and wait on disk in `folder`, not in memory."""

    def __init__(self, axes: Axes, folder: Path) -> None:
        self.axes = axes
        self._present: set[Slot] = set()
        self._folder = tempfile.TemporaryDirectory(prefix=".assembly-", dir=folder)
        self._variables = (*WINDS, "HGT") if axes.has_height else WINDS
        plane = (axes.series.rows, axes.series.columns)
        shape = (len(self._variables), len(axes.levels), len(axes.times), *plane)
        try:
            self._planes = _allocate(Path(self._folder.name) / "planes", shape)
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Assembly:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def put(self, field: Field) -> None:
        """Take a field; one outside the axes is left out.

        Raises ConversionError when it belongs to another run, grid or member, or differs from one that is there.
        """
        header, axes = field.header, self.axes
        if header.variable not in self._variables or header.level not in axes.levels or header.valid not in axes.times:
            return
        _refuse_mixture(header, axes.series)
        slot = header.slot
        plane = self._planes[
            self._variables.index(header.variable),
            axes.levels.index(header.level),
            axes.times.index(header.valid),
        ]
        if slot not in self._present:
            plane[:] = field.values
            self._present.add(slot)
        elif not np.array_equal(plane, field.values):
            raise ConversionError(f"{header} is there twice with different values")

    def write(self, path: Path, source: dict[str, Any]) -> None:
        """Write the wind file. Raises ConversionError when a field is missing."""
        axes = self.axes
        _refuse_absent(axes.absent(self._variables, self._present))
        # (variable, level, time, lat, lon) -> (lat, lon, level, time, variable)
        arrays = self._planes.transpose(3, 4, 1, 2, 0)
        if axes.steady_hours is not None:
            arrays = np.broadcast_to(arrays, (*arrays.shape[:3], 2, arrays.shape[4]))
        windfile.write(
            path,
            data=arrays[..., :2],
            timestamp=axes.times[0],
            interval_seconds=axes.interval_seconds,
            levels=axes.levels,
            height=arrays[..., 2] if axes.has_height else None,
            source=source,
        )


def _allocate(path: Path, shape: tuple[int, ...]) -> Half:
    """A float16 array in a file whose disk space is reserved: a full disk is an error here, not a crash later."""
    size = int(np.prod(shape, dtype=np.int64)) * 2
    try:
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise ConversionError(f"{size} bytes of working space in {path.parent.parent}: {error.strerror}") from error
    return np.memmap(path, np.float16, "r+", shape=shape)


@dataclass(frozen=True)
class Converted:
    """A wind file that was made, and the cycle and member that its name says."""

    path: Path
    cycle: str
    member: int
    model: str


def convert(
    files: Sequence[Path], folder: Path, *, member: int | None = None, steady_hours: int | None = None
) -> Converted:
    """Convert GRIB2 files, each with any steps, into the wind file of one member in `folder`.

    `member` defaults to that of the input, or 0. With `steady_hours` the one time of the input becomes a wind that
    does not change for so long. Raises ConversionError when the input is damaged, incomplete or mixed.
    """
    used, headers = _survey(files)
    axes = plan(headers, steady_hours)
    cycle = cycle_name(axes)
    number = member if member is not None else axes.series.member or 0
    if not 0 <= number <= 99:
        raise ConversionError(f"the member is {number}, it must be 0..99")
    path = folder / wind_file_name(cycle, number)
    folder.mkdir(parents=True, exist_ok=True)
    with Assembly(axes, folder) as assembly:
        for message in used:
            with _located(message):
                for found in decode(message.content()):
                    assembly.put(found)
        assembly.write(path, _source(axes, headers, used, number))
    log.info("%s: levels %d, times %d, messages %d", path.name, len(axes.levels), len(axes.times), len(used))
    return Converted(path, cycle, number, axes.series.model)


def _survey(files: Iterable[Path]) -> tuple[list[Message], list[Header]]:
    """The messages that hold usable fields, and the headers of these fields."""
    used: list[Message] = []
    headers: list[Header] = []
    left_out: Counter[str] = Counter()
    for file in files:
        for message in messages(file):
            with _located(message):
                usable, unusable = scan(message.content())
            headers += usable
            left_out.update(unusable)
            if usable:
                used.append(message)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    log.info("%d fields are usable; left out: %s", len(headers), reasons or "none")
    if not headers:
        raise ConversionError(f"the input has no wind on isobaric levels; left out: {reasons or 'none'}")
    return used, headers


@contextlib.contextmanager
def _located(message: Message) -> Iterator[None]:
    """Add to a ConversionError which message it is about."""
    try:
        yield
    except ConversionError as error:
        raise ConversionError(f"{message}: {error.message}", error.details) from error


def _hours(seconds: int) -> int | float:
    return seconds // 3600 if seconds % 3600 == 0 else seconds / 3600


def _source(axes: Axes, headers: Sequence[Header], used: Sequence[Message], member: int) -> dict[str, Any]:
    """The provenance of a wind file."""
    series = axes.series
    source: dict[str, Any] = {
        "product": series.product,
        "centre": series.centre,
        "kind": series.kind,
        "run": datetime.datetime.fromtimestamp(series.run, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "steps_hours": [_hours(time - series.run) for time in axes.times],
        "member": member,
        "files": sorted({message.file.name for message in used}),
        "messages": len(used),
        "converter": CONVERTER,
    }
    if axes.steady_hours is not None:
        source["steady_hours"] = axes.steady_hours
    if not axes.has_height:
        there = {header.slot for header in headers}
        absent = len(axes.absent(("HGT",), there))
        source["height"] = f"left out: {absent} of {len(axes.levels) * len(axes.times)} fields are missing"
    return source
