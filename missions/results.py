"""Results of simulations: small ones in their row, large ones in files of the data folder or objects on S3.

All are kept as gzip. The name of a file has the fence of the job that wrote it, so that two workers that have the same
job never write the same file, and the row says whose counts.
"""

from __future__ import annotations

import errno
import gzip
import logging
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sharedfiles
from habsim.errors import BucketError, NotFoundError, UnavailableError
from settings import Settings
from store.bucket import Bucket
from store.opening import open_bucket

log = logging.getLogger(__name__)

INLINE_BYTES = 256 << 10
_LEVEL = 3
_PREFIX = "result-"
_NAME = re.compile(_PREFIX + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,9})\.json\.gz")


@dataclass(frozen=True)
class Kept:
    """A result as it is kept: in `inline`, or where `reference` says. `size` is in bytes, compressed."""

    inline: bytes | None
    reference: str | None
    size: int


class Results:
    """Where the results of a service are."""

    def __init__(self, settings: Settings, *, shared_database: bool) -> None:
        """`shared_database`: other machines may have it too, and would not find files of this one."""
        self._folder = settings.data_dir / "simulations"
        self._in_rows = shared_database and settings.s3_bucket_name is None
        self._bucket: Bucket | None = open_bucket(settings) if settings.s3_bucket_name is not None else None

    def keep(self, simulation_id: uuid.UUID, fence: int, content: bytes) -> Kept:
        """Keep a result. Raises BucketError, or UnavailableError where the disk does not take it."""
        packed = gzip.compress(content, _LEVEL, mtime=0)
        if len(packed) <= INLINE_BYTES or self._in_rows:
            return Kept(packed, None, len(packed))
        name = f"{_of(simulation_id)}{fence}.json.gz"
        if self._bucket is not None:
            self._bucket.write(name, packed)
        else:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                sharedfiles.write_atomically(self._folder / name, packed)
            except OSError as error:
                what = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror)
                raise UnavailableError(f"the result of {len(packed) / 1e6:.1f} MB cannot be written: {what}") from error
        return Kept(None, name, len(packed))

    def read(self, inline: bytes | None, reference: str | None) -> bytes:
        """A result as gzip, wherever it was kept: a service may have moved to S3. Raises NotFoundError, BucketError."""
        if reference is None:
            if inline is None:
                raise NotFoundError("the result is gone")
            return inline
        try:
            return self._file(reference).read_bytes()
        except FileNotFoundError:
            if self._bucket is None:
                text = f"the result is gone: there is no file {reference} on this machine, and no bucket on S3 is set"
                raise NotFoundError(text) from None
        except OSError as error:
            raise UnavailableError(f"the result cannot be read: {error.strerror}") from error
        return self._bucket.read(reference)

    def names(self, simulation_id: uuid.UUID | None = None) -> set[str]:
        """The results that are in files and objects: of one simulation, or all. Raises BucketError, OSError."""
        prefix = _PREFIX if simulation_id is None else _of(simulation_id)
        found = {path.name for path in self._folder.iterdir()} if self._folder.is_dir() else set()
        if self._bucket is not None:
            found |= set(self._bucket.list(prefix))
        return {name for name in found if name.startswith(prefix) and _NAME.fullmatch(name)}

    def remove(self, references: Iterable[str]) -> None:
        """Remove results that no row names; what cannot be removed is logged and left."""
        for reference in references:
            try:
                self._file(reference).unlink(missing_ok=True)
                if self._bucket is not None:
                    self._bucket.delete(reference)
            except (OSError, BucketError) as error:
                log.warning("result %s is left over: %s", reference, error)

    def _file(self, reference: str) -> Path:
        return self._folder / Path(reference).name


def _of(simulation_id: uuid.UUID) -> str:
    return f"{_PREFIX}{simulation_id}-"


def written_by(name: str) -> tuple[uuid.UUID, int]:
    """The simulation and the fence of the job that wrote the file of that name."""
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return uuid.UUID(found[1]), int(found[2])
