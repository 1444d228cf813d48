"""What can be computed as a job. A type is a small class; `JOB_TYPES` holds one of each.

A job is cut into chunks, which run anywhere, whose results are kept as they finish, and which are then combined. What
the answer depends on besides the config (the cycle) is fixed in the plan before the first chunk, so that a job that
was interrupted goes on with the same chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Protocol

import orjson

from flightjson import ensemble_json, flight_json
from habsim.classes import DEFAULT_STEP_SECONDS, Location
from habsim.errors import BadRequestError
from missions.configs import balloon_of
from missions.models import ENSEMBLE, FORWARD
from missions.plans import Result, cycle_of, with_cycle
from missions.reversejob import Reverse
from simulate import EnsembleRequest, FlightRequest, Orchestrator

__all__ = ["JOB_TYPES", "JobType", "Result", "cycle_of", "job_type", "with_cycle"]


class JobType(Protocol):
    """A type of job. Instances hold nothing, and can be pickled, as can the specs: they go to other machines.

    `plan`, `run_chunk` and `combine` raise errors of habsim.errors. What is better another time (UnavailableError,
    BucketError, BusyError, a full disk) is tried for days, what may be (WindFileError, other OSError) some times; other
    failures are final.
    """

    name: str
    lane: str

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        """The config at its submission, with what it leaves to the service filled in. Raises BadRequestError."""
        ...

    def plan(self, config: dict[str, Any], orchestrator: Orchestrator) -> dict[str, Any]:
        """The config with all that the answer depends on, as JSON."""
        ...

    def chunks(self, plan: dict[str, Any]) -> Sequence[Any]:
        """What to compute, in parts of some seconds each: for the same plan always the same."""
        ...

    def run_chunk(self, spec: Any, orchestrator: Orchestrator) -> bytes:
        """Compute one part. Runs in a thread of a worker, or on a Dask cluster with the winds of that machine."""
        ...

    def combine(self, plan: dict[str, Any], results: Iterable[bytes]) -> Result:
        """The results of all chunks, in their order, as one."""
        ...


class _OneChunk:
    """The plan is the only chunk, and its result is that of the job, behind what it was made from."""

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        return config

    def plan(self, config: dict[str, Any], orchestrator: Orchestrator) -> dict[str, Any]:
        return with_cycle(config, orchestrator)

    def chunks(self, plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
        return [plan]

    def combine(self, _plan: dict[str, Any], results: Iterable[bytes]) -> Result:
        (content,) = results
        return Result(content, orjson.loads(content)["provenance"])


class Forward(_OneChunk):
    """One launch with one member."""

    name = FORWARD
    lane = "forward"

    def run_chunk(self, spec: dict[str, Any], orchestrator: Orchestrator) -> bytes:
        prediction = orchestrator.predict(_flight(spec), spec["model"], cycle_of(spec, orchestrator))
        return flight_json(prediction, spec["lon"])


class Ensemble(_OneChunk):
    """One launch with all members, and Monte Carlo around each."""

    name = ENSEMBLE
    lane = "forward"

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        if config.get("seed") is not None:
            return config
        digest = sha256(orjson.dumps(config, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return {**config, "seed": int(digest[:16], 16) >> 11}  # 53 bits, which JavaScript reads too

    def run_chunk(self, spec: dict[str, Any], orchestrator: Orchestrator) -> bytes:
        asked = EnsembleRequest(_flight(spec), spec["num_perturbations"], spec["seed"], spec.get("perturb") or {})
        ensemble = orchestrator.ensemble(asked, cycle_of(spec, orchestrator))
        return ensemble_json(ensemble, spec.get("request_id") or f"{spec['seed']:016x}", spec["lon"])


def _flight(config: dict[str, Any]) -> FlightRequest:
    balloon, spec = balloon_of(config, config["alt"])
    return FlightRequest(
        time=config["timestamp"],
        place=Location(config["lat"], config["lon"], config["alt"]),
        balloon=balloon,
        profile=config.get("profile", "zpb"),
        step=config.get("step") or DEFAULT_STEP_SECONDS,
        spec=spec,
        model_air=config.get("atmosphere") == "model",
        under_chute=config.get("chute_diameter") is not None,
    )


JOB_TYPES: dict[str, JobType] = {kind.name: kind for kind in (Forward(), Ensemble(), Reverse())}


def job_type(name: str) -> JobType:
    """Raises BadRequestError for one that this version cannot compute."""
    if name not in JOB_TYPES:
        raise BadRequestError(f"simulations of type {name} cannot be computed here; take {', '.join(JOB_TYPES)}")
    return JOB_TYPES[name]
