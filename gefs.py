"""Where winds come from: the cycles of a bucket, the current one as this machine sees it, and their wind files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import sharedfiles
from habsim.errors import BucketError, NotFoundError, UnavailableError, WindFileError
from store.bucket import CURRENT, Bucket, ObjectInfo
from store.cache import DiskCache, MemberFile, Published, Verified
from store.manifest import DEMO, WIND_FILE, Manifest, ManifestMember, cycle_start, wind_file_name
from store.publish import Axes, check_belongs, sha256
from store.ranges import RangeReader
from windfile import Identity, WindFile

log = logging.getLogger(__name__)

_KEPT_CYCLES = 4  # descriptions of cycles, for when the store does not answer
# What keeps a cycle of the bucket from being flown.
_UNUSABLE = (NotFoundError, WindFileError, BucketError, UnavailableError)


@dataclass(frozen=True)
class Cycle:
    """A cycle that can be flown. `version` changes when the cycle is published again under the same name.

    `objects` are its wind files in the bucket, by name.
    """

    name: str
    version: str
    product: str
    members: tuple[int, ...]
    manifest: Manifest | None
    objects: Mapping[str, ObjectInfo] = field(default_factory=dict, compare=False, repr=False)

    @property
    def start(self) -> float:
        """Unix seconds."""
        return cycle_start(self.name)

    def published(self, member: int) -> Published:
        """The wind file of a member. Raises NotFoundError for one that the cycle does not have."""
        if member not in self.members:
            raise NotFoundError(
                f"member {member} is not in cycle {self.name}; it has {self.members[0]}..{self.members[-1]}",
                {"members": list(self.members)},
            )
        name = wind_file_name(self.name, member)
        found: ManifestMember | None = None
        if self.manifest is not None:
            found = next(m for m in self.manifest.members if m.member == member)
        return Published(name, self.objects[name], found)

    def to_json(self) -> bytes:
        manifest = None if self.manifest is None else json.loads(self.manifest.to_json())
        objects = {name: asdict(info) for name, info in self.objects.items()}
        return json.dumps({"version": self.version, "manifest": manifest, "objects": objects}).encode()

    @classmethod
    def from_json(cls, name: str, content: bytes) -> Cycle:
        """Raises BucketError when it is damaged."""
        try:
            fields = json.loads(content)
            objects = {key: ObjectInfo(**info) for key, info in fields["objects"].items()}
            version = str(fields["version"])
            manifest = None
            if fields["manifest"] is not None:
                manifest = Manifest.from_json(json.dumps(fields["manifest"]).encode(), f"{name}.json")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BucketError(f"the description of cycle {name} is damaged: {error!r}") from error
        return _cycle(name, version, manifest, objects)


def _cycle(name: str, version: str, manifest: Manifest | None, objects: Mapping[str, ObjectInfo]) -> Cycle:
    if manifest is None:
        return Cycle(name, version, "unknown", tuple(int(file[11:13]) for file in objects), None, objects)
    members = tuple(sorted(m.member for m in manifest.members))
    return Cycle(name, version, manifest.product, members, manifest, objects)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Remote:
    """How a bucket that is elsewhere is used: what of it is kept on disk, and who is told what happens.

    `refused` hears why a cycle was refused (`older`, `incomplete` or `unreachable`), `moved` the bytes of each range.
    """

    cache_files: int = 30
    cache_bytes: float = 20e9
    refused: Callable[[str], None] = lambda reason: None
    moved: Callable[[int], None] = lambda size: None


class Cycles:
    """The cycles of a bucket and the current one, shared by all processes of this machine through `currgefs.txt`."""

    def __init__(
        self,
        bucket: Bucket,
        data_dir: Path,
        refresh_seconds: float = 300.0,
        remote: Remote | None = None,
    ) -> None:
        """`refresh_seconds`: how often a process looks into the bucket for a new cycle."""
        remote = remote or Remote()
        self.bucket = bucket
        reader = RangeReader(bucket, remote.moved)
        self.cache = DiskCache(data_dir / "gefs", reader, remote.cache_files, remote.cache_bytes)
        self.is_local = bucket.local_path(CURRENT) is not None
        self._refused = remote.refused
        self._refresh_seconds = refresh_seconds
        self._next_refresh = 0.0
        self._current_file = data_dir / "currgefs.txt"
        self._descriptions = data_dir / "gefs" / "cycles"
        self._verified = Verified(data_dir / "gefs" / "verified")
        # Switching writes `currgefs.txt`; the lock keeps two processes from doing it at once.
        self._switch_lock = data_dir / "locks" / "cycle.lock"
        # Held by the thread of this process that looks into the bucket in the background.
        self._looking = threading.Lock()
        self._seen: tuple[bytes, Cycle] | None = None
        self._read: tuple[Identity, bytes] | None = None
        self._asked: dict[str, tuple[float, Cycle]] = {}

    # The current cycle

    def current(self) -> Cycle:
        """The cycle to fly on now. Raises UnavailableError, saying what to do, when there is none.

        When it is time to look for a new one, a bucket elsewhere is asked in the background.
        """
        is_time = time.monotonic() >= self._next_refresh
        if self.is_local:
            return (None if is_time else self._shared()) or self.refresh()
        known = self._known()
        if known is None:
            return self.refresh()
        if is_time:
            self._refresh_in_background()
        return known

    def _known(self) -> Cycle | None:
        """The cycle that all fly on, else the one that this process has flown on."""
        return self._shared() or (self._seen and self._seen[1])

    def _refresh_in_background(self) -> None:
        if not self._looking.acquire(blocking=False):
            return

        def look() -> None:
            try:
                with contextlib.suppress(UnavailableError):  # it has been logged
                    self.refresh()
            finally:
                self._looking.release()

        self._next_refresh = time.monotonic() + self._refresh_seconds
        try:
            threading.Thread(target=look, name="refresh", daemon=True).start()
        except RuntimeError as error:
            self._looking.release()
            log.warning("no look for a new cycle: %s", error)

    def _shared(self) -> Cycle | None:
        """The cycle that `currgefs.txt` names; None where it names none that can be flown."""
        try:
            content = self._current_content()
        except OSError:
            return None
        seen = self._seen
        if seen is not None and seen[0] == content:
            return seen[1]
        name, _, version = content.decode("ascii", "replace").strip().partition("\n")
        cycle = None if self.is_local else self._described(name, version)
        if cycle is None:
            try:
                cycle = self.cycle(name)
            except _UNUSABLE:
                return None
        self._seen = (content, cycle)
        return cycle

    def _current_content(self) -> bytes:
        """The bytes of `currgefs.txt`, read again only when it was replaced: every request asks."""
        identity = Identity.of(self._current_file.stat())
        if self._read is None or self._read[0] != identity:
            self._read = (identity, self._current_file.read_bytes())
        return self._read[1]

    def _described(self, name: str, version: str) -> Cycle | None:
        """What this machine noted of a cycle when it became the current one: no request waits for the store."""
        try:
            cycle_start(name)
            cycle = Cycle.from_json(name, (self._descriptions / f"{name}.json").read_bytes())
        except (OSError, BucketError, NotFoundError):
            return None
        return cycle if cycle.version == version else None

    def refresh(self) -> Cycle:
        """Look into the bucket and make what it names the current cycle.

        A cycle that is older or not whole is refused with a log line, and the one that is current stays. Raises
        UnavailableError when there is none at all.
        """
        self._next_refresh = time.monotonic() + self._refresh_seconds
        before = self._noted()
        try:
            cycle = self.cycle(self._named())
        except _UNUSABLE as error:
            stays = self._known()
            if stays is None:
                raise UnavailableError(
                    f"no cycle can be flown: {error.message}. Without HABSIM_BUCKET_DIR, `make demo` makes demo winds; "
                    "the README shows under 'Use live GEFS' how to fill a bucket"
                ) from error
            self._refused("incomplete" if isinstance(error, NotFoundError | WindFileError) else "unreachable")
            log.warning("the bucket's cycle is refused, %s stays: %s", stays.name, error.message)
            return stays
        stays = self._shared()
        if stays is not None and cycle.name < stays.name and stays.product != DEMO and self._is_there(stays):
            self._refused("older")
            log.warning("the bucket names cycle %s, which is older: %s stays", cycle.name, stays.name)
            return stays
        content = f"{cycle.name}\n{cycle.version}\n".encode()
        try:
            if not self._share(cycle, content, before):
                # It may have found a later one: the next look will tell.
                return self._shared() or cycle
        except OSError as error:
            log.warning("cycle %s is current for one process alone: %s", cycle.name, error.strerror)
        self._seen = (content, cycle)
        return cycle

    def _noted(self) -> bytes | None:
        """The bytes of `currgefs.txt`; None where there is none."""
        try:
            return self._current_file.read_bytes()
        except OSError:
            return None

    def _is_there(self, cycle: Cycle) -> bool:
        """Whether the bucket has `cycle`; a store that does not answer has not lost it."""
        try:
            return self.cycle(cycle.name).version == cycle.version
        except (NotFoundError, WindFileError):
            return False
        except (BucketError, UnavailableError):
            return True

    def _share(self, cycle: Cycle, content: bytes, before: bytes | None) -> bool:
        """Let `currgefs.txt` name `cycle`; False where another process has switched since it said `before`."""
        description = self._descriptions / f"{cycle.name}.json"

        def is_shared() -> bool:
            return description.exists() and self._noted() == content

        if is_shared():
            return True
        self._switch_lock.parent.mkdir(parents=True, exist_ok=True)
        with sharedfiles.first_free([self._switch_lock], wait_seconds=10) as lock:
            if lock is None:
                raise UnavailableError("another process has been switching the cycle for 10 s; try again")
            if self._noted() not in (before, content):
                return False
            if not is_shared():
                self._descriptions.mkdir(parents=True, exist_ok=True)
                sharedfiles.write_atomically(description, cycle.to_json())
                sharedfiles.prune(self._descriptions, keep=_KEPT_CYCLES, max_age_seconds=1e9, now=time.time())
                sharedfiles.write_atomically(self._current_file, content)
                log.info("the current cycle is %s (%s, %d members)", cycle.name, cycle.product, len(cycle.members))
        return True

    # Cycles by name

    def named(self, name: str, *, anew: bool = False) -> Cycle:
        """As `cycle`; one in a bucket elsewhere is only with `anew` looked at again before it is time for a refresh."""
        if self.is_local:
            return self.cycle(name)
        with contextlib.suppress(UnavailableError):
            current = self.refresh() if anew else self.current()
            if current.name == name:
                return current
        known = self._asked.get(name)
        if known is None or anew or known[0] < time.monotonic():
            try:
                cycle = self.cycle(name)
            except BucketError as error:
                if known is None:
                    raise
                log.warning("cycle %s is flown on as it was found before: %s", name, error.message)
                cycle = known[1]
            known = (time.monotonic() + self._refresh_seconds, cycle)
            others = [item for item in self._asked.items() if item[0] != name]
            self._asked = dict([(name, known), *others[: _KEPT_CYCLES - 1]])
        return known[1]

    def cycle(self, name: str) -> Cycle:
        """A cycle of the bucket by name. Raises NotFoundError when it is not there or not whole."""
        cycle_start(name)
        manifest_name = f"{name}.json"
        try:
            content = self.bucket.read(manifest_name)
        except NotFoundError:
            return self._cycle_without_manifest(name)
        manifest = Manifest.from_json(content, manifest_name)
        objects = self._wind_files(name)
        for member in manifest.members:
            file = wind_file_name(name, member.member)
            if file not in objects:
                raise NotFoundError(f"{file} is not in the bucket")
            if objects[file].size != member.size:
                raise WindFileError(f"{file} has {objects[file].size} bytes, its manifest says {member.size}")
        if not self.is_local:
            # Parts of a file are fetched of one version of its object; those of a folder are verified whole.
            content += _versions(objects)
        return _cycle(name, _version(content), manifest, objects)

    def _cycle_without_manifest(self, name: str) -> Cycle:
        """Older tools write no manifest: the cycle counts once every member's file is whole.

        One later than the bucket's current cycle is still being published.
        """
        objects = self._wind_files(name)
        if not objects or name > self._named():
            raise NotFoundError(f"cycle {name} is not in the bucket")
        cycle = _cycle(name, _version(_versions(objects)), None, objects)
        files = [self._file(cycle.published(member)) for member in cycle.members]
        for file in files:
            check_belongs(file.winds, cycle_start(name), Axes.of(files[0].winds))
        return cycle

    def _wind_files(self, cycle: str) -> dict[str, ObjectInfo]:
        return {name: info for name, info in self.bucket.list(f"{cycle}_").items() if WIND_FILE.fullmatch(name)}

    def _named(self) -> str:
        """What the bucket names as its current cycle."""
        return self.bucket.read(CURRENT).decode("ascii", "replace").strip()

    # Wind files

    def open_member(self, cycle: Cycle, member: int) -> MemberFile:
        """Map the wind file of a member: the whole file, or what of it is on this machine.

        A whole file is verified against the manifest once per machine. Raises NotFoundError for a member the cycle does
        not have, WindFileError when the file is not the published one, and what a bucket elsewhere raises.
        """
        published = cycle.published(member)
        file = self._file(published)
        if file.winds.start != cycle.start:
            raise WindFileError(f"{file.winds.name} starts at {file.winds.start:.0f}, its cycle at {cycle.start:.0f}")
        if published.member is not None and isinstance(file, WindFile) and self.is_local:
            self._verify(file, published)
        return file

    def _file(self, published: Published) -> MemberFile:
        path = self.bucket.local_path(published.name)
        if path is None:
            return self.cache.open(published)
        if not path.exists():
            raise NotFoundError(f"{published.name} is not in the bucket")
        return WindFile(path)

    def _verify(self, file: WindFile, published: Published) -> None:
        assert published.member is not None
        shape = published.member.shape
        if file.winds.data.shape != shape:
            raise WindFileError(f"{file.path.name} has shape {file.winds.data.shape}, its manifest {shape}")
        if self._verified.has(published.name, file.identity, published.token):
            return
        try:
            found = sha256(file.path)
        except OSError as error:
            raise WindFileError(f"{file.path.name} cannot be read: {error.strerror}") from error
        if found != published.member.sha256:
            raise WindFileError(f"{file.path.name} has SHA-256 {found}, its manifest says {published.member.sha256}")
        if not file.is_unchanged():
            raise WindFileError(f"{file.path.name} was replaced while it was read")
        self._verified.add(published.name, file.identity, published.token)


def _versions(objects: Mapping[str, ObjectInfo]) -> bytes:
    return ",".join(info.version for info in objects.values()).encode()
