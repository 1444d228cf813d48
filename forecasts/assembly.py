"""The wind file of a member from its steps: each step is decoded into a file of its own, and those are woven together.

A wind file has time nearly innermost, so a step that is written straight into it touches every page. A step file has
the order (lat, level, lon) instead; the wind file is then written once from its first byte to its last, a latitude row
of all steps at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import windfile
from forecasts import grib
from forecasts.noaa import HEIGHT, WINDS, Product, Wanted
from habsim.errors import ConversionError

_THREADS = 2  # numpy and zlib give the interpreter free while they copy and sum
_CHECKSUM_BYTES = 4
_READ_BYTES = 1 << 20
_ROWS_AHEAD = 4  # rows of all steps that wait to be written, 9 MB each in the full product


@dataclass(frozen=True)
class Found:
    """A message that lies in a file at byte `position`, and the fields that are taken from it."""

    position: int
    length: int
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class StepJob:
    """One step of a member to decode: the messages in `raw`, and where they come from. `run` is Unix seconds."""

    raw: Path
    messages: tuple[Found, ...]
    product: Product
    run: int
    member: int
    step_hours: int
    target: Path


def step_bytes(product: Product) -> int:
    """The size of a step file: winds (lat, level, lon, 2), heights (lat, level, lon), and a checksum of both."""
    rows, columns, levels = product.shape[:3]
    return rows * columns * levels * 2 * (3 if product.has_height else 2) + _CHECKSUM_BYTES


def is_step(path: Path, product: Product) -> bool:
    """Whether a whole step file is there; the checksum tells it from one that a power cut left."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != step_bytes(product):
                return False
            checksum = 0
            left = step_bytes(product) - _CHECKSUM_BYTES
            while left:
                chunk = file.read(min(left, _READ_BYTES))
                checksum = zlib.crc32(chunk, checksum)
                left -= len(chunk)
            return file.read() == checksum.to_bytes(_CHECKSUM_BYTES, "big")
    except FileNotFoundError:
        return False


def check_whole(job: StepJob) -> None:
    """Raise ConversionError where a message of the job does not begin and end as a GRIB2 message of its length does."""
    with job.raw.open("rb") as file:
        for message in job.messages:
            start = os.pread(file.fileno(), 16, message.position)
            end = os.pread(file.fileno(), 4, message.position + message.length - 4)
            length = int.from_bytes(start[8:16], "big")
            if (start[:4], start[7:8], length, end) != (b"GRIB", b"\2", message.length, b"7777"):
                names = ", ".join(f"{variable} at {level:g} hPa" for variable, level in message.wanted)
                raise ConversionError(
                    f"{names}: no GRIB2 message of {message.length} bytes lies where the inventory says "
                    f"({start[:4]!r}, {length} bytes, {end!r})"
                )


def decode_step(job: StepJob) -> None:
    """Decode the messages of a step into the new file `job.target`.

    Raises ConversionError when a message is damaged or not what the inventory says.
    """
    rows, columns, levels = job.product.shape[:3]
    winds = np.empty((rows, levels, columns, 2), np.float16)
    heights = np.empty((rows, levels, columns), np.float16) if job.product.has_height else None
    absent = set(job.product.wanted)
    with job.raw.open("rb") as file:
        for message in job.messages:
            content = os.pread(file.fileno(), message.length, message.position)
            fields = {(f.header.variable, f.header.level): f for f in grib.decode(content, job.product.stride)}
            for wanted in message.wanted:
                if wanted not in fields:
                    others = ", ".join(str(field.header) for field in fields.values()) or "no wind or height"
                    raise ConversionError(
                        f"{wanted[0]} at {wanted[1]:g} hPa is in the inventory, its message has {others}"
                    )
                variable, level = wanted
                _check_header(job, fields[wanted].header)
                k = job.product.levels.index(level)
                if variable == HEIGHT and heights is not None:
                    heights[:, k] = fields[wanted].values
                else:
                    winds[:, k, :, WINDS.index(variable)] = fields[wanted].values
                absent.discard(wanted)
    if absent:
        raise ConversionError(f"{len(absent)} fields of the step are missing, one is {min(absent)}")
    with job.target.open("xb") as target:
        checksum = 0
        for array in (winds, heights):
            if array is not None:
                target.write(array.data.cast("B"))
                checksum = zlib.crc32(array.data.cast("B"), checksum)
        target.write(checksum.to_bytes(_CHECKSUM_BYTES, "big"))


def _check_header(job: StepJob, header: grib.Header) -> None:
    """Refuse a field of another run, step, member or grid than the job's."""
    series = header.series
    found = (series.run, header.valid, series.member, series.rows, series.columns)
    product = job.product
    expected = (job.run, job.run + job.step_hours * 3600, job.member, product.rows, product.columns + 1)
    if found != expected:
        names = ("run", "time", "member", "rows", "columns")
        differences = [f"{n} {a}, not {b}" for n, a, b in zip(names, found, expected, strict=True) if a != b]
        raise ConversionError(f"{header}: {', '.join(differences)}")


def assemble(steps: Sequence[Path], product: Product, path: Path, run: int, source: dict[str, Any]) -> None:
    """Write the wind file `path` from the step files of all steps in order. `run` is Unix seconds."""
    rows, columns, levels = product.shape[:3]
    winds_bytes = rows * columns * levels * 4
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(step.open("rb")).fileno() for step in steps]
        pool = stack.enter_context(ThreadPoolExecutor(_THREADS))
        # A pair of winds is moved as one word.
        winds = _Rows(files, 0, np.dtype(np.uint32), (levels, columns))
        heights = _Rows(files, winds_bytes, np.dtype(np.uint16), (levels, columns))
        windfile.write_rows(
            path,
            winds.all(pool, rows),
            heights.all(pool, rows) if product.has_height else None,
            shape=product.shape,
            timestamp=run,
            interval_seconds=product.interval_seconds,
            levels=product.levels,
            source=source,
        )


@dataclass(frozen=True)
class _Rows:
    """The latitude rows of one array of the wind file, read from the step files `files` at byte `offset` of each."""

    files: list[int]
    offset: int
    word: np.dtype[Any]
    shape: tuple[int, int]  # (level, lon) of a row in a step file

    def all(self, pool: ThreadPoolExecutor, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Every row (lon, level, time) in order; the next few are made while one is written."""
        waiting: deque[Future[npt.NDArray[Any]]] = deque()
        numbers = iter(range(rows))
        for number in itertools.islice(numbers, _ROWS_AHEAD):
            waiting.append(pool.submit(self.row, number))
        while waiting:
            row = waiting.popleft().result()
            if (number := next(numbers, -1)) >= 0:
                waiting.append(pool.submit(self.row, number))
            yield row

    def row(self, number: int) -> npt.NDArray[Any]:
        levels, columns = self.shape
        steps = np.empty((len(self.files), levels, columns), self.word)
        for file, step in zip(self.files, steps, strict=True):
            if os.preadv(file, [step.data.cast("B")], self.offset + number * step.nbytes) != step.nbytes:
                raise ConversionError("a step file was cut while it was read")
        woven = np.empty((columns, levels, len(self.files)), self.word)
        for level in range(levels):  # one level at a time stays in the cache
            woven[:, level] = steps[:, level].T
        return woven
