"""Where wind files come from: the bucket, the manifests in it, and the current cycle as this machine sees it.

Object names in a bucket: `whichgefs` (the current cycle), `YYYYMMDDHH.json` (manifest), `YYYYMMDDHH_MM.npz` (wind
file of a member), `worldelev.npy` (ground elevation). A cycle with a manifest is visible whole or not at all.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sharedfiles
from habsim.errors import BucketError, NotFoundError, UnavailableError, WindFileError
from windfile import Identity, WindFile

log = logging.getLogger(__name__)

CURRENT = "whichgefs"
ELEVATION = "worldelev.npy"
_KEPT_RECORDS = 200  # of verified files: several cycles of the largest ensemble
_CYCLE = re.compile(r"\d{8}(00|06|12|18)")
_WIND_FILE = re.compile(r"(\d{10})_(\d\d)\.npz")
_OBJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size in bytes and a version that changes whenever the content is replaced."""

    size: int
    version: str


class Bucket(Protocol):
    """A flat store of named objects. Every method raises BucketError when the store does not answer.

    `read`, `info` and `path` raise NotFoundError for a name that is not there.
    """

    def names(self) -> list[str]:
        """Names of all objects, sorted."""
        ...

    def info(self, name: str) -> ObjectInfo: ...

    def read(self, name: str) -> bytes: ...

    def path(self, name: str) -> Path:
        """A file on local disk with the whole object."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Store the file at `path`; it is gone from there afterwards. Readers see the old object or the new one."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Store `content`. Readers see the old object or the new one."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...


class LocalBucket:
    """A bucket that is a folder. Nothing is copied: a wind file is mapped where it lies."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                return sorted(e.name for e in entries if e.is_file() and _OBJECT.fullmatch(e.name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BucketError(f"bucket {self.root} cannot be listed: {error.strerror}") from error

    def info(self, name: str) -> ObjectInfo:
        try:
            status = self._file(name).stat()
        except OSError as error:
            raise self._failure(name, error) from error
        identity = Identity.of(status)
        return ObjectInfo(identity.size, f"{identity.inode:x}-{identity.size:x}-{identity.modified_ns:x}")

    def read(self, name: str) -> bytes:
        try:
            return self._file(name).read_bytes()
        except OSError as error:
            raise self._failure(name, error) from error

    def path(self, name: str) -> Path:
        self.info(name)
        return self._file(name)

    def put(self, name: str, path: Path) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with sharedfiles.replacing(self._file(name)) as temporary:
                shutil.move(path, temporary)
        except OSError as error:
            raise self._failure(name, error) from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            sharedfiles.write_atomically(self._file(name), content)
        except OSError as error:
            raise self._failure(name, error) from error

    def delete(self, name: str) -> None:
        try:
            self._file(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(name, error) from error

    def _file(self, name: str) -> Path:
        if not _OBJECT.fullmatch(name):
            raise NotFoundError(f"there is no object named {name[:80]!r} in the bucket")
        return self.root / name

    def _failure(self, name: str, error: OSError) -> BucketError | NotFoundError:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return NotFoundError(f"{name} is not in the bucket")
        return BucketError(f"{name} in the bucket: {error.strerror or error}")


@functools.lru_cache(maxsize=64)
def cycle_start(cycle: str) -> float:
    """Unix seconds of `YYYYMMDDHH`. Raises NotFoundError when it does not name a cycle."""
    if _CYCLE.fullmatch(cycle):
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(cycle + "+0000", "%Y%m%d%H%z").timestamp()
    raise NotFoundError(f"{cycle[:40]!r} is not a cycle; a cycle is YYYYMMDDHH with hour 00, 06, 12 or 18")


def cycle_at(timestamp: float) -> str:
    """Name of the latest cycle that starts at or before `timestamp` (Unix seconds)."""
    moment = datetime.datetime.fromtimestamp(timestamp - timestamp % 21600, datetime.UTC)
    return moment.strftime("%Y%m%d%H")


def wind_file_name(cycle: str, member: int) -> str:
    return f"{cycle}_{member:02d}.npz"


@dataclass(frozen=True)
class ManifestMember:
    """One member of a cycle as published; `shape` is that of its wind array, `made` RFC 3339."""

    member: int
    size: int
    sha256: str
    shape: tuple[int, ...]
    made: str


@dataclass(frozen=True)
class Manifest:
    """What a cycle consists of. `product` says where it is from, for example `demo`, `gfs`, `classic` or `full`."""

    cycle: str
    product: str
    interval_seconds: float
    levels: tuple[float, ...]
    has_height: bool
    members: tuple[ManifestMember, ...]

    def to_json(self) -> bytes:
        content = {
            "cycle": self.cycle,
            "product": self.product,
            "demo": self.product == "demo",
            "interval_seconds": self.interval_seconds,
            "levels": list(self.levels),
            "has_height": self.has_height,
            "members": [
                {
                    "member": m.member,
                    "file": wind_file_name(self.cycle, m.member),
                    "size": m.size,
                    "sha256": m.sha256,
                    "shape": list(m.shape),
                    "made": m.made,
                }
                for m in self.members
            ],
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Manifest:
        """Read a manifest. Raises BucketError when it is damaged."""
        try:
            fields: dict[str, Any] = json.loads(content)
            members = tuple(
                ManifestMember(int(m["member"]), int(m["size"]), str(m["sha256"]), tuple(m["shape"]), str(m["made"]))
                for m in fields["members"]
            )
            manifest = cls(
                cycle=str(fields["cycle"]),
                product=str(fields["product"]),
                interval_seconds=float(fields["interval_seconds"]),
                levels=tuple(float(level) for level in fields["levels"]),
                has_height=bool(fields["has_height"]),
                members=members,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BucketError(f"manifest {name} is damaged: {error!r}") from error
        if not members or f"{manifest.cycle}.json" != name:
            raise BucketError(f"manifest {name} names cycle {manifest.cycle} with {len(members)} members")
        numbers = [m.member for m in members]
        if len(set(numbers)) < len(numbers):
            raise BucketError(f"manifest {name} names a member twice: {numbers}")
        return manifest


def read_manifest(bucket: Bucket, cycle: str) -> Manifest:
    """The manifest of `cycle`. Raises NotFoundError without one, BucketError when it is damaged."""
    name = f"{cycle}.json"
    return Manifest.from_json(bucket.read(name), name)


def publish(bucket: Bucket, cycle: str, files: dict[int, Path], product: str) -> None:
    """Put the wind files of `cycle` (member -> file) into the bucket and make it the current cycle.

    The files move. Members first, then the manifest, then `whichgefs`: a reader sees the cycle whole or not at all.
    Raises WindFileError when the files do not belong together.
    """
    start = cycle_start(cycle)
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    members = []
    first: WindFile | None = None
    for member, path in sorted(files.items()):
        file = WindFile(path)
        first = first or file
        _check_belongs(file, first, start)
        members.append(ManifestMember(member, file.identity.size, _sha256(path), file.winds.data.shape, made))
    if first is None:
        raise WindFileError(f"cycle {cycle} has no members to publish")
    winds = first.winds
    levels = tuple(winds.levels.tolist())
    manifest = Manifest(cycle, product, winds.interval_seconds, levels, winds.height is not None, tuple(members))
    for member, path in sorted(files.items()):
        bucket.put(wind_file_name(cycle, member), path)
    bucket.write(f"{cycle}.json", manifest.to_json())
    bucket.write(CURRENT, cycle.encode())
    log.info("cycle %s published with %d members (%s)", cycle, len(members), product)


def remove_cycle(bucket: LocalBucket, cycle: str) -> None:
    """Remove the wind files of `cycle`, except those that a process still has mapped, and then its manifest.

    The manifest stays while a wind file does: without it the rest would pass for a cycle of an older tool.
    """
    in_use = False
    for name in bucket.names():
        if (match := _WIND_FILE.fullmatch(name)) and match[1] == cycle:
            # Another process may remove the same cycle.
            with contextlib.suppress(NotFoundError):
                in_use |= not _remove_unless_mapped(bucket, name)
    if not in_use:
        bucket.delete(f"{cycle}.json")


def _remove_unless_mapped(bucket: LocalBucket, name: str) -> bool:
    lock = sharedfiles.try_lock(bucket.path(name))
    if lock is None:
        return False
    try:
        bucket.delete(name)
    finally:
        os.close(lock)
    return True


def _check_belongs(file: WindFile, first: WindFile, start: float) -> None:
    winds, reference = file.winds, first.winds
    if winds.start != start:
        raise WindFileError(f"{file.path.name} starts at {winds.start:.0f}, its cycle at {start:.0f} (Unix seconds)")
    same_times = winds.interval_seconds == reference.interval_seconds and winds.end == reference.end
    if not same_times:
        raise WindFileError(f"{file.path.name} covers other times than {first.path.name}")
    if winds.levels.tolist() != reference.levels.tolist():
        raise WindFileError(f"{file.path.name} has other levels than {first.path.name}")


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Cycle:
    """A cycle that can be flown. `version` changes when the cycle is published again under the same name."""

    name: str
    version: str
    product: str
    members: tuple[int, ...]
    manifest: Manifest | None

    @property
    def start(self) -> float:
        """Unix seconds."""
        return cycle_start(self.name)


class Cycles:
    """The cycles of a bucket and the current one, shared by all processes of this machine through `currgefs.txt`."""

    def __init__(self, bucket: Bucket, data_dir: Path, refresh_seconds: float = 300.0) -> None:
        """`refresh_seconds`: how often a process looks into the bucket for a new cycle."""
        self.bucket = bucket
        self._refresh_seconds = refresh_seconds
        self._next_refresh = 0.0
        self._current_file = data_dir / "currgefs.txt"
        self._verified_dir = data_dir / "gefs" / "verified"
        # Switching writes `currgefs.txt`; the lock keeps two processes from doing it at once.
        self._switch_lock = data_dir / "locks" / "cycle.lock"
        self._seen: tuple[bytes, Cycle] | None = None
        self._read: tuple[Identity, bytes] | None = None

    def current(self) -> Cycle:
        """The cycle to fly on now. Raises UnavailableError, saying what to do, when there is none."""
        if time.monotonic() >= self._next_refresh:
            return self.refresh()
        return self._shared() or self.refresh()

    def _shared(self) -> Cycle | None:
        """The cycle that `currgefs.txt` names; None where it names none that can be flown."""
        try:
            content = self._current_content()
        except OSError:
            return None
        seen = self._seen
        if seen is not None and seen[0] == content:
            return seen[1]
        try:
            cycle = self.cycle(content.partition(b"\n")[0].decode("ascii", "replace"))
        except (NotFoundError, WindFileError, BucketError):
            return None
        self._seen = (content, cycle)
        return cycle

    def _current_content(self) -> bytes:
        """The bytes of `currgefs.txt`, read again only when it was replaced: every request asks."""
        identity = Identity.of(self._current_file.stat())
        if self._read is None or self._read[0] != identity:
            self._read = (identity, self._current_file.read_bytes())
        return self._read[1]

    def cycle(self, name: str) -> Cycle:
        """A cycle of the bucket by name. Raises NotFoundError when it is not there or not whole."""
        cycle_start(name)
        manifest_name = f"{name}.json"
        try:
            content = self.bucket.read(manifest_name)
        except NotFoundError:
            return self._cycle_without_manifest(name)
        manifest = Manifest.from_json(content, manifest_name)
        for member in manifest.members:
            file = wind_file_name(name, member.member)
            size = self.bucket.info(file).size
            if size != member.size:
                raise WindFileError(f"{file} has {size} bytes, its manifest says {member.size}")
        members = tuple(sorted(m.member for m in manifest.members))
        return Cycle(name, _version(content), manifest.product, members, manifest)

    def _cycle_without_manifest(self, name: str) -> Cycle:
        """Older tools write no manifest: the cycle counts once every member's file is whole.

        One later than the bucket's current cycle is still being published.
        """
        matches = [m for m in map(_WIND_FILE.fullmatch, self.bucket.names()) if m and m[1] == name]
        if not matches or name > self._named():
            raise NotFoundError(f"cycle {name} is not in the bucket")
        members = tuple(int(m[2]) for m in matches)
        files = [WindFile(self.bucket.path(m[0])) for m in matches]
        for file in files:
            _check_belongs(file, files[0], cycle_start(name))
        versions = ",".join(self.bucket.info(m[0]).version for m in matches)
        return Cycle(name, _version(versions.encode()), "unknown", members, None)

    def _named(self) -> str:
        """What the bucket names as its current cycle."""
        return self.bucket.read(CURRENT).decode("ascii", "replace").strip()

    def refresh(self) -> Cycle:
        """Look into the bucket and make what it names the current cycle.

        A cycle that is not whole is refused with a log line, and the one that is current stays. Raises
        UnavailableError when there is none at all.
        """
        self._next_refresh = time.monotonic() + self._refresh_seconds
        try:
            cycle = self.cycle(self._named())
        except (NotFoundError, WindFileError, BucketError) as error:
            stays = self._shared() or (self._seen and self._seen[1])
            if stays is None:
                raise UnavailableError(
                    f"no cycle can be flown: {error.message}. Without HABSIM_BUCKET_DIR, `make demo` makes demo winds; "
                    "the README shows under 'Fly on a real forecast' how to fill a bucket"
                ) from error
            log.warning("the bucket's cycle is refused, %s stays: %s", stays.name, error.message)
            return stays
        content = f"{cycle.name}\n{cycle.version}\n".encode()
        self._seen = (content, cycle)
        try:
            self._share(cycle, content)
        except OSError as error:
            log.warning("cycle %s is current for one process alone: %s", cycle.name, error.strerror)
        return cycle

    def _share(self, cycle: Cycle, content: bytes) -> None:
        """Let `currgefs.txt` name `cycle`."""
        if self._current_file.exists() and self._current_file.read_bytes() == content:
            return
        self._switch_lock.parent.mkdir(parents=True, exist_ok=True)
        with sharedfiles.first_free([self._switch_lock], wait_seconds=10) as lock:
            if lock is None:
                raise UnavailableError("another process has been switching the cycle for 10 s; try again")
            if not self._current_file.exists() or self._current_file.read_bytes() != content:
                sharedfiles.write_atomically(self._current_file, content)
                log.info("the current cycle is %s (%s, %d members)", cycle.name, cycle.product, len(cycle.members))

    def open_member(self, cycle: Cycle, member: int) -> WindFile:
        """Map the wind file of a member, verified against the manifest once per machine.

        Raises NotFoundError for a member the cycle does not have, WindFileError when the file is not the published one.
        """
        if member not in cycle.members:
            raise NotFoundError(
                f"member {member} is not in cycle {cycle.name}; it has {cycle.members[0]}..{cycle.members[-1]}",
                {"members": list(cycle.members)},
            )
        file = WindFile(self.bucket.path(wind_file_name(cycle.name, member)))
        if file.winds.start != cycle.start:
            raise WindFileError(f"{file.path.name} starts at {file.winds.start:.0f}, its cycle at {cycle.start:.0f}")
        if cycle.manifest is not None:
            published = next(m for m in cycle.manifest.members if m.member == member)
            self._verify(file, published)
        return file

    def _verify(self, file: WindFile, published: ManifestMember) -> None:
        if file.winds.data.shape != published.shape:
            raise WindFileError(f"{file.path.name} has shape {file.winds.data.shape}, its manifest {published.shape}")
        # Hashing takes a second per gigabyte: what was found is kept beside the cache, for this very file.
        record = self._verified_dir / file.path.name
        identity = file.identity
        content = f"{identity.inode} {identity.size} {identity.modified_ns} {published.sha256}\n".encode()
        with contextlib.suppress(FileNotFoundError):
            if record.read_bytes() == content:
                return
        try:
            found = _sha256(file.path)
        except OSError as error:
            raise WindFileError(f"{file.path.name} cannot be read: {error.strerror}") from error
        if found != published.sha256:
            raise WindFileError(f"{file.path.name} has SHA-256 {found}, its manifest says {published.sha256}")
        if not file.is_unchanged():
            raise WindFileError(f"{file.path.name} was replaced while it was read")
        try:
            self._verified_dir.mkdir(parents=True, exist_ok=True)
            sharedfiles.write_atomically(record, content, durable=False)
            sharedfiles.prune(self._verified_dir, keep=_KEPT_RECORDS, max_age_seconds=math.inf, now=time.time())
        except OSError as error:
            log.warning("%s is verified, which could not be noted: %s", file.path.name, error.strerror)
