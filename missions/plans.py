"""What a job computes from, its cycle fixed, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gefs import Cycle
from habsim.errors import CycleChangedError, NotFoundError
from simulate import Orchestrator


@dataclass(frozen=True)
class Result:
    """What a job came to: JSON, and what it was made from."""

    content: bytes
    provenance: dict[str, Any]


def with_cycle(config: dict[str, Any], orchestrator: Orchestrator) -> dict[str, Any]:
    """The config with the cycle that it names, or the current one, and with its version."""
    name = config.get("cycle")
    cycle = orchestrator.cycles.current() if name is None else orchestrator.cycles.named(name)
    return {**config, "cycle": cycle.name, "cycle_version": cycle.version}


def cycle_of(plan: dict[str, Any], orchestrator: Orchestrator) -> Cycle:
    """The cycle of a plan. Raises CycleChangedError when it is another one by now."""
    try:
        cycle = orchestrator.cycles.named(plan["cycle"])
        if cycle.version != plan["cycle_version"]:
            cycle = orchestrator.cycles.named(plan["cycle"], anew=True)
    except NotFoundError as error:
        raise CycleChangedError(f"cycle {plan['cycle']} went while the job ran: {error.message}") from error
    if cycle.version != plan["cycle_version"]:
        raise CycleChangedError(f"cycle {cycle.name} was published anew while the job ran")
    return cycle
