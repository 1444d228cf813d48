"""The wind files of a bucket that are on this machine, whole or in part: opened, completed, and removed in time."""

from __future__ import annotations

import contextlib
import hashlib
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
from windfile import Identity, WindFile, check_content

log = logging.getLogger(__name__)

MemberFile = WindFile | ResidentFile

OPEN_SECONDS = 60.0  # for another process that makes the same file
UNUSED_SECONDS = 3600.0  # after so long the files of another cycle than the current one go
_AT_ONCE = 4  # ranges of an object that is fetched whole
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

    def __init__(self, folder: Path, keep: int = 0) -> None:
        """At least `keep` records are kept."""
        self.folder = folder
        self._keep = keep

    def has(self, name: str, identity: Identity, token: str) -> bool:
        try:
            return self._record(name).read_bytes() == _record(identity, token)
        except OSError:
            return False

    def add(self, name: str, identity: Identity, token: str) -> None:
        try:
            self._write(self._record(name), _record(identity, token))
        except OSError as error:
            log.warning("%s is verified, which could not be noted: %s", name, error.strerror)

    def _write(self, path: Path, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        sharedfiles.write_atomically(path, content, durable=False)
        keep = max(_KEPT_RECORDS, self._keep)
        sharedfiles.prune(self.folder, keep=keep, max_age_seconds=math.inf, now=time.time())

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

    def add_bad(self, published: Published, reason: str) -> None:
        """Note why this very object cannot be flown."""
        try:
            self._write(self._bad(published.name), published.identity + reason.encode())
        except OSError as error:
            log.warning("%s, which could not be noted: %s", reason, error.strerror)

    def bad(self, published: Published) -> str | None:
        """Why this very object cannot be flown; None where nothing is noted against it."""
        try:
            content = self._bad(published.name).read_bytes()
        except OSError:
            return None
        return content.removeprefix(published.identity).decode() if content.startswith(published.identity) else None

    def _bad(self, name: str) -> Path:
        return self.folder / f"{name}.bad"

    def _record(self, name: str) -> Path:
        return self.folder / name


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
        self.verified = Verified(folder / "verified", keep=2 * max_files)

    def open(self, published: Published) -> MemberFile:
        """What is on disk of a wind file, at first only its frame.

        Raises what the bucket raises, WindFileError when the object is not the wind file of the manifest, and
        UnavailableError when the disk has no room.
        """
        name = published.name
        reason = self.verified.bad(published)
        if reason is not None:
            raise WindFileError(reason)
        try:
            found = self._opened(published)
            if found is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._alone(name):
                    found = self._opened(published) or self._adopted(published) or self._made(published)
        except OSError as error:
            raise UnavailableError(f"{name} cannot be kept on disk: {error.strerror}") from error
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
                with contextlib.suppress(OSError):
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
        with_room(
            lambda: resident.create(self.folder, name, published.info, published.token, self.reader),
            lambda: self.free_room() or self._drop(name),
            name,
        )
        # Not before: who asks for an object that has been replaced must not take away the file of the new one.
        (self.folder / name).unlink(missing_ok=True)
        return ResidentFile(self.folder, name, self.reader, self.free_room)

    def _drop(self, name: str) -> bool:
        """Remove all of a name, whose lock is held; False when there is nothing."""
        paths = [self.folder / (name + ending) for ending in (MAP, PART, "")]
        found = any(path.exists() for path in paths)
        for path in paths:
            path.unlink(missing_ok=True)
        return found

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
            token = f"version {info.version}"
            if not path.exists() or not self.verified.has(name, Identity.of(path.stat()), token):
                log.info("fetching %s, %.0f MB", name, info.size / 1e6)
                self.folder.mkdir(parents=True, exist_ok=True)
                with_room(lambda: self._fetch_whole(name, info, path, token), self.free_room, name)
        except (BucketError, UnavailableError) as error:
            if not path.exists():
                raise
            log.warning("%s is used as it was fetched before: %s", name, error.message)
        return path

    def _fetch_whole(self, name: str, info: ObjectInfo, path: Path, token: str) -> None:
        with sharedfiles.replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
            parts = merged([(0, info.size)])
            # A few at a time: all would share a slow line, and none come within its budget.
            for first in range(0, len(parts), _AT_ONCE):
                some = parts[first : first + _AT_ONCE]
                self.reader.read(name, info.version, some, lambda at, content: write_at(file.fileno(), at, content))
            # Of what was written here: another process may give the name to another version.
            identity = Identity.of(os.fstat(file.fileno()))
        self.verified.add(name, identity, token)

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
        try:
            return self._finish(file, published)
        except OSError as error:
            raise UnavailableError(f"{published.name} cannot be kept on disk: {error.strerror}") from error

    def _finish(self, file: ResidentFile, published: Published) -> bool:
        name = published.name
        reason = _fault(file, published)
        if reason is not None:
            self.verified.add_bad(published, reason)
            with self._alone(name):
                if file.is_unchanged():
                    (self.folder / (name + MAP)).unlink(missing_ok=True)
                    file.path.unlink(missing_ok=True)
            raise WindFileError(reason)
        os.fsync(file.descriptor)
        with self._alone(name):
            if not file.is_unchanged():
                return False
            # The note first: a file that is killed before it has its name is not hashed again.
            self.verified.add(name, Identity.of(os.fstat(file.descriptor)), published.token)
            file.path.replace(self.folder / name)
            (self.folder / (name + MAP)).unlink(missing_ok=True)
        log.info("%s is on this machine whole", name)
        return True

    # Removing

    def entries(self) -> list[Entry]:
        """All wind files of the folder, the least recently used first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as items:
            for item in items:
                name = item.name.removesuffix(PART)
                if WIND_FILE.fullmatch(name):
                    with contextlib.suppress(FileNotFoundError):
                        status = item.stat()
                        is_whole = item.name == name
                        # A file that somebody has put here is used from then on.
                        used = self.verified.used(name) or status.st_ctime if is_whole else self._used(name)
                        found.append(Entry(name, Path(item.path), is_whole, used, status.st_blocks * 512))
        return sorted(found, key=lambda entry: entry.used)

    def _used(self, name: str) -> float:
        try:
            return (self.folder / (name + MAP)).stat().st_mtime
        except OSError:
            return 0.0

    def _touch(self, entry: Entry) -> None:
        if entry.is_whole:
            self.verified.touch(entry.name)
        else:
            with contextlib.suppress(OSError):
                os.utime(self.folder / (entry.name + MAP))

    def used_bytes(self) -> int:
        return sum(entry.size for entry in self.entries())

    def trim(self, room_for: int = 0) -> None:
        """Remove files until the bounds hold, with room for so many more."""
        self._sweep()
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
        try:
            with sharedfiles.exclusive(self._lock(entry.name), 0.0) as held:
                if not held or not self._remove_unmapped(entry):
                    return False
        except OSError as error:
            log.warning("%s cannot leave the disk cache: %s", entry.path.name, error.strerror)
            return False
        log.info("%s leaves the disk cache, %.1f MB", entry.path.name, entry.size / 1e6)
        return True

    def _remove_unmapped(self, entry: Entry) -> bool:
        try:
            lock = sharedfiles.try_lock(entry.path, create=False)
        except FileNotFoundError:  # another process has removed it
            return False
        if lock is None:
            self._touch(entry)  # who has it mapped uses it
            return False
        try:
            if entry.is_whole:
                self.verified.drop(entry.name)
            else:
                (self.folder / (entry.name + MAP)).unlink(missing_ok=True)
            entry.path.unlink(missing_ok=True)
        finally:
            os.close(lock)
        return True

    def _sweep(self) -> None:
        """Remove what killed processes have left."""
        sharedfiles.remove_abandoned(self.folder)
        sharedfiles.remove_abandoned(self.verified.folder)
        for path in (*self.folder.glob(".*.lock"), *self.folder.glob(f"*{MAP}")):
            with contextlib.suppress(OSError):
                if path.suffix == MAP:
                    self._remove_map_alone(path)
                elif time.time() - path.stat().st_ctime > sharedfiles.ABANDONED_SECONDS:
                    with sharedfiles.exclusive(path, 0.0):
                        pass  # at its end the file goes

    def _remove_map_alone(self, path: Path) -> None:
        """Remove a map that is beside no sparse file, and not about to be."""
        name = path.name.removesuffix(MAP)
        part = self.folder / (name + PART)
        if not part.exists():
            with sharedfiles.exclusive(self._lock(name), 0.0) as held:
                if held and not part.exists():
                    path.unlink(missing_ok=True)


def _fault(file: ResidentFile, published: Published) -> str | None:
    """What is wrong with a file that was fetched whole; None when it is the published one and can be flown."""
    if published.member is not None:
        with os.fdopen(file.descriptor, "rb", buffering=0, closefd=False) as content:
            content.seek(0)
            if hashlib.file_digest(content, "sha256").hexdigest() != published.member.sha256:
                return f"{published.name} was fetched whole and has another SHA-256 than its manifest says"
    try:
        check_content(file.winds)
    except WindFileError as error:
        return error.message
    return None
