"""Putting a cycle into a bucket so that readers see it whole or not at all, and taking it out again."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

import sharedfiles
from habsim.classes import WindField
from habsim.errors import BucketError, NotFoundError, WindFileError
from store.bucket import CURRENT, Bucket
from store.manifest import DEMO, WIND_FILE, Manifest, ManifestMember, cycle_start, read_manifest, wind_file_name
from windfile import WindFile

log = logging.getLogger(__name__)

_ATTEMPTS = 10  # to name the current cycle while others name theirs


class Axes(NamedTuple):
    """What all members of a cycle have in common; `times` is how many there are, `levels` hPa."""

    interval_seconds: float
    times: int
    levels: tuple[float, ...]

    @classmethod
    def of(cls, winds: WindField) -> Axes:
        return cls(winds.interval_seconds, winds.data.shape[3], tuple(winds.levels.tolist()))


def check_belongs(winds: WindField, start: float, first: Axes | None) -> None:
    """Raise WindFileError when a member does not start at `start` (Unix seconds) or has other axes than the `first`."""
    if winds.start != start:
        raise WindFileError(f"{winds.name} starts at {winds.start:.0f}, its cycle at {start:.0f} (Unix seconds)")
    found = Axes.of(winds)
    if first is not None and found[:2] != first[:2]:
        raise WindFileError(f"{winds.name} covers other times than the first member of its cycle")
    if first is not None and found.levels != first.levels:
        raise WindFileError(f"{winds.name} has other levels than the first member of its cycle")


class Publication:
    """A cycle on its way into a bucket, member by member; readers see it after `finish`.

    Each member that `add` has put is noted beside it in the bucket, so that another `Publication` of the same cycle and
    product, on any machine, can go on where this one stopped.
    """

    def __init__(self, bucket: Bucket, cycle: str, product: str) -> None:
        """Raises NotFoundError when `cycle` does not name one."""
        self._bucket, self._cycle, self._product = bucket, cycle, product
        self._start = cycle_start(cycle)
        # A manifest of one member for each that is in the bucket.
        self._notes: dict[int, Manifest] = {}
        self._first: Axes | None = None
        self._noted: set[int] = set()

    def resume(self, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Take over what an earlier publication of this cycle and product has put; returns these members.

        With `shape` only members whose wind array has it; others are made anew.
        """
        objects = self._bucket.list(f"{self._cycle}_")
        for name in objects:
            if (match := WIND_FILE.fullmatch(name)) and _note_name(name) in objects:
                with contextlib.suppress(BucketError, NotFoundError, WindFileError):
                    note = Manifest.from_json(self._bucket.read(_note_name(name)), f"{self._cycle}.json")
                    member = note.members[0]
                    is_whole = (member.member, member.size) == (int(match[2]), objects[name].size)
                    if note.product == self._product and is_whole and shape in (None, member.shape):
                        self._notes[member.member] = note
                        self._noted.add(member.member)
                        self._first = Axes(note.interval_seconds, member.shape[3], note.levels)
        return tuple(sorted(self._notes))

    def add(self, member: int, path: Path) -> None:
        """Put the wind file of a member; it is gone from `path` afterwards.

        Raises WindFileError when it is damaged or does not belong to the cycle and its other members.
        """
        note = self.examine(member, path)
        if not self._noted and not _is_forecast(self._bucket, self._cycle):
            remove_cycle(self._bucket, self._cycle)  # a demo: its manifest would be wrong from now on
        name = wind_file_name(self._cycle, member)
        self._bucket.delete(_note_name(name))
        self._bucket.put(name, path)
        self._bucket.write(_note_name(name), note.to_json())
        self._noted.add(member)

    def examine(self, member: int, path: Path) -> Manifest:
        """What the manifest will say of a wind file. Raises WindFileError when it does not belong with the others."""
        file = WindFile(path)
        winds = file.winds
        check_belongs(winds, self._start, self._first)
        made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note = Manifest(
            self._cycle,
            self._product,
            winds.interval_seconds,
            tuple(winds.levels.tolist()),
            winds.height is not None,
            (ManifestMember(member, file.identity.size, sha256(path), winds.data.shape, made),),
        )
        self._first = self._first or Axes.of(winds)
        self._notes[member] = note
        return note

    def finish(self) -> bool:
        """Write the manifest and make the cycle the current one; False where the bucket has a later one.

        Raises WindFileError when no member was put.
        """
        if not self._notes:
            raise WindFileError(f"cycle {self._cycle} has no members to publish")
        notes = [note for _, note in sorted(self._notes.items())]
        manifest = dataclasses.replace(notes[0], members=tuple(note.members[0] for note in notes))
        self._bucket.write(f"{self._cycle}.json", manifest.to_json())
        is_current = make_current(self._bucket, self._cycle)
        for member in self._noted:
            self._bucket.delete(_note_name(wind_file_name(self._cycle, member)))
        log.info("cycle %s published with %d members (%s)", self._cycle, len(notes), self._product)
        return is_current


