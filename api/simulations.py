"""Simulations under `/api/v1/simulations`: submitted, watched, cancelled, and their results."""

from __future__ import annotations

import gzip
import uuid
from typing import Any, Literal

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import Field

from api import answers, errors, mission_answers, signing
from api.accounts import IdPath, PageQuery, moment, paged
from api.bodies import SimulationBody
from api.formats import rfc3339
from api.json import described, json_response
from api.services import services
from api.submit_bodies import SubmitBody
from missions.models import REVERSE, Simulation
from missions.searches import sized
from missions.simulations import Filter, NewSimulation

TAG = Tag(name="Simulations", description="What runs in the background and is kept")
api = APIBlueprint(
    "simulations", __name__, url_prefix="/api/v1/simulations", abp_tags=[TAG], abp_responses=errors.RESPONSES
)
api.components_schemas.update(answers.components())

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Kind = Literal["forward", "ensemble", "reverse"]
_ONE = described("The simulation", json=mission_answers.Simulation)

api.before_request(signing.require_account)


class SimulationsQuery(PageQuery):
    status: Status | None = Field(None, description="only those of this status")
    type: Kind | None = Field(None, description="only those of this type")
    user_id: uuid.UUID | None = Field(None, description="only those of this user")


@api.post(
    "/submit",
    summary="Submit a simulation",
    responses=described("It waits for a worker", json=mission_answers.Simulation, status=202),
)
def submit(body: SubmitBody) -> Response:
    """`config` is a launch: for `forward` as for `/sim/singlezpb`, for `ensemble` as for `/sim/spaceshot`.

    For `reverse` it is a search, as for `/api/v1/reverse/plan`.
    """
    config = body.checked_config()
    if body.type == REVERSE:
        sized(config, services().orchestrator)
    new = NewSimulation(body.type, config, body.name, body.description, body.shared)
    return json_response(simulation_content(services().missions.simulations.submit(signing.viewer(), new)), 202)


@api.get("/", summary="Simulations", responses=described("A page", json=mission_answers.Simulations))
def listed(query: SimulationsQuery) -> Response:
    """The own and those shared with the organisation, the newest first; an administrator sees all."""
    which = Filter(status=query.status, type=query.type, user_id=query.user_id)
    found, total = services().missions.simulations.listed(signing.viewer(), which, query.part())
    return json_response({"simulations": [simulation_content(row) for row in found], **paged(query, total)})


@api.get("/queue/stats", summary="The queue", responses=described("The queue", json=mission_answers.QueueStats))
def queue_stats() -> Response:
    lanes, workers = services().missions.queue.counts()
    return json_response({"lanes": lanes, "workers": workers})


@api.get("/<uuid:id>", summary="One simulation", responses=_ONE)
def one(path: IdPath) -> Response:
    return json_response(simulation_content(services().missions.simulations.get(signing.viewer(), path.id)))


@api.put("/<uuid:id>", summary="Name, describe or share a simulation", responses=_ONE)
def change(path: IdPath, body: SimulationBody) -> Response:
    changed = services().missions.simulations.change(signing.viewer(), path.id, body.given())
    return json_response(simulation_content(changed))


@api.delete(
    "/<uuid:id>",
    summary="Remove a simulation and its result",
    responses=described("Done", json=mission_answers.Deleted),
)
def delete(path: IdPath) -> Response:
    services().missions.simulations.delete(signing.viewer(), path.id)
    return json_response({"deleted": str(path.id)})


@api.post("/<uuid:id>/cancel", summary="Cancel a simulation", responses=_ONE)
def cancel(path: IdPath) -> Response:
    """One that is pending or processing; nothing of it is kept."""
    return json_response(simulation_content(services().missions.simulations.cancel(signing.viewer(), path.id)))


@api.get(
    "/<uuid:id>/results",
    summary="The result of a simulation",
    responses=described("By its type; here that of `forward`", json=mission_answers.ForwardResult),
)
def results(path: IdPath) -> Response:
    """Of `forward` a flight, of `ensemble` what `/sim/spaceshot` answers; 409 while there is none.

    Of `reverse` all that `/api/v1/reverse/plan/{id}/results` answers parts of, with the candidates as columns and the
    maps packed.
    """
    packed = services().missions.simulations.result(signing.viewer(), path.id)
    if request.accept_encodings.quality("gzip") > 0:
        response = Response(packed, mimetype="application/json")
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(gzip.decompress(packed), mimetype="application/json")
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def simulation_content(row: Simulation) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "type": row.type,
        "name": row.name,
        "description": row.description,
        "user": {"id": str(row.user.id), "username": row.user.username},
        "shared": row.organization_id is not None,
        "config": row.config,
        "status": row.status,
        "progress": round(row.progress, 1),
        "error": row.error,
        "attempts": row.attempts,
        "created": rfc3339(row.created),
        "started": moment(row.started),
        "completed": moment(row.completed),
        "computation_seconds": round(row.computation_seconds, 3),
        "result_bytes": row.result_bytes,
        "provenance": row.provenance,
    }
