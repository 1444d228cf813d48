"""Reverse planning under `/api/v1/reverse`: from where, when and with what to launch to reach a zone."""

from __future__ import annotations

import gzip
from dataclasses import asdict
from typing import Any

import numpy as np
from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import Field

from api import errors, mission_answers, signing
from api.accounts import IdPath
from api.json import described, json_response
from api.params import Integer, Query
from api.reverse_bodies import Moment, ReversePlanBody
from api.services import services
from habsim.errors import BadRequestError, NotFoundError
from missions.models import REVERSE
from missions.reverseresult import Result
from missions.searches import Sized, sized, utc
from missions.searches import seconds as unix_seconds
from missions.simulations import NewSimulation

TAG = Tag(name="Reverse planning", description="Launches that reach a zone")
api = APIBlueprint("reverse", __name__, url_prefix="/api/v1/reverse", abp_tags=[TAG], abp_responses=errors.RESPONSES)

api.before_request(signing.require_account)


class ResultsQuery(Query):
    limit: Integer = Field(100, ge=1, le=1000, description="candidates at most")
    offset: Integer = Field(0, ge=0, le=1_000_000, description="candidates to skip")
    time: Moment | None = Field(None, description="a launch time, RFC 3339: candidates and map are of it alone")


@api.post(
    "/plan",
    summary="Search for launches that reach a zone",
    responses=described("It waits for a worker", json=mission_answers.SearchSubmitted, status=202),
)
def plan(body: ReversePlanBody) -> Response:
    """Every place of a grid, at every launch time, with every balloon, through every member.

    A job: watch it under `/api/v1/simulations/{id}`, cancel it there. One that is too large, or outside the cycle, is
    refused with the numbers.
    """
    config = body.config()
    size = sized(config, services().orchestrator)
    new = NewSimulation(REVERSE, config, body.name, body.description, body.shared)
    simulation = services().missions.simulations.submit(signing.viewer(), new)
    return json_response({"id": str(simulation.id), "status": simulation.status, "estimate": _estimate(size)}, 202)


@api.post(
    "/estimate",
    summary="How large a search is",
    responses=described("Its size", json=mission_answers.SearchEstimate),
)
def estimate(body: ReversePlanBody) -> Response:
    """Takes what `plan` takes, refuses what it refuses, and stores nothing."""
    return json_response(_estimate(sized(body.config(), services().orchestrator)))


@api.get(
    "/plan/<uuid:id>/results",
    summary="What a search has found",
    responses=described("The best launches", json=mission_answers.SearchResults),
)
def results(path: IdPath, query: ResultsQuery) -> Response:
    """Candidates by score, then by distance; of the whole search, or of one launch `time`. 409 while there are none."""
    viewer, simulations = signing.viewer(), services().missions.simulations
    simulation = simulations.get(viewer, path.id)
    if simulation.type != REVERSE:
        raise NotFoundError(f"simulation {path.id} is of type {simulation.type}; there is no search of that id")
    found = Result(gzip.decompress(simulations.result(viewer, path.id)))
    if query.time is not None and not found.has_time(query.time):
        raise BadRequestError(
            f"time is {query.time}, which is none of the launch times of the search that could be judged",
            {"times": [each["time"] for each in found.summary()["launch_times"]]},
        )
    rows, reaching = found.rows(query.time), found.reaching(query.time)
    page = rows[query.offset : query.offset + query.limit]
    candidates = [found.candidate(row, rank) for rank, row in enumerate(page, query.offset + 1)]
    places = np.array([(one["lat"], one["lon"]) for one in candidates]).reshape(-1, 2)
    for one, height in zip(candidates, services().orchestrator.ground.nearest(*places.T), strict=True):
        one["over_water"] = bool(height == 0.0)
    return json_response(
        {
            "id": str(path.id),
            "status": simulation.status,
            **found.summary(),
            "time": None if query.time is None else utc(unix_seconds(query.time)),
            "limit": query.limit,
            "offset": query.offset,
            "total": len(rows),
            "reaching": reaching,
            "cut": reaching > len(rows),
            "candidates": candidates,
            "map": found.map_layer(query.time),
        }
    )


def _estimate(size: Sized) -> dict[str, Any]:
    numbers = {**asdict(size.estimate), "seconds": round(size.estimate.seconds, 2)}
    return {**numbers, "cycle": size.cycle.name, "warnings": list(size.warnings)}
