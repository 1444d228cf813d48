"""Searches: from the config of a reverse job to what is flown, and how large that is on a cycle."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gefs import Cycle
from habsim.errors import BadRequestError, NotFoundError, OutsideCycleError, UnavailableError, WindFileError
from habsim.profiles import PROFILES
from habsim.reverse import (
    Configuration,
    Estimate,
    LaunchWindow,
    Plan,
    SearchArea,
    Target,
    TargetWindow,
    TimeWindow,
    estimate,
    starts_inside,
)
from missions.configs import balloon_of
from simulate import MemberSimulator, Orchestrator

MAX_TIMES = 5000  # launch times: every 5 minutes of the longest cycle
ALL = "all"


@dataclass(frozen=True)
class Sized:
    """A search on a cycle, through `members`; `simulator` is that of one of them."""

    search: Plan
    cycle: Cycle
    members: tuple[int, ...]
    simulator: MemberSimulator
    estimate: Estimate
    warnings: tuple[str, ...]


def search_of(config: dict[str, Any]) -> Plan:
    """What a config searches. Raises BadRequestError for a balloon that cannot fly, or too many launch times."""
    target, area = config["target"], config["area"]
    limits = {name: target[name] for name in ("lowest", "highest") if target.get(name) is not None}
    mission = _mission(config)
    if mission.window.count > MAX_TIMES:
        raise BadRequestError(
            f"the search has {mission.window.count:,} launch times, the limit is {MAX_TIMES:,}: take a wider step_hours"
        )
    return Plan(
        Target(target["lat"], target["lon"], target["radius"], **limits),
        SearchArea(area["lat"], area["lon"], area["radius"], area["spacing"], area.get("shape", "circle")),
        mission,
        tuple(_configuration(balloon) for balloon in config["balloons"]),
        refine=config.get("refine", True),
    )


def _mission(config: dict[str, Any]) -> LaunchWindow | TargetWindow:
    if config["mission"] == LaunchWindow.name:
        window = config["window"]
        step = window.get("step_hours", 6.0) * 3600.0
        return LaunchWindow(TimeWindow(seconds(window["from"]), seconds(window["to"]), step), config.get("hit", "pass"))
    arrival = config["arrival"]
    tolerance, step = arrival.get("tolerance_minutes", 0.0) * 60.0, arrival.get("step_hours", 6.0) * 3600.0
    return TargetWindow(seconds(arrival["time"]), arrival["days"], tolerance, step)


def _configuration(balloon: dict[str, Any]) -> Configuration:
    moves, spec = balloon_of(balloon)
    return Configuration(balloon["name"], moves, PROFILES[balloon.get("profile", "zpb")], spec)


def refuse_too_large(config: dict[str, Any]) -> None:
    """What can be refused before a cycle is known. Raises BadRequestError with the size and the limit."""
    members = config.get("members", ALL)
    estimate(search_of(config), 1 if members == ALL else len(members))


def sized(config: dict[str, Any], orchestrator: Orchestrator) -> Sized:
    """How large a search is on the cycle that it names, or on the current one; opens one wind file.

    Raises BadRequestError when it is too large or its times are outside the cycle, NotFoundError, UnavailableError.
    """
    search, name = search_of(config), config.get("cycle")
    cycle = orchestrator.cycles.current() if name is None else orchestrator.cycles.named(name)
    members = _members(config.get("members", ALL), cycle)
    size = estimate(search, len(members), cores=os.cpu_count() or 1)
    simulator = _first(orchestrator, cycle, members)
    warnings = (*_outside(search, cycle, simulator), *_inside(search, simulator))
    return Sized(search, cycle, members, simulator, size, warnings)


def _members(asked: str | list[int], cycle: Cycle) -> tuple[int, ...]:
    if isinstance(asked, str):
        return cycle.members
    unknown = sorted(set(asked) - set(cycle.members))
    if unknown:
        raise BadRequestError(
            f"members has {', '.join(map(str, unknown))}, which cycle {cycle.name} has not; it has "
            f"{cycle.members[0]}..{cycle.members[-1]}",
            {"members": list(cycle.members)},
        )
    return tuple(sorted(asked))


def _first(orchestrator: Orchestrator, cycle: Cycle, members: Iterable[int]) -> MemberSimulator:
    problem = "it has no members"
    for member in members:
        try:
            return orchestrator.simulator(cycle, member)
        except (WindFileError, NotFoundError) as error:
            problem = error.message
    raise UnavailableError(f"no member of cycle {cycle.name} can be flown: {problem}")


def _outside(search: Plan, cycle: Cycle, simulator: MemberSimulator) -> tuple[str, ...]:
    """What is lost because the winds of the cycle end. Raises OutsideCycleError where that is everything."""
    start, end = simulator.field.start, simulator.field.end
    covers = f"cycle {cycle.name}, which covers {utc(start)} to {utc(end)}"
    mission, times = search.mission, search.mission.window.times
    if isinstance(mission, TargetWindow) and not start <= mission.arrival <= end:
        raise OutsideCycleError(f"arrival.time is {utc(mission.arrival)}, outside {covers}")
    outside = int(((times < start) | (times > end)).sum())
    if outside == len(times):
        raise OutsideCycleError(f"the launch times {utc(times[0])} to {utc(times[-1])} are outside {covers}")
    return (f"{outside} of {len(times)} launch times are outside {covers}",) if outside else ()


def _inside(search: Plan, simulator: MemberSimulator) -> tuple[str, ...]:
    """Whether launches are told as passes because they start in the zone."""
    if not isinstance(search.mission, LaunchWindow) or search.lands or not starts_inside(search, simulator.ground):
        return ()
    return (
        "launches from within the zone pass through it at their start and rank first: set target.lowest above the "
        "ground, or search another area",
    )


def seconds(moment: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(moment).timestamp()


def utc(unix_seconds: float) -> str:
    """RFC 3339, in UTC, to the second."""
    return f"{datetime.fromtimestamp(round(unix_seconds), UTC).isoformat()[:19]}Z"
