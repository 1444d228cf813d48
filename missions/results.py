"""Results of simulations: small ones in their row, large ones in files of the data folder or objects on S3.

All are kept as gzip. The name of a file has the fence of the job that wrote it, so that two workers that have the same
job never write the same file, and the row says whose counts.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import logging
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
        name = f"result-{simulation_id}-{fence}.json.gz"
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
        """A result as gzip. Raises NotFoundError when it is gone, BucketError."""
        if reference is None:
            if inline is None:
                raise NotFoundError("the result is gone")
            return inline
        if self._bucket is not None:
            return self._bucket.read(reference)
        try:
            return self._file(reference).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"the result is gone: there is no file {reference} on this machine") from None
        except OSError as error:
            raise UnavailableError(f"the result cannot be read: {error.strerror}") from error

    def remove(self, references: Iterable[str]) -> None:
        """Remove results that no row names; what cannot be removed is logged and left."""
        for reference in references:
            try:
                if self._bucket is not None:
                    self._bucket.delete(reference)
                else:
                    self._file(reference).unlink(missing_ok=True)
            except (OSError, BucketError) as error:
                log.warning("result %s is left over: %s", reference, error)

    def remove_earlier(self, simulation_id: uuid.UUID, fence: int) -> None:
        """Remove what workers wrote that had the job before, and were killed before they could say so."""
        with contextlib.suppress(BucketError):
            self.remove(f"result-{simulation_id}-{earlier}.json.gz" for earlier in range(1, fence))

    def _file(self, reference: str) -> Path:
        return self._folder / Path(reference).name
