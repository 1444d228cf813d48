"""One member's winds: the wind file `YYYYMMDDHH_MM.npz`, mapped from disk in place.

The file is an uncompressed zip, so `data.npy` is one run of bytes: it is mapped where it lies, and the page cache
is shared by all processes. The layout of the arrays is in the README.
"""

from __future__ import annotations

import fcntl
import io
import json
import mmap
import os
import struct
import tokenize
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import cutfiles
import sharedfiles
from habsim import atmosphere
from habsim.classes import WindField
from habsim.errors import WindFileError

ALIGNMENT = 64  # bytes: one cache line
HALF = np.dtype("<f2")
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, name length, extra length
_EXTRA_PADDING_ID = 0xA220  # "padding" in the registry of extra fields that other zip writers use for alignment
_COPY_BYTES = 1 << 24
_LATEST = 32503680000.0  # Unix seconds of the year 3000
SMALL_BYTES = 1 << 20  # more than any list of levels or any provenance needs
# What `zipfile` and `numpy.lib.format` raise on bytes that are not what they should be.
DAMAGE = (
    zipfile.BadZipFile, tokenize.TokenError, struct.error, OSError, EOFError, RuntimeError, MemoryError,
    ValueError, TypeError, LookupError, ArithmeticError, SyntaxError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of a file on disk from another."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class MappedFile:
    """A file that is mapped whole, read-only, and locked against removal from a cache.

    It stays so until nobody refers to this object and to what was made of `mapped`.
    """

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        """Open `path` with `flags`. Raises WindFileError when that cannot be, or the file is empty."""
        self.path = path
        try:
            self.descriptor = os.open(path, flags)
        except OSError as error:
            raise WindFileError(f"{path.name} cannot be opened: {error.strerror}") from error
        weakref.finalize(self, os.close, self.descriptor)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WindFileError(f"{path.name} is being removed") from error
        self.identity = Identity.of(os.fstat(self.descriptor))
        try:
            self.mapped = _map_whole(self.descriptor, self.identity.size, path)
        except (OSError, ValueError) as error:
            raise WindFileError(f"{path.name} cannot be mapped: {error}") from error

    def is_intact(self) -> bool:
        """True while the mapped bytes are those that were mapped, whether or not the file still has its name."""
        return Identity.of(os.fstat(self.descriptor)) == self.identity

    def is_unchanged(self) -> bool:
        """True while the mapped file is in its folder and has the bytes it had when it was mapped."""
        try:
            return Identity.of(self.path.stat()) == self.identity
        except OSError:
            return False


class WindFile(MappedFile):
    """A mapped wind file.

    `winds` are its arrays; `source` is the provenance written by the converter, or an empty dictionary.
    """

    def __init__(self, path: Path) -> None:
        """Map `path`. Raises WindFileError when it is absent, damaged or inconsistent."""
        super().__init__(path)
        self.winds, self.source = read_arrays(self.mapped, path.name)
        check_content(self.winds)


def _map_whole(descriptor: int, size: int, path: Path) -> mmap.mmap:
    if size == 0:
        raise WindFileError(f"{path.name} is empty")
    mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    # A flight touches a few columns far apart: reading ahead would fetch what nobody asked for.
    mapped.madvise(mmap.MADV_RANDOM)
    # Somebody may cut the file while it is read: then `is_intact` tells, and the process lives.
    address = np.frombuffer(mapped, np.uint8).ctypes.data
    weakref.finalize(mapped, cutfiles.forget, cutfiles.watch(address, size))
    return mapped


def read_arrays(mapped: mmap.mmap, name: str) -> tuple[WindField, dict[str, Any]]:
    """The arrays of a mapped wind file as views of the map, and its provenance.

    Raises WindFileError when the file is damaged or its arrays do not agree with each other.
    """
    try:
        # Of the map, not of the file: directory and arrays are of one state of it.
        with zipfile.ZipFile(PlacedBytes(len(mapped), lambda at, n: mapped[at : at + n])) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            missing = {"data", "timestamp", "interval", "levels"} - entries.keys()
            if missing:
                raise WindFileError(f"{name} has no {', '.join(sorted(missing))}")
            small = {
                key: _small_array(archive, entries[key], name)
                for key in ("timestamp", "interval", "levels", "source")
                if key in entries
            }
            data = _array_in_place(mapped, entries["data"], name)
            height = _array_in_place(mapped, entries["height"], name) if "height" in entries else None
    except WindFileError:
        raise
    except DAMAGE as error:
        raise WindFileError(f"{name} is damaged: {error}") from error
    winds = WindField(
        name=name,
        data=data,
        height=height,
        levels=_axis(small["levels"], name),
        start=_scalar(small["timestamp"], "timestamp", name),
        interval_seconds=_scalar(small["interval"], "interval", name),
    )
    _check(winds)
    return winds, _source(small.get("source"), name)


class PlacedBytes(io.RawIOBase):
    """The least of a file that `zipfile` needs, over `size` bytes that `at` (offset, length) gives."""

    def __init__(self, size: int, at: Callable[[int, int], bytes]) -> None:
        self._size, self._at = size, at
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("seek before the start")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        content = self._at(self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(content)
        return content


def _small_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> npt.NDArray[Any]:
    _check_stored(entry, name)
    if entry.file_size > SMALL_BYTES:
        raise WindFileError(f"{entry.filename} of {name} has {entry.file_size} bytes, at most {SMALL_BYTES}")
    return np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)


def _check_stored(entry: zipfile.ZipInfo, name: str) -> None:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise WindFileError(f"{name} is compressed; write it with numpy.savez, not savez_compressed")


def _array_in_place(mapped: mmap.mmap, entry: zipfile.ZipInfo, name: str) -> npt.NDArray[np.float16]:
    """The array of a stored zip entry as a read-only view of the map, at whatever byte it starts."""
    _check_stored(entry, name)
    signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(mapped, entry.header_offset)
    if signature != b"PK\x03\x04":
        raise WindFileError(f"{name} is damaged: no local header at byte {entry.header_offset}")
    start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    header = io.BytesIO(mapped[start : start + min(entry.file_size, 4096)])
    version = np.lib.format.read_magic(header)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(header)
    if dtype != HALF or fortran_order:
        order = "column-major" if fortran_order else "row-major"
        raise WindFileError(f"{entry.filename} of {name} is {order} {dtype}, it must be row-major float16")
    size = int(np.prod(shape, dtype=np.int64)) * HALF.itemsize
    if header.tell() + size != entry.file_size or start + entry.file_size > len(mapped):
        raise WindFileError(
            f"{entry.filename} of {name} holds {entry.file_size - header.tell()} bytes, shape {shape} needs {size}"
        )
    return np.ndarray(shape, dtype=HALF, buffer=mapped, offset=start + header.tell())


def _scalar(value: npt.NDArray[Any], what: str, name: str) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise WindFileError(f"{what} of {name} is {value!r}, it must be one finite number")
    return float(value.reshape(()))


def _axis(value: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    if value.ndim != 1 or value.dtype.kind not in "iuf":
        raise WindFileError(f"levels of {name} must be a list of numbers")
    return value.astype(np.float64)


def _source(value: npt.NDArray[Any] | None, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        source = json.loads(str(value))
    except (ValueError, RecursionError) as error:
        raise WindFileError(f"source of {name} is not JSON: {error}") from error
    return source if isinstance(source, dict) else {"source": source}


def _check(winds: WindField) -> None:
    """Refuse arrays that do not agree with each other."""
    name, shape = winds.name, winds.data.shape
    if len(shape) != 5 or shape[4] != 2 or min(shape[:2]) < 3 or shape[2] < 2 or shape[3] < 2:
        raise WindFileError(
            f"data of {name} has shape {shape}, it must be (lat >= 3, lon >= 3, level >= 2, time >= 2, 2)"
        )
    levels = winds.levels
    if len(levels) != shape[2]:
        raise WindFileError(f"{name} names {len(levels)} levels, its data has {shape[2]}")
    if not (np.isfinite(levels).all() and levels[0] > 0 and (np.diff(levels) > 0).all()):
        raise WindFileError(f"levels of {name} must be positive hPa in ascending order")
    if winds.interval_seconds <= 0:
        raise WindFileError(f"interval of {name} is {winds.interval_seconds:g} s, it must be positive")
    if winds.height is not None and winds.height.shape != shape[:4]:
        raise WindFileError(f"height of {name} has shape {winds.height.shape}, its data {shape[:4]}")
    if not (winds.start >= 0.0 and winds.end <= _LATEST):
        raise WindFileError(f"{name} covers {winds.start:g} to {winds.end:g} (Unix seconds), not in 1970..3000")


def check_content(winds: WindField) -> None:
    """Refuse values that cannot be right, looking at some of them. Raises WindFileError."""
    name, shape = winds.name, winds.data.shape
    if winds.height is not None:
        _check_heights(winds.height, winds.levels, name)
    for row in (shape[0] // 4, shape[0] // 2, 3 * shape[0] // 4):
        if winds.data[row, 0].tobytes() != winds.data[row, -1].tobytes():
            raise WindFileError(f"{name}: the last longitude column must repeat the first (360 = 0 degrees)")


def _check_heights(height: npt.NDArray[np.float16], levels: npt.NDArray[np.float64], name: str) -> None:
    """Refuse heights that put a level above one of less pressure; some columns tell."""
    rows, columns, _, times = height.shape
    some = np.ix_(range(0, rows, max(1, rows // 4)), range(0, columns, max(1, columns // 6)))
    for time in (0, times - 1):
        altitudes = atmosphere.altitude(levels) + height[..., time][some].astype(np.float64)
        upside_down = np.diff(altitudes, axis=2) >= 0.0  # a value that is no number is found where a flight meets it
        if upside_down.any():
            level = int(np.argwhere(upside_down)[0][2])
            raise WindFileError(f"height of {name} puts {levels[level + 1]:g} hPa above {levels[level]:g} hPa")


def write(
    path: Path,
    *,
    data: npt.NDArray[np.float16],
    timestamp: float,
    interval_seconds: float,
    levels: npt.ArrayLike,
    height: npt.NDArray[np.float16] | None = None,
    source: dict[str, Any] | None = None,
) -> None:
    """Write a wind file; its arrays start at a multiple of 64 bytes.

    `data` (lat, lon, level, time, 2) float16 m/s and `height` (lat, lon, level, time) float16 m may be mapped
    files: they are copied a piece at a time. The file appears whole or not at all.
    Raises WindFileError when the arrays do not agree with each other.
    """
    winds = WindField(
        path.name, data, height, np.asarray(levels, np.float64), float(timestamp), float(interval_seconds)
    )
    for array in (data, height):
        if array is not None and array.dtype != HALF:
            raise WindFileError(f"{path.name} would hold {array.dtype}, it must be float16")
    if not np.isfinite([winds.start, winds.interval_seconds]).all():
        raise WindFileError(f"timestamp and interval of {path.name} must be finite numbers")
    _check(winds)
    check_content(winds)
    write_rows(
        path,
        _pieces(data),
        None if height is None else _pieces(height),
        shape=data.shape,
        timestamp=winds.start,
        interval_seconds=winds.interval_seconds,
        levels=winds.levels,
        source=source,
    )


def _pieces(array: npt.NDArray[np.float16]) -> Iterator[npt.NDArray[np.float16]]:
    """Some latitude rows at a time, each piece contiguous."""
    rows = max(1, _COPY_BYTES // array[:1].nbytes)
    return (np.ascontiguousarray(array[first : first + rows]) for first in range(0, len(array), rows))


def write_rows(
    path: Path,
    winds: Iterable[npt.NDArray[Any]],
    heights: Iterable[npt.NDArray[Any]] | None,
    *,
    shape: tuple[int, ...],
    timestamp: float,
    interval_seconds: float,
    levels: npt.ArrayLike,
    source: dict[str, Any] | None = None,
) -> None:
    """Write a wind file that may not fit into memory, and is not checked: first all of `heights`, then all of `winds`.

    These give one or more latitude rows at a time, each with the bytes of (lon, level, time) or (lon, level, time, 2)
    float16, row-major; `shape` is that of all winds. The file appears whole or not at all.
    """
    small: dict[str, npt.NDArray[Any]] = {
        "timestamp": np.array(timestamp, np.float64),
        "interval": np.array(interval_seconds, np.float64),
        "levels": np.ascontiguousarray(levels, np.float64),
    }
    if source is not None:
        small["source"] = np.array(json.dumps(source, sort_keys=True))
    with sharedfiles.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in small.items():
            _write_entry(archive, name, array.dtype, array.shape, [array])
        if heights is not None:
            _write_entry(archive, "height", HALF, shape[:4], heights)
        _write_entry(archive, "data", HALF, shape, winds)


def _write_entry(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    pieces: Iterable[npt.NDArray[Any]],
) -> None:
    """Write an array that comes in contiguous pieces; its bytes start at a multiple of 64."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    # A fixed date makes equal content equal bytes.
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    zip64_extra = 20  # bytes that `zipfile` puts before our padding with force_zip64
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(entry.filename) + zip64_extra + 4 + header.getbuffer().nbytes
    padding = -start % ALIGNMENT
    entry.extra = struct.pack("<HH", _EXTRA_PADDING_ID, padding) + bytes(padding)
    with archive.open(entry, "w", force_zip64=True) as target:
        target.write(header.getvalue())
        for piece in pieces:
            target.write(piece.data)
