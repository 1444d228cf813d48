"""From the settings to an orchestrator on its cycles and its ground, for every process that flies."""

from __future__ import annotations

import logging
from pathlib import Path

import elev
from gefs import Cycles, Remote
from habsim.errors import BucketError, ElevationError, NotFoundError, UnavailableError
from settings import Settings
from simulate import Orchestrator
from store.bucket import ELEVATION, Bucket

log = logging.getLogger(__name__)


def open_orchestrator(settings: Settings, bucket: Bucket, remote: Remote) -> tuple[Orchestrator, Path]:
    """The orchestrator, and the file of its ground elevation. Raises ElevationError."""
    cycles = Cycles(bucket, settings.data_dir, settings.refresh_seconds, remote)
    path = _elevation_file(settings, cycles)
    return Orchestrator(cycles, elev.load(path), settings), path


def look_for_cycle(cycles: Cycles) -> None:
    """The first look, at the start of a process; without a cycle it waits for one."""
    try:
        cycles.refresh()
    except UnavailableError as error:
        log.warning("%s", error.message)


def _elevation_file(settings: Settings, cycles: Cycles) -> Path:
    if settings.elevation is not None:
        return settings.elevation
    path = cycles.bucket.local_path(ELEVATION)
    if path is not None and path.exists():
        return path
    if path is None:
        try:
            return cycles.cache.fetched(ELEVATION)
        except NotFoundError:
            log.info("the bucket has no %s: the embedded ground is used", ELEVATION)
        except (BucketError, UnavailableError) as error:
            log.warning("the embedded ground is used: %s", error.message)
    embedded = settings.data_dir / "elevation.npz"
    if not embedded.exists():
        raise ElevationError(f"there is no ground elevation at {embedded}; `make setup` makes it")
    return embedded
