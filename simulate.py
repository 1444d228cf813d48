"""The orchestrator: from a request and a cycle to a prediction or an ensemble.

Wind files stay open per (cycle, member); flights that run when the cycle changes finish on the one they began with.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import habsim
from gefs import Cycle, Cycles
from habsim import balloons, climb, kernels, landing, montecarlo
from habsim.balloons import BalloonSpec
from habsim.classes import (
    DEFAULT_STEP_SECONDS,
    Approaches,
    Balloon,
    ElevationFile,
    Flights,
    Launches,
    Location,
    Simulator,
    Trajectory,
    Zone,
    on_the_ground,
)
from habsim.climb import Column
from habsim.errors import (
    BadRequestError,
    BucketError,
    GroundedError,
    HabsimError,
    NotFoundError,
    NotResidentError,
    ObjectChangedError,
    OutsideCycleError,
    UnavailableError,
    WindFileError,
)
from habsim.profiles import PROFILES, Profile
from runs import Progress, Runs
from settings import Settings
from store.cache import MemberFile
from store.manifest import DEMO
from store.resident import ResidentFile, Watch

Result = TypeVar("Result")
Flown = TypeVar("Flown", Flights, Approaches)
Floats = npt.NDArray[np.float64]

log = logging.getLogger(__name__)

# Two cycles of the largest ensemble: a switch never closes what the next request needs.
MAX_OPEN_MEMBERS = 62
MEMBER_WEIGHT, PERTURBATION_WEIGHT = 2.0, 1.0
_MEMBERS_AT_ONCE = 31  # the members of the largest ensemble
_MOST_ROUNDS = 1000  # of flying and fetching; a flight of days takes a dozen
_TOUCH_SECONDS = 60.0
_PROFILE_STEP = 500.0  # m: about the distance of the levels of the full product in the troposphere
_PROFILE_TOP = 40_000.0  # m: few balloons get so high


@dataclass(frozen=True)
class FlightRequest:
    """One launch as asked for: Unix seconds, where, with what, by which profile; `step` the longest step in s.

    The profile `physical` climbs by `spec`, not by what `balloon` says of the ascent: through the standard atmosphere
    or, with `model_air`, through the air that the forecast has over the launch. `under_chute` its descent rate follows
    from its mass.
    """

    time: float
    place: Location
    balloon: Balloon
    profile: str
    step: float = DEFAULT_STEP_SECONDS
    spec: BalloonSpec | None = None
    model_air: bool = False
    under_chute: bool = False

    def with_balloons(self, launches: Launches, rows: Floats, column: Column | None = None) -> Launches:
        """The launches flown by its gas balloons. Raises as `balloons.launches_of`."""
        assert self.spec is not None
        return balloons.launches_of(launches, rows, column=column, pressure_limit=self.spec.envelope.pressure_limit)


@dataclass(frozen=True)
class EnsembleRequest:
    """A flight for all members with `perturbations` Monte Carlo copies each; `half_widths` replace distributions."""

    flight: FlightRequest
    perturbations: int
    seed: int
    half_widths: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """What a prediction was made from. `cycle_version` tells two publications of one cycle apart."""

    cycle: str
    cycle_version: str
    product: str
    members: tuple[int, ...]
    code_version: str
    vertical_scheme: str
    step_seconds: float | None = None
    seed: int | None = None

    @property
    def demo(self) -> bool:
        return self.product == DEMO

    def to_dict(self) -> dict[str, Any]:
        return {
            "cycle": self.cycle,
            "product": self.product,
            "demo": self.demo,
            "members": list(self.members),
            "code_version": self.code_version,
            "vertical_scheme": self.vertical_scheme,
            "step_seconds": self.step_seconds,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Prediction:
    """One flight and what it was made from."""

    trajectory: Trajectory
    provenance: Provenance


@dataclass(frozen=True)
class Ensemble:
    """All flights of an ensemble.

    `members` and `trajectories` go together, None where the member failed. `landings` (n, 5): latitude, longitude,
    perturbation (-1 for the member's own flight), member, weight; members first. `failed` is member -> reason.
    """

    provenance: Provenance
    members: tuple[int, ...]
    trajectories: tuple[Trajectory | None, ...]
    landings: npt.NDArray[np.float64]
    statistics: landing.LandingStatistics
    over_water: float
    failed: dict[int, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class WindProfile:
    """Winds over a point.

    `ground` m; `altitudes` (n,) m, the ground and then every 500 m up to the top level, at most 40 km; `winds` member
    -> (n, 2) eastward and northward, m/s; `failed` member -> why it has none.
    """

    ground: float
    altitudes: Floats
    winds: dict[int, Floats]
    failed: dict[int, HabsimError]


class MemberSimulator(Simulator):
    """The simulator of a wind file, which it keeps mapped.

    What it computed while somebody rewrote the file in its place is refused with a WindFileError: the winds could be
    of both.
    """

    def __init__(self, file: MemberFile, ground: ElevationFile) -> None:
        super().__init__(file.winds, ground, _notes(file.source))
        self.file = file
        self._next_touch = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all winds are on this machine."""
        return self.field.tiles is None

    def fly(
        self,
        launches: Launches,
        profile: Profile,
        *,
        step: float = DEFAULT_STEP_SECONDS,
        paths: int = 0,
        watch: Watch | None = None,
    ) -> Flights:
        """As `Simulator.fly`; winds that are not on this machine are fetched, which `watch` is told.

        A flight without its winds goes on a while in those it had, so that most of what all flights will need is
        fetched at once; then they all fly again. Raises what the bucket raises.
        """
        fly = super().fly
        return self._with_winds(lambda: fly(launches, profile, step=step, paths=paths), watch)

    def approach(
        self, launches: Launches, profile: Profile, zone: Zone, *, step: float = DEFAULT_STEP_SECONDS
    ) -> Approaches:
        """As `Simulator.approach`; winds that are not on this machine are fetched, as by `fly`."""
        approach = super().approach
        return self._with_winds(lambda: approach(launches, profile, zone, step=step), None)

    def _with_winds(self, run: Callable[[], Flown], watch: Watch | None) -> Flown:
        """What `run` gives when all the winds it needs are there."""
        for _ in range(_MOST_ROUNDS):
            flown = run()
            if not flown.lacks_winds:
                self._check()
                return flown
            self._fetch(flown.missing, watch)
        raise self._endless()

    def winds_over(self, time: float, latitude: float, longitude: float, altitudes: npt.ArrayLike) -> Floats:
        """As `Simulator.winds_over`; winds that are not on this machine are fetched. Raises what the bucket raises."""
        for _ in range(_MOST_ROUNDS):
            try:
                found = super().winds_over(time, latitude, longitude, altitudes)
            except NotResidentError as error:
                self._fetch(np.flatnonzero(error.wanted), None)
            else:
                self._check()
                return found
        raise self._endless()

    def heights_over(self, time: float, latitude: float, longitude: float) -> Floats | None:
        """As `Simulator.heights_over`; what is not on this machine is fetched."""
        found = super().heights_over(time, latitude, longitude)
        self._check()
        return found

    def column_over(self, time: float, place: Location) -> Column:
        """The air over `place` as its heights have it.

        Raises BadRequestError where the winds have none, WindFileError where they are those of no air, and as
        `heights_over`.
        """
        heights = self.heights_over(time, place.latitude, place.longitude)
        if heights is None:
            raise BadRequestError(f"atmosphere=model needs winds with heights, and {self.field.name} has none")
        try:
            return balloons.hydrostatic_column(heights[::-1], self.field.levels[::-1])
        except BadRequestError as error:
            raise WindFileError(f"heights of {self.field.name} over the launch are those of no air: {error}") from error

    def _fetch(self, tiles: npt.NDArray[np.intp], watch: Watch | None) -> None:
        assert isinstance(self.file, ResidentFile)
        self.file.fetch(tiles, watch)

    def _endless(self) -> WindFileError:
        return WindFileError(f"{self.field.name}: winds are still missing after they were fetched {_MOST_ROUNDS} times")

    def is_current(self) -> bool:
        """Whether the file is the one to open now; notes its use where it could leave a cache."""
        if isinstance(self.file, ResidentFile) and time.monotonic() > self._next_touch:
            self._next_touch = time.monotonic() + _TOUCH_SECONDS
            with contextlib.suppress(OSError):
                self.file.touch()
        return self.file.is_unchanged()

    def _check(self) -> None:
        if not self.file.is_intact():
            raise WindFileError(f"{self.file.path.name} was rewritten while it was read; replace files by renaming")


def _notes(source: dict[str, Any]) -> tuple[str, ...]:
    """What users must know of where the winds are from."""
    hours = source.get("steady_hours")
    if hours is None:
        return ()
    step = ", ".join(f"+{lead} h" for lead in source.get("steps_hours", []))
    return (f"one step of the forecast ({source.get('run', 'unknown run')} {step}) is held for {hours:g} h",)


@dataclass(frozen=True)
class _Prepared:
    """Launches of one flight request for any member; with `rows` gas balloons, which climb in the air of the member."""

    flight: FlightRequest
    launches: Launches
    rows: Floats | None = None

    def fly(self, simulator: MemberSimulator, watch: Watch | None = None) -> Flights:
        """Raises what `MemberSimulator.fly` raises, and what is wrong with the balloon in this air."""
        flight, launches = self.flight, self.launches
        if self.rows is not None:
            column = simulator.column_over(flight.time, flight.place)
            launches = self.flight.with_balloons(launches, self.rows, column)
        return simulator.fly(launches, PROFILES[flight.profile], step=flight.step, paths=1, watch=watch)


class Orchestrator:
    """Answers requests from the wind files of a bucket. One per process; safe for its threads."""

    def __init__(self, cycles: Cycles, ground: ElevationFile, settings: Settings) -> None:
        self.cycles = cycles
        self.ground = ground
        self.runs = Runs(settings)
        self._open: OrderedDict[tuple[str, str, int], MemberSimulator] = OrderedDict()
        # Protects what is open and the threads.
        self._lock = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._waiting_threads: ThreadPoolExecutor | None = None

    # Wind files

    def simulator(self, cycle: Cycle, member: int) -> MemberSimulator:
        """The simulator of a member, opened once and again when its file has changed."""
        key = (cycle.name, cycle.version, member)
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                self._open.move_to_end(key)
        if found is not None and found.is_current():
            return found
        opened = MemberSimulator(self.cycles.open_member(cycle, member), self.ground)
        with self._lock:
            is_first = not any(k[:2] == key[:2] for k in self._open)
            self._open[key] = opened
            self._open.move_to_end(key)
            while len(self._open) > MAX_OPEN_MEMBERS:
                self._open.popitem(last=False)
        if is_first:
            self._close_others(cycle)
        return opened

    def _close_others(self, cycle: Cycle) -> None:
        """Let go of all cycles but `cycle` and the current one; their files close when their last flight ends."""
        kept = {(cycle.name, cycle.version)}
        with contextlib.suppress(UnavailableError):
            current = self.cycles.current()
            kept.add((current.name, current.version))
        with self._lock:
            for key in [k for k in self._open if k[:2] not in kept]:
                del self._open[key]

    def open_members(self) -> list[str]:
        """Wind files that this process holds open."""
        with self._lock:
            return [entry.file.path.name for entry in self._open.values()]

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="flights")
            return self._threads

    def _waiting(self) -> ThreadPoolExecutor:
        """Threads for members whose winds are being fetched."""
        with self._lock:
            if self._waiting_threads is None:
                self._waiting_threads = ThreadPoolExecutor(_MEMBERS_AT_ONCE, thread_name_prefix="members")
            return self._waiting_threads

    # Predictions

    def on_cycle(self, name: str | None, run: Callable[[Cycle], Result]) -> Result:
        """`run` on the cycle `name`, by default on the current one.

        Where the cycle is replaced before its files are open, `run` starts again on the new one: an answer never mixes
        two.
        """
        chosen = self.cycles.current() if name is None else self.cycles.named(name)
        try:
            return run(chosen)
        except (NotFoundError, UnavailableError, WindFileError, ObjectChangedError):
            newer = self.cycles.refresh() if name is None else self.cycles.named(name, anew=True)
            if (newer.name, newer.version) == (chosen.name, chosen.version):
                raise
            return run(newer)

    def predict(self, request: FlightRequest, member: int, cycle: Cycle) -> Prediction:
        """Fly one launch with one member of `cycle`.

        Raises what is wrong with the request, or WindFileError where the member cannot be flown.
        """
        simulator = self.simulator(cycle, member)
        flights = self._launches(EnsembleRequest(request, 0, 0)).fly(simulator)
        if flights.failures:
            raise flights.failures[0]
        (trajectory,) = flights.trajectories
        assert trajectory is not None
        return Prediction(trajectory, provenance_of(cycle, (member,), simulator, request.step))

    def winds_over(
        self, time: float, latitude: float, longitude: float, altitudes: npt.ArrayLike, cycle: Cycle
    ) -> tuple[dict[int, Floats], dict[int, HabsimError]]:
        """Winds over a point (degrees) at n altitudes (m) for all members of `cycle`.

        Returns member -> (n, 2) eastward and northward in m/s, and why others have none. Raises what is wrong with the
        first member where none has winds.
        """
        # Whose file is elsewhere waits most of the time.
        pool = self._pool() if self.cycles.is_local else self._waiting()
        found: dict[int, Floats] = {}
        failed: dict[int, HabsimError] = {}

        def read(member: int) -> Floats:
            return self.simulator(cycle, member).winds_over(time, latitude, longitude, altitudes)

        futures = {member: pool.submit(read, member) for member in cycle.members}
        for member, future in futures.items():
            try:
                found[member] = future.result()
            except HabsimError as error:
                failed[member] = error
        if not found:
            raise next(iter(failed.values()))
        return found, failed

    def wind_profile(self, time: float, latitude: float, longitude: float, cycle: Cycle) -> WindProfile:
        """Winds over a point (degrees) from the ground up for all members of `cycle`. Raises as `winds_over`."""
        ground = round(float(self.ground.at(latitude, longitude % 360.0)), 1)
        above = np.arange(math.floor(ground / _PROFILE_STEP) + 1, _PROFILE_TOP // _PROFILE_STEP + 1) * _PROFILE_STEP
        altitudes = np.array([ground, *above])
        winds, failed = self.winds_over(time, latitude, longitude, altitudes, cycle)
        # Above it the wind of the top level would be repeated.
        top = self.simulator(cycle, next(iter(winds))).top
        count = max(int(np.searchsorted(altitudes, top, side="right")), 1)
        return WindProfile(ground, altitudes[:count], {m: found[:count] for m, found in winds.items()}, failed)

    def ensemble(self, request: EnsembleRequest, cycle: Cycle, progress: Progress | None = None) -> Ensemble:
        """Fly a launch and its perturbations with all members of `cycle`, on all cores.

        A member that cannot be flown is named in `failed`. Raises what is wrong with the request, or UnavailableError
        when no member can be flown.
        """
        return self._fly_members(cycle, request, self._launches(request), progress)

    def _launches(self, request: EnsembleRequest) -> _Prepared:
        """The launch as asked for and its perturbed copies, on the ground."""
        flight, seed, count = request.flight, request.seed, request.perturbations
        distributions = montecarlo.table(request.half_widths, balloon=flight.spec is not None)
        launch = Launches.single(flight.time, flight.place, flight.balloon)
        launches = on_the_ground(montecarlo.perturbed(launch, seed, count, distributions), self.ground)
        if flight.spec is None:
            return _Prepared(flight, launches)
        rows = montecarlo.perturbed_balloons(np.array(flight.spec.row()), seed, count, distributions)
        if flight.under_chute:
            launches.table[:, kernels.DESCENT_RATE] *= np.sqrt(rows[:, climb.DEAD_MASS] / rows[0, climb.DEAD_MASS])
        if flight.model_air:
            return _Prepared(flight, launches, rows)
        return _Prepared(flight, flight.with_balloons(launches, rows))

    def _fly_members(
        self, cycle: Cycle, request: EnsembleRequest, launches: _Prepared, progress: Progress | None
    ) -> Ensemble:
        errors: dict[int, HabsimError] = {}
        simulators = self._open_all(cycle, errors, progress)
        if errors and self._is_gone(cycle):
            raise next(iter(errors.values()))
        # Who fetches waits most of the time, so that more of them than cores may be at it.
        pool = self._pool() if all(simulator.is_whole for simulator in simulators.values()) else self._waiting()
        watch = progress.fetching if progress is not None else None
        futures: dict[Future[Flights], int] = {
            pool.submit(launches.fly, simulator, watch): member for member, simulator in simulators.items()
        }
        flown: dict[int, Flights] = {}
        for future in as_completed(futures):
            member = futures[future]
            try:
                flights = future.result()
            except HabsimError as error:
                errors[member] = error
            else:
                if 0 in flights.failures:
                    errors[member] = flights.failures[0]
                else:
                    flown[member] = flights
            if progress is not None:
                progress.flown(request.perturbations)
        if any(isinstance(error, ObjectChangedError) for error in errors.values()) and self._is_gone(cycle):
            raise next(error for error in errors.values() if isinstance(error, ObjectChangedError))
        if progress is not None and not all(isinstance(error, OutsideCycleError) for error in errors.values()):
            progress.keep_result = False  # the member may be readable when the same request comes again
        if not flown:
            raise _no_member_flown(cycle, errors)
        members = tuple(sorted(flown))
        some = simulators[members[0]]
        return self._collect(
            cycle.members,
            {member: flown[member] for member in members},
            {member: error.message for member, error in sorted(errors.items())},
            provenance_of(cycle, members, some, request.flight.step, request.seed),
        )

    def _open_all(
        self, cycle: Cycle, errors: dict[int, HabsimError], progress: Progress | None
    ) -> dict[int, MemberSimulator]:
        simulators: dict[int, MemberSimulator] = {}
        pool = self._pool() if self.cycles.is_local else self._waiting()
        if progress is not None and self.cycles.is_local and cycle.manifest is not None:
            progress.fetching(sum(m.size for m in cycle.manifest.members), 0)
        opening = {member: pool.submit(self.simulator, cycle, member) for member in cycle.members}
        for member, future in opening.items():
            try:
                simulators[member] = future.result()
            except HabsimError as error:
                errors[member] = error
                log.warning("member %d of cycle %s cannot be flown: %s", member, cycle.name, error.message)
            else:
                if progress is not None and self.cycles.is_local:
                    progress.fetching(0, simulators[member].file.identity.size)
        return simulators

    def _is_gone(self, cycle: Cycle) -> bool:
        """Whether `cycle` has been removed, or published anew, since it was chosen."""
        with contextlib.suppress(UnavailableError):
            latest = self.cycles.refresh()
            if (latest.name, latest.version) == (cycle.name, cycle.version):
                return False
        try:
            return self.cycles.cycle(cycle.name).version != cycle.version
        except NotFoundError:
            return True
        except (WindFileError, BucketError):
            return False

    def _collect(
        self, asked: tuple[int, ...], flown: dict[int, Flights], failed: dict[int, str], provenance: Provenance
    ) -> Ensemble:
        tables, lost, grounded, perturbed = [], 0, 0, 0
        for member, flights in flown.items():
            count = len(flights.landing)
            table = np.empty((count, 5))
            table[:, :2] = flights.landing[:, 1:3]
            table[:, 2] = np.arange(-1, count - 1)
            table[:, 3] = member
            table[:, 4] = PERTURBATION_WEIGHT
            table[0, 4] = MEMBER_WEIGHT
            tables.append(np.delete(table, list(flights.failures), axis=0) if flights.failures else table)
            still = sum(isinstance(error, GroundedError) for error in flights.failures.values())
            grounded += still
            lost += len(flights.failures) - still
            perturbed += count - 1
        landings = np.concatenate(tables)
        landings = landings[np.lexsort((landings[:, 3], landings[:, 2]))]
        latitude, longitude, weight = landings[:, 0], landings[:, 1], landings[:, 4]
        water = self.ground.nearest(latitude, longitude) == 0.0
        warnings = list(dict.fromkeys(w for flights in flown.values() for w in flights.warnings))
        if failed:
            warnings.append(
                f"{len(failed)} of {len(asked)} members could not be flown; landings and regions are of the other "
                f"{len(flown)}"
            )
        if grounded:
            warnings.append(
                f"{grounded} of {perturbed} perturbed balloons cannot lift what they carry, or burst at float or where "
                "they are launched; they are left out of landings and regions"
            )
        if lost:
            warnings.append(f"{lost} perturbed flights could not be completed and are left out")
        return Ensemble(
            provenance=provenance,
            members=asked,
            trajectories=tuple(flown[m].trajectories[0] if m in flown else None for m in asked),
            landings=landings,
            statistics=landing.statistics(latitude, longitude, weight),
            over_water=float(weight[water].sum() / weight.sum()),
            failed=failed,
            warnings=tuple(warnings),
        )


def provenance_of(
    cycle: Cycle, members: tuple[int, ...], simulator: Simulator, step: float | None = None, seed: int | None = None
) -> Provenance:
    """What an answer from `members` of `cycle` was made from; `step` in s where something flew."""
    return Provenance(
        cycle=cycle.name,
        cycle_version=cycle.version,
        product=cycle.product,
        members=members,
        code_version=habsim.__version__,
        vertical_scheme=simulator.vertical_scheme,
        step_seconds=step,
        seed=seed,
    )


def _no_member_flown(cycle: Cycle, errors: dict[int, HabsimError]) -> HabsimError:
    asked = [error for _, error in sorted(errors.items()) if isinstance(error, OutsideCycleError | BadRequestError)]
    if len(asked) == len(errors):
        return asked[0]
    reasons = [{"model_id": member, "reason": error.message} for member, error in sorted(errors.items())]
    first = reasons[0]["reason"]
    return UnavailableError(f"no member of cycle {cycle.name} can be flown: {first}", {"failed_members": reasons})
