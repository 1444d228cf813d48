"""The wind files of a bucket that are on this machine, whole or in part: opened, completed, and removed in time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sharedfiles
from habsim.errors import BucketError, UnavailableError, WindFileError
from store import resident
from store.bucket import ObjectInfo
from store.manifest import WIND_FILE, ManifestMember
from store.publish import sha256
from store.ranges import RangeReader, merged
from store.resident import MAP, PART, ResidentFile, with_room, write_at
from windfile import Identity, WindFile

log = logging.getLogger(__name__)

MemberFile = WindFile | ResidentFile

OPEN_SECONDS = 60.0  # for another process that makes the same file
UNUSED_SECONDS = 3600.0  # after so long the files of another cycle than the current one go
BATCH_BYTES = 8 << 20  # fetched at a time when a file is completed
_KEPT_RECORDS = 200  # of verified files: several cycles of the largest ensemble


@dataclass(frozen=True)
class Published:
    """A wind file of a bucket: which version of the object, and what its manifest says, if there is one."""

    name: str
    info: ObjectInfo
    member: ManifestMember | None

    @property
    def token(self) -> str:
        """What a file on disk must have been verified against."""
        return self.member.sha256 if self.member is not None else f"version {self.info.version}"

    @property
    def identity(self) -> bytes:
        return f"{self.info.version} {self.token}\n".encode()


@dataclass(frozen=True)
class Entry:
    """A wind file in the cache: `path` is the file, `used` Unix seconds of its last use, `size` bytes on disk."""

    name: str
    path: Path
    is_whole: bool
    used: float
    size: int

    @property
    def cycle(self) -> str:
        return self.name[:10]


class Verified:
    """Notes that a file was verified, for this very state of it: hashing takes a second per gigabyte."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, name: str, identity: Identity, token: str) -> bool:
        try:
            return self._record(name).read_bytes() == _record(identity, token)
        except FileNotFoundError:
            return False

    def add(self, name: str, identity: Identity, token: str) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            sharedfiles.write_atomically(self._record(name), _record(identity, token), durable=False)
            sharedfiles.prune(self._folder, keep=_KEPT_RECORDS, max_age_seconds=math.inf, now=time.time())
        except OSError as error:
            log.warning("%s is verified, which could not be noted: %s", name, error.strerror)

    def touch(self, name: str) -> None:
        """Note that the file is in use."""
        with contextlib.suppress(OSError):
            os.utime(self._record(name))

    def used(self, name: str) -> float:
        """Unix seconds of the last use; 0 when none is noted."""
        try:
            return self._record(name).stat().st_mtime
        except OSError:
            return 0.0

    def drop(self, name: str) -> None:
        self._record(name).unlink(missing_ok=True)

    def add_bad(self, name: str, published: Published) -> None:
        """Note that this very object is not what its manifest says."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sharedfiles.write_atomically(self._bad(name), published.identity, durable=False)

    def is_bad(self, name: str, published: Published) -> bool:
        try:
            return self._bad(name).read_bytes() == published.identity
        except FileNotFoundError:
            return False

    def _bad(self, name: str) -> Path:
        return self._folder / f"{name}.bad"

    def _record(self, name: str) -> Path:
        return self._folder / name


def _record(identity: Identity, token: str) -> bytes:
    return f"{identity.inode} {identity.size} {identity.modified_ns} {token}\n".encode()


class DiskCache:
    """The folder of wind files that were fetched from a bucket.

    `NAME.npz` is a whole wind file, `NAME.npz.part` and `NAME.npz.tiles` are one in the making. Bounded by `max_files`
    and `max_bytes`: the least recently used go first, never one that a process has mapped.
    """

    def __init__(self, folder: Path, reader: RangeReader, max_files: int, max_bytes: float) -> None:
        self.folder = folder
        self.reader = reader
        self.max_bytes = max_bytes
        self._max_files = max_files
        self.verified = Verified(folder / "verified")

    def open(self, published: Published) -> MemberFile:
        """What is on disk of a wind file, at first only its frame.

        Raises what the bucket raises, WindFileError when the object is not the wind file of the manifest, and
        UnavailableError when the disk has no room.
        """
        name = published.name
        if self.verified.is_bad(name, published):
            raise WindFileError(f"{name} was fetched whole and has another SHA-256 than its manifest says")
        found = self._opened(published)
        if found is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone(name):
                found = self._opened(published) or self._adopted(published) or self._made(published)
        shape = found.winds.data.shape
        if published.member is not None and shape != published.member.shape:
            raise WindFileError(f"{name} has shape {shape}, its manifest {published.member.shape}")
        return found

    def _opened(self, published: Published) -> MemberFile | None:
        """What is on disk of this very object, if anything is."""
        name, info = published.name, published.info
        with contextlib.suppress(WindFileError):
            whole = WindFile(self.folder / name)
            if whole.is_unchanged() and self.verified.has(name, whole.identity, published.token):
                self.verified.touch(name)
                return whole
        with contextlib.suppress(WindFileError):
            part = ResidentFile(self.folder, name, self.reader, self.free_room)
            head = part.head
            if part.is_unchanged() and (head.version, head.size, head.token) == (
                info.version,
                info.size,
                published.token,
            ):
                part.touch()
                return part
        return None

    def _adopted(self, published: Published) -> WindFile | None:
        """A whole wind file that somebody put into the folder, if it is the published one."""
        path = self.folder / published.name
        if published.member is None or not path.exists() or path.stat().st_size != published.member.size:
            return None
        with contextlib.suppress(WindFileError, OSError):
            whole = WindFile(path)
            if sha256(path) == published.member.sha256 and whole.is_unchanged():
                self.verified.add(published.name, whole.identity, published.token)
                return whole
        return None

    def _made(self, published: Published) -> ResidentFile:
        """The sparse file of an object, in the place of what there was of that name."""
        name = published.name
        self.trim(room_for=1)
        (self.folder / name).unlink(missing_ok=True)
        with_room(
            lambda: resident.create(self.folder, name, published.info, published.token, self.reader),
            self.free_room,
            name,
        )
        return ResidentFile(self.folder, name, self.reader, self.free_room)

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold the lock under which the files of a name are made, finished or removed."""
        with sharedfiles.exclusive(self._lock(name), OPEN_SECONDS) as held:
            if not held:
                raise UnavailableError(f"another process has been opening {name} for {OPEN_SECONDS:.0f} s; try again")
            yield

    def _lock(self, name: str) -> Path:
        return self.folder / f".{name}.lock"

    def fetched(self, name: str) -> Path:
        """The whole of an object that is no wind file and never leaves the cache, as it is in the bucket now.

        Raises NotFoundError when the bucket has none. What was fetched before is used while the store does not answer.
        """
        path = self.folder / name
        try:
            info = self.reader.bucket.info(name)
        except BucketError as error:
            if not path.exists():
                raise
            log.warning("%s is used as it was fetched before: %s", name, error.message)
            return path
        token = f"version {info.version}"
        if not path.exists() or not self.verified.has(name, Identity.of(path.stat()), token):
            log.info("fetching %s, %.0f MB", name, info.size / 1e6)
            self.folder.mkdir(parents=True, exist_ok=True)
            with_room(lambda: self._fetch_whole(name, info, path), self.free_room, name)
            self.verified.add(name, Identity.of(path.stat()), token)
        return path

    def _fetch_whole(self, name: str, info: ObjectInfo, path: Path) -> None:
        with sharedfiles.replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
            parts = merged([(0, info.size)])
            self.reader.read(name, info.version, parts, lambda at, content: write_at(file.fileno(), at, content))

    # Completing

    def complete(self, published: Published, pace: Callable[[int], bool]) -> bool:
        """Fetch all that is missing of a wind file and make it a plain one; returns whether it is one now.

        `pace` is told the bytes of each batch before it is fetched, waits as long as it likes, and says whether to go
        on. Raises as `open` and `ResidentFile.fetch` do, and WindFileError when the bytes are not the published ones.
        """
        file = self.open(published)
        if isinstance(file, WindFile):
            return True
        missing = file.missing()
        size = max(1, BATCH_BYTES // file.tile_bytes)
        for first in range(0, len(missing), size):
            batch = missing[first : first + size]
            if not pace(len(batch) * file.tile_bytes):
                return False
            file.fetch(batch)
        self._finish(file, published)
        return True

    def _finish(self, file: ResidentFile, published: Published) -> None:
        name = published.name
        if published.member is not None and sha256(file.path) != published.member.sha256:
            self.verified.add_bad(name, published)
            with self._alone(name):
                (self.folder / (name + MAP)).unlink(missing_ok=True)
                file.path.unlink(missing_ok=True)
            raise WindFileError(f"{name} was fetched whole and has another SHA-256 than its manifest says")
        os.fsync(file.descriptor)
        with self._alone(name):
            if file.is_unchanged():
                # The note first: a file that is killed before it has its name is not hashed again.
                identity = Identity.of(os.fstat(file.descriptor))
                self.verified.add(name, identity, published.token)
                file.path.replace(self.folder / name)
                (self.folder / (name + MAP)).unlink(missing_ok=True)
                log.info("%s is on this machine whole", name)

    # Removing

    def entries(self) -> list[Entry]:
        """All wind files of the folder, the least recently used first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for item in os.scandir(self.folder):
                name = item.name.removesuffix(PART)
                if WIND_FILE.fullmatch(name):
                    with contextlib.suppress(FileNotFoundError):
                        status = item.stat()
                        is_whole = item.name == name
                        used = self.verified.used(name) if is_whole else self._used(name)
                        found.append(Entry(name, Path(item.path), is_whole, used, status.st_blocks * 512))
        return sorted(found, key=lambda entry: entry.used)

    def _used(self, name: str) -> float:
        try:
            return (self.folder / (name + MAP)).stat().st_mtime
        except OSError:
            return 0.0

    def used_bytes(self) -> int:
        return sum(entry.size for entry in self.entries())

    def trim(self, room_for: int = 0) -> None:
        """Remove files until the bounds hold, with room for so many more."""
        sharedfiles.remove_abandoned(self.folder)
        entries = self.entries()
        files, size = len(entries) + room_for, sum(entry.size for entry in entries)
        for entry in entries:
            if files <= self._max_files and size <= self.max_bytes:
                return
            if self._remove(entry):
                files, size = files - 1, size - entry.size
        if files > self._max_files or size > self.max_bytes:
            log.debug("the disk cache holds %d files, %.1f GB, all in use", files, size / 1e9)

    def remove_others(self, cycle: str, now: float) -> None:
        """Remove the files of other cycles than `cycle` that nobody has used for a while; `now` in Unix seconds."""
        for entry in self.entries():
            if entry.cycle != cycle and now - entry.used > UNUSED_SECONDS:
                self._remove(entry)

    def free_room(self) -> bool:
        """Remove the least recently used file that nobody has mapped; False when there is none."""
        return any(self._remove(entry) for entry in self.entries())

    def _remove(self, entry: Entry) -> bool:
        with sharedfiles.exclusive(self._lock(entry.name), 0.0) as held:
            if not held or not _is_free(entry.path):
                return False
            for path in (self.folder / (entry.name + MAP), entry.path):
                path.unlink(missing_ok=True)
            self.verified.drop(entry.name)
        log.info("%s leaves the disk cache, %.1f MB", entry.path.name, entry.size / 1e6)
        return True


def _is_free(path: Path) -> bool:
    """Whether the file is there and no process has it mapped."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