def publish(bucket: Bucket, cycle: str, files: dict[int, Path], product: str) -> bool:
    """Put the wind files of `cycle` (member -> file) into the bucket and make it the current cycle.

    The files move. Members first, then the manifest, then `whichgefs`: a reader sees the cycle whole or not at all.
    Returns whether it is current now, which it is not where the bucket has a later one. Raises WindFileError when the
    files do not belong together; nothing was put then.
    """
    publication = Publication(bucket, cycle, product)
    for member, path in sorted(files.items()):
        publication.examine(member, path)
    for member, path in sorted(files.items()):
        bucket.put(wind_file_name(cycle, member), path)
    return publication.finish()


def make_current(bucket: Bucket, cycle: str) -> bool:
    """Let `whichgefs` name `cycle`, unless it names a later forecast that is there; returns whether it does now.

    Two that publish at once cannot take the bucket back: each writes only over what it has read.
    """
    for _ in range(_ATTEMPTS):
        version, named = None, ""
        with contextlib.suppress(NotFoundError):
            version = bucket.info(CURRENT).version
            named = bucket.read(CURRENT).decode("ascii", "replace").strip()
        if named > cycle and _is_forecast(bucket, named):
            log.warning("cycle %s is published, but the later %s stays current", cycle, named)
            return False
        if bucket.write_if(CURRENT, cycle.encode(), version):
            return True
    raise BucketError(f"{CURRENT} in the bucket changes all the time; cycle {cycle} is published but not current")


def _is_forecast(bucket: Bucket, cycle: str) -> bool:
    """Whether `cycle` is in the bucket and more than a demo."""
    try:
        return read_manifest(bucket, cycle).product != DEMO
    except (BucketError, NotFoundError):
        return False


def remove_cycle(bucket: Bucket, cycle: str) -> None:
    """Remove the wind files of `cycle`, except those that a process still has mapped, and then its manifest.

    The manifest stays while a wind file does: without it the rest would pass for a cycle of an older tool.
    """
    in_use = False
    for name in bucket.list(f"{cycle}_"):
        if WIND_FILE.fullmatch(name):
            in_use |= not _remove_unless_mapped(bucket, name)
        else:
            bucket.delete(name)
    if not in_use:
        bucket.delete(f"{cycle}.json")


def _remove_unless_mapped(bucket: Bucket, name: str) -> bool:
    path = bucket.local_path(name)
    if path is None:
        bucket.delete(name)
        return True
    try:
        lock = sharedfiles.try_lock(path, create=False)
    except FileNotFoundError:  # another process may remove the same cycle
        return True
    if lock is None:
        return False
    try:
        bucket.delete(name)
    finally:
        os.close(lock)
    return True


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_name(wind_file: str) -> str:
    return wind_file.removesuffix(".npz") + ".json"
