"""Wind files of which only some parts are on this machine.

A sparse file of the right size holds what was fetched, each byte where it is in the object; beside it lies a map with
a byte for each tile, a run of columns in one latitude row, which is set after the tile's bytes are in the file. All
processes of the machine share both. What is not winds, the frame (zip directory, headers, small arrays), is fetched
when the file is made, so that the ordinary reader can open it.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import mmap
import os
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sharedfiles
from habsim.classes import Tiles, WindField
from habsim.errors import UnavailableError, WindFileError
from store.bucket import ObjectInfo
from store.ranges import Range, RangeReader, merged
from windfile import DAMAGE, SMALL_BYTES, MappedFile, PlacedBytes, read_arrays

PART, MAP = ".part", ".tiles"  # endings of the sparse file and its map
TILE_BYTES = 32 << 10  # of winds in a tile, at least
_HEADER_BYTES = 4096
_BLOCK_BYTES = 16 << 10  # the unit in which the frame is fetched
_LONGEST_FRAME = 16 << 20
_LOCAL_HEADER_BYTES = 8192  # more than the headers of a zip entry and an array take together
_WINDS = {"data.npy", "height.npy"}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Indices = npt.NDArray[np.intp]
Watch = Callable[[int, int], None]  # is told of bytes that were asked for, and of bytes that have come


def tile_columns(winds: WindField) -> int:
    """How many columns a tile has: the least power of two whose winds are worth a request."""
    return 1 << (-(-TILE_BYTES // int(winds.data[0, 0].nbytes)) - 1).bit_length()


@dataclass(frozen=True)
class Layout:
    """Where the winds lie in a wind file: `arrays` are offset and bytes of a column of each of its arrays."""

    rows: int
    columns: int
    tile_columns: int
    arrays: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, winds: WindField, mapped: mmap.mmap, tile_columns: int) -> Layout:
        start = np.frombuffer(mapped, np.uint8).ctypes.data
        arrays = [array for array in (winds.data, winds.height) if array is not None]
        rows, columns = winds.data.shape[:2]
        placed = tuple((array.ctypes.data - start, array[0, 0].nbytes) for array in arrays)
        return cls(rows, columns, tile_columns, placed)

    @property
    def in_row(self) -> int:
        """Tiles in a latitude row."""
        return -(-self.columns // self.tile_columns)

    @property
    def tiles(self) -> int:
        return self.rows * self.in_row

    def ranges(self, tiles: Indices) -> list[Range]:
        """The byte ranges of `tiles` (ascending indices, row * in_row + tile), ascending in each array."""
        found: list[Range] = []
        row, tile = np.divmod(tiles, self.in_row)
        first = row * self.columns + tile * self.tile_columns
        end = np.minimum(first + self.tile_columns, (row + 1) * self.columns)
        for offset, column_bytes in self.arrays:
            found += zip((offset + first * column_bytes).tolist(), ((end - first) * column_bytes).tolist(), strict=True)
        return found

    def outside(self, size: int) -> list[Range]:
        """The frame of a file of `size` bytes: all that is not winds."""
        found, position = [], 0
        for offset, column_bytes in sorted(self.arrays):
            found.append((position, offset - position))
            position = offset + self.rows * self.columns * column_bytes
        found.append((position, size - position))
        return [(offset, length) for offset, length in found if length > 0]


@dataclass(frozen=True)
class Head:
    """The head of a map: of which object, in which sparse file, what its tiles are; `token` is what it is published as.

    What was fetched before a power cut may not be on disk; `boot` tells files of another run of the system apart.
    """

    version: str
    size: int
    token: str
    inode: int
    boot: str
    layout: Layout

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode().ljust(_HEADER_BYTES)

    @classmethod
    def from_bytes(cls, content: bytes) -> Head:
        """Raises WindFileError when it is damaged."""
        try:
            fields: dict[str, Any] = json.loads(content)
            layout = fields.pop("layout")
            layout["arrays"] = tuple((int(offset), int(length)) for offset, length in layout["arrays"])
            return cls(**fields, layout=Layout(**layout))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise WindFileError(f"the map of a resident file is damaged: {error!r}") from error


class ResidentFile(MappedFile):
    """A mapped wind file of which `winds.tiles` says what is there; `fetch` brings more."""

    def __init__(self, folder: Path, name: str, reader: RangeReader, free_room: Callable[[], bool]) -> None:
        """Open what is on disk of `name`. Raises WindFileError when there is nothing that can be used.

        `free_room` is asked on a full disk to remove something, and says whether it did.
        """
        super().__init__(folder / (name + PART), os.O_RDWR)
        self.name = name
        self._reader, self._free_room = reader, free_room
        self._map = MappedFile(folder / (name + MAP), os.O_RDWR)
        self.head = head = Head.from_bytes(self._map.mapped[:_HEADER_BYTES])
        if (head.inode, head.size, head.boot) != (self.identity.inode, self.identity.size, boot_id()):
            raise WindFileError(f"the map beside {self.path.name} is of another file")
        winds, self.source = read_arrays(self.mapped, name)
        layout = Layout.of(winds, self.mapped, head.layout.tile_columns)
        if layout != head.layout or self._map.identity.size != _HEADER_BYTES + layout.tiles:
            raise WindFileError(f"the map beside {self.path.name} is of another layout")
        self._present = np.frombuffer(self._map.mapped, np.uint8, offset=_HEADER_BYTES)
        self.winds = dataclasses.replace(winds, tiles=Tiles(layout.tile_columns, layout.in_row, self._present))

    def is_intact(self) -> bool:
        """True while the file has its size: only fetched bytes are written into it, each once and for all."""
        return os.fstat(self.descriptor).st_size == self.identity.size

    def is_unchanged(self) -> bool:
        """True while the file is in the cache and has not become the plain wind file."""
        try:
            return self.path.stat().st_ino == self.identity.inode
        except OSError:
            return False

    @property
    def tile_bytes(self) -> int:
        """Bytes of the winds and heights of a whole tile."""
        layout = self.head.layout
        return layout.tile_columns * sum(column_bytes for _, column_bytes in layout.arrays)

    def missing(self) -> Indices:
        """The tiles that are not there, ascending."""
        return np.flatnonzero(self._present == 0)

    def fetch(self, tiles: Indices, watch: Watch | None = None) -> None:
        """Bring those of `tiles` (ascending) that are not there yet, all at once.

        Raises the bucket's BucketError, ObjectChangedError or NotFoundError, and UnavailableError on a full disk.
        """
        with_room(lambda: self._fetch(tiles, watch), self._free_room, self.name)

    def _fetch(self, tiles: Indices, watch: Watch | None) -> None:
        needed = tiles[self._present[tiles] == 0]
        if not needed.size:
            return
        parts = merged(self.head.layout.ranges(needed))
        if watch is not None:
            watch(sum(length for _, length in parts), 0)

        def take(offset: int, content: bytes) -> None:
            # A file that was completed meanwhile is a plain one: written to again, it would pass for another.
            if not self._present.all():
                write_at(self.descriptor, offset, content)
            if watch is not None:
                watch(0, len(content))

        self._reader.read(self.name, self.head.version, parts, take)
        # Only now: whoever sees the mark finds the bytes. Written, not stored through the map, which a full disk
        # would answer with a signal.
        for first, last in _runs(needed):
            write_at(self._map.descriptor, _HEADER_BYTES + first, b"\1" * (last + 1 - first))

    def touch(self) -> None:
        """Note that it is in use, for the order in which files leave the cache."""
        os.utime(self._map.descriptor)


def create(folder: Path, name: str, info: ObjectInfo, token: str, reader: RangeReader) -> None:
    """Make the sparse file of an object and its map, with the frame fetched and no tile there.

    Raises what the bucket raises, WindFileError when the object is no wind file, OSError when the disk is full.
    """
    temporary = folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}{PART}"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.truncate(descriptor, info.size)
        frame = _Frame(name, info, reader, descriptor)
        frame.fetch_directory()
        file = MappedFile(temporary)
        winds, _ = read_arrays(file.mapped, name)
        layout = Layout.of(winds, file.mapped, tile_columns(winds))
        outside = layout.outside(info.size)
        if sum(length for _, length in outside) > _LONGEST_FRAME:
            raise WindFileError(
                f"{name} holds {sum(n for _, n in outside)} bytes that are no winds, at most {_LONGEST_FRAME}"
            )
        frame.fetch(outside)
        head = Head(info.version, info.size, token, file.identity.inode, boot_id(), layout)
        # First the map, which is of no other file than this one, then the file: a kill in between leaves no pair.
        sharedfiles.write_atomically(folder / (name + MAP), head.to_bytes() + bytes(layout.tiles), durable=False)
        temporary.replace(folder / (name + PART))
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


class _Frame:
    """What of an object is not winds, fetched in blocks into a sparse file."""

    def __init__(self, name: str, info: ObjectInfo, reader: RangeReader, descriptor: int) -> None:
        self._name, self._info, self._reader, self._descriptor = name, info, reader, descriptor
        self._blocks: set[int] = set()

    def fetch_directory(self) -> None:
        """Fetch all that tells where the arrays are. Raises WindFileError when the object is no zip."""
        size = self._info.size
        if size == 0:
            raise WindFileError(f"{self._name} is empty")
        self.fetch([(0, min(_BLOCK_BYTES, size)), (max(0, size - _BLOCK_BYTES), min(_BLOCK_BYTES, size))])
        try:
            with zipfile.ZipFile(PlacedBytes(size, self._read)) as archive:
                entries = archive.infolist()
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of this disk
            raise WindFileError(f"{self._name} is damaged: {error}") from error
        heads = []
        for entry in entries:
            is_small = entry.filename not in _WINDS and entry.file_size <= SMALL_BYTES
            length = _LOCAL_HEADER_BYTES + (entry.file_size if is_small else 0)
            if 0 <= entry.header_offset < size:
                heads.append((entry.header_offset, min(length, size - entry.header_offset)))
        self.fetch(heads)

    def fetch(self, ranges: Sequence[Range]) -> None:
        """Fetch the blocks that hold `ranges`."""
        needed: set[int] = set()
        for offset, length in ranges:
            needed.update(range(offset // _BLOCK_BYTES, -(-(offset + length) // _BLOCK_BYTES)))
        needed -= self._blocks
        size = self._info.size
        parts = [(n * _BLOCK_BYTES, min(_BLOCK_BYTES, size - n * _BLOCK_BYTES)) for n in needed]
        self._reader.read(
            self._name, self._info.version, merged(parts), lambda at, content: write_at(self._descriptor, at, content)
        )
        self._blocks |= needed

    def _read(self, offset: int, length: int) -> bytes:
        if length > _LONGEST_FRAME:
            raise OSError(f"a directory of {length} bytes")
        if length:
            self.fetch([(offset, length)])
        return os.pread(self._descriptor, length, offset)


def with_room(write: Callable[[], None], free_room: Callable[[], bool], name: str) -> None:
    """`write`, again after each time that `free_room` could remove something while the disk was full.

    Raises UnavailableError when the disk stays full.
    """
    while True:
        try:
            write()
            return
        except OSError as error:
            if error.errno not in _FULL:
                raise UnavailableError(f"{name} cannot be kept on disk: {error.strerror}") from error
            if not free_room():
                raise UnavailableError(
                    f"the disk has no room for what is fetched of {name}: free some, or lower HABSIM_CACHE_GB"
                ) from error


def write_at(descriptor: int, offset: int, content: bytes) -> None:
    """Write all of `content` at `offset` of an open file."""
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _runs(indices: Indices) -> list[tuple[int, int]]:
    """First and last of each run of neighbours in ascending `indices`."""
    breaks = np.flatnonzero(np.diff(indices) > 1)
    firsts = indices[np.concatenate(([0], breaks + 1))]
    lasts = indices[np.concatenate((breaks, [len(indices) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


@cache
def boot_id() -> str:
    """Tells one run of the operating system from another.

    What was written to a file is seen by all processes at once, and survives their deaths, but not a power cut.
    """
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
