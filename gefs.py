"""Where wind files come from: the cycles of a bucket, and the current one as this machine sees it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import sharedfiles
from habsim.errors import BucketError, NotFoundError, UnavailableError, WindFileError
from store.bucket import CURRENT, Bucket
from store.manifest import WIND_FILE, Manifest, ManifestMember, cycle_start, wind_file_name
from store.publish import Axes, check_belongs, sha256
from windfile import Identity, WindFile

log = logging.getLogger(__name__)

_KEPT_RECORDS = 200  # of verified files: several cycles of the largest ensemble


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


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
        objects = self.bucket.list(f"{name}_")
        for member in manifest.members:
            file = wind_file_name(name, member.member)
            if file not in objects:
                raise NotFoundError(f"{file} is not in the bucket")
            if objects[file].size != member.size:
                raise WindFileError(f"{file} has {objects[file].size} bytes, its manifest says {member.size}")
        members = tuple(sorted(m.member for m in manifest.members))
        return Cycle(name, _version(content), manifest.product, members, manifest)

    def _cycle_without_manifest(self, name: str) -> Cycle:
        """Older tools write no manifest: the cycle counts once every member's file is whole.

        One later than the bucket's current cycle is still being published.
        """
        objects = {n: info for n, info in self.bucket.list(f"{name}_").items() if WIND_FILE.fullmatch(n)}
        if not objects or name > self._named():
            raise NotFoundError(f"cycle {name} is not in the bucket")
        members = tuple(int(file[11:13]) for file in objects)
        files = [self._open(file) for file in objects]
        for file in files:
            check_belongs(file.winds, cycle_start(name), Axes.of(files[0].winds))
        versions = ",".join(info.version for info in objects.values())
        return Cycle(name, _version(versions.encode()), "unknown", members, None)

    def _open(self, name: str) -> WindFile:
        path = self.bucket.local_path(name)
        assert path is not None
        return WindFile(path)

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
        file = self._open(wind_file_name(cycle.name, member))
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
            found = sha256(file.path)
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
