"""Where objects are kept: a flat store of named bytes, in a folder or on S3.

Object names of HABSIM: `whichgefs` (the current cycle), `YYYYMMDDHH.json` (manifest), `YYYYMMDDHH_MM.npz` (wind file of
a member), `worldelev.npy` (ground elevation).
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sharedfiles
from habsim.errors import BucketError, NotFoundError, ObjectChangedError
from windfile import Identity

CURRENT = "whichgefs"
ELEVATION = "worldelev.npy"
_OBJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size in bytes and a version that changes whenever the content is replaced."""

    size: int
    version: str


class Bucket(Protocol):
    """A flat store of named objects. Every method raises BucketError when the store does not answer.

    `info`, `read` and `read_range` raise NotFoundError for a name that is not there. Safe for many threads at once.
    """

    def list(self, prefix: str = "") -> dict[str, ObjectInfo]:
        """All objects whose name begins with `prefix`, sorted by name."""
        ...

    def info(self, name: str) -> ObjectInfo: ...

    def read(self, name: str) -> bytes:
        """The whole of a small object."""
        ...

    def read_range(self, name: str, offset: int, length: int, version: str) -> bytes:
        """Exactly `length` bytes from `offset` of that version. Raises ObjectChangedError when there is another."""
        ...

    def local_path(self, name: str) -> Path | None:
        """The file that is the object, where the store is on this machine's disk; None where it is not."""
        ...

    def put(self, name: str, path: Path) -> None:
        """Store the file at `path`; it is gone from there afterwards. Readers see the old object or the new one."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Store `content`. Readers see the old object or the new one."""
        ...

    def write_if(self, name: str, content: bytes, version: str | None) -> bool:
        """Store `content` while the object still has `version`, with None while there is none; else False."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...


def is_object_name(name: str) -> bool:
    """Whether an object can have that name; what else lies in a store is none."""
    return _OBJECT.fullmatch(name) is not None


def check_name(name: str) -> str:
    """`name`. Raises NotFoundError when no object can have it."""
    if not is_object_name(name):
        raise NotFoundError(f"there is no object named {name[:80]!r} in the bucket")
    return name


class LocalBucket:
    """A bucket that is a folder. Nothing is copied: a wind file is mapped where it lies."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return f"folder {self.root}"

    def list(self, prefix: str = "") -> dict[str, ObjectInfo]:
        try:
            with os.scandir(self.root) as entries:
                found = {
                    e.name: _info(e.stat())
                    for e in entries
                    if e.name.startswith(prefix) and is_object_name(e.name) and e.is_file()
                }
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise BucketError(f"bucket {self.root} cannot be listed: {error.strerror}") from error
        return dict(sorted(found.items()))

    def info(self, name: str) -> ObjectInfo:
        try:
            return _info(self._file(name).stat())
        except OSError as error:
            raise self._failure(name, error) from error

    def read(self, name: str) -> bytes:
        try:
            return self._file(name).read_bytes()
        except OSError as error:
            raise self._failure(name, error) from error

    def read_range(self, name: str, offset: int, length: int, version: str) -> bytes:
        try:
            with self._file(name).open("rb") as file:
                found = _info(os.fstat(file.fileno()))
                if found.version != version:
                    raise ObjectChangedError(f"{name} in the bucket was replaced while it was read")
                content = os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise self._failure(name, error) from error
        if len(content) != length:
            raise BucketError(f"{name} has {found.size} bytes, {length} from byte {offset} were asked for")
        return content

    def local_path(self, name: str) -> Path:
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

    def write_if(self, name: str, content: bytes, version: str | None) -> bool:
        file = self._file(name)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # Between the look and the write nobody else may write under a condition.
            with sharedfiles.exclusive(file.with_name(f".{name}.lock"), _LOCK_SECONDS) as held:
                if not held:
                    raise BucketError(f"{name} in the bucket has been locked for {_LOCK_SECONDS:.0f} s")
                found = _info(file.stat()).version if file.exists() else None
                if found == version:
                    sharedfiles.write_atomically(file, content)
                return found == version
        except OSError as error:
            raise self._failure(name, error) from error

    def delete(self, name: str) -> None:
        try:
            self._file(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(name, error) from error

    def _file(self, name: str) -> Path:
        return self.root / check_name(name)

    def _failure(self, name: str, error: OSError) -> BucketError | NotFoundError:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return NotFoundError(f"{name} is not in the bucket")
        return BucketError(f"{name} in the bucket: {error.strerror or error}")


def _info(status: os.stat_result) -> ObjectInfo:
    identity = Identity.of(status)
    return ObjectInfo(identity.size, f"{identity.inode:x}-{identity.size:x}-{identity.modified_ns:x}")
