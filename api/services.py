"""What the routes work with, made once by `create_app`."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import cast

from flask import current_app

from api.metrics import Metrics
from gefs import Cycle
from habsim.classes import Simulator
from habsim.errors import BucketError, BusyError, HabsimError, UnavailableError
from housekeeping import Housekeeper
from missions.opening import Missions
from settings import Settings
from simulate import Orchestrator
from store.manifest import WIND_FILE

EXTENSION = "habsim"

# What the downloader makes of the GEFS: the control and the 20 members that all its products have.
GEFS_PRODUCTS = frozenset({"classic", "full"})
GEFS_MEMBERS = 21
# A cycle starts every 6 h and is complete 6 to 8 h after, so the newest there is to have is at most 14 h old. At 18 h
# one was missed for sure, and a second is not yet due.
STALE_SECONDS = 18 * 3600.0


@dataclass(frozen=True)
class Services:
    """The parts of the running service.

    `ground_name` is the elevation file, or `embedded`; `ground_version` changes when the file does.

    `streams` and `ensembles` bound the open event streams and the ensembles of this process, which may wait for a turn,
    so that threads are left for short requests.
    """

    orchestrator: Orchestrator
    settings: Settings
    metrics: Metrics
    ground_name: str
    ground_version: str
    housekeeper: Housekeeper
    streams: BoundedSemaphore
    ensembles: BoundedSemaphore
    missions: Missions

    def private_memory_mb(self) -> float:
        """Memory of this process that it shares with no other, MB; peak memory where the system does not say."""
        try:
            lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / 1e6

    def disk_cache(self) -> tuple[int, int]:
        """Number and bytes of the wind files on the local disk: those of a local bucket, else those of the cache."""
        cycles = self.orchestrator.cycles
        if cycles.is_local:
            sizes = [info.size for name, info in cycles.bucket.list().items() if WIND_FILE.fullmatch(name)]
        else:
            sizes = [entry.size for entry in cycles.cache.entries()]
        return len(sizes), sum(sizes)


def expected_members(cycle: Cycle) -> int:
    """How many members `cycle` should have: all those of the GEFS, or those it has where it is something else."""
    return max(GEFS_MEMBERS if cycle.product in GEFS_PRODUCTS else 0, len(cycle.members))


def is_stale(cycle: Cycle, simulator: Simulator, now: float) -> bool:
    """Whether a newer cycle than `cycle` should be here at `now` (Unix seconds).

    Demo winds and converted forecasts are what somebody chose to fly on, and so are winds that are held. Files without
    a manifest are live GEFS of older tools.
    """
    is_renewed = cycle.manifest is None or cycle.product in GEFS_PRODUCTS
    return is_renewed and not simulator.notes and now - cycle.start > STALE_SECONDS


def some_simulator(orchestrator: Orchestrator, cycle: Cycle) -> Simulator:
    """That of the first member of `cycle` that can be flown. Raises UnavailableError when none can."""
    problem = "it has no members"
    for member in cycle.members:
        try:
            return orchestrator.simulator(cycle, member)
        except (BucketError, BusyError):
            raise  # it would be no better for another member
        except HabsimError as error:
            problem = error.message
    raise UnavailableError(f"no member of cycle {cycle.name} can be flown: {problem}")


def take(places: BoundedSemaphore, what: str) -> None:
    """Take one of the places, which `release` gives back. Raises BusyError when all are taken."""
    if not places.acquire(blocking=False):
        raise BusyError(f"too many {what} are open on this worker; try again soon", 2)


def services() -> Services:
    """The services of the current app."""
    return cast(Services, current_app.extensions[EXTENSION])
