"""Searches as jobs: type `reverse`. Each chunk of `habsim.reverse` is one of the job, and can be flown anywhere."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from habsim.errors import NotFoundError, WindFileError
from habsim.reverse import STEP_SECONDS, Chunk, ChunkResult, chunks, combine, estimate, fly_chunk
from missions.models import REVERSE
from missions.plans import Result, cycle_of
from missions.reverseresult import content
from missions.searches import ALL, Sized, refuse_too_large, search_of, sized
from simulate import Orchestrator, provenance_of


@dataclass(frozen=True)
class SearchChunk:
    """A chunk and the winds that it flies on, by name: whoever flies it opens the files."""

    chunk: Chunk
    cycle: str
    cycle_version: str


class Reverse:
    """From where, when and with what to launch to reach a zone."""

    name = REVERSE
    lane = "reverse"

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        refuse_too_large(config)
        return config

    def plan(self, config: dict[str, Any], orchestrator: Orchestrator) -> dict[str, Any]:
        """The config on a cycle, through the members that can be flown; what `sized` refuses is refused."""
        size = sized(config, orchestrator)
        failed = _unreadable(size, orchestrator) if config.get("members", ALL) == ALL else {}
        members = tuple(member for member in size.members if member not in failed)
        warnings = list(size.warnings)
        if failed:
            warnings.append(f"{len(failed)} of {len(size.members)} members cannot be flown and are left out")
        return {
            **config,
            "cycle": size.cycle.name,
            "cycle_version": size.cycle.version,
            "members": list(members),
            "failed_members": [{"model_id": member, "reason": reason} for member, reason in failed.items()],
            "warnings": warnings,
            "provenance": provenance_of(size.cycle, members, size.simulator, STEP_SECONDS).to_dict(),
        }

    def chunks(self, plan: dict[str, Any]) -> Sequence[SearchChunk]:
        search = search_of(plan)
        return [SearchChunk(part, plan["cycle"], plan["cycle_version"]) for part in chunks(search, plan["members"])]

    def run_chunk(self, spec: SearchChunk, orchestrator: Orchestrator) -> bytes:
        cycle = cycle_of({"cycle": spec.cycle, "cycle_version": spec.cycle_version}, orchestrator)
        simulators = {member: orchestrator.simulator(cycle, member) for member in spec.chunk.members}
        return packed(fly_chunk(simulators, spec.chunk))

    def combine(self, plan: dict[str, Any], results: Iterable[bytes]) -> Result:
        search, members = search_of(plan), plan["members"]
        found = combine(search, members, _unpacked(results))
        return Result(content(found, plan, estimate(search, len(members))), plan["provenance"])


def _unreadable(size: Sized, orchestrator: Orchestrator) -> dict[int, str]:
    """Members whose wind file cannot be opened, and why."""
    failed = {}
    for member in size.members:
        try:
            orchestrator.simulator(size.cycle, member)
        except (WindFileError, NotFoundError) as error:
            failed[member] = error.message
    return failed


def packed(result: ChunkResult) -> bytes:
    """What came of a chunk as a compressed .npz."""
    file = io.BytesIO()
    counts = np.array([result.index, result.flights])
    np.savez_compressed(file, cells=result.cells, lost=result.lost, counts=counts)
    return file.getvalue()


def unpacked(content: bytes) -> ChunkResult:
    """The inverse of `packed`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        index, flights = file["counts"].tolist()
        return ChunkResult(index, file["cells"], flights, file["lost"])


def _unpacked(results: Iterable[bytes]) -> Iterator[ChunkResult]:
    return (unpacked(result) for result in results)
