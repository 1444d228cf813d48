"""The HABSIM routes under `/sim`."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag

from api import answers, errors, formats
from api.json import described, json_response
from api.params import (
    EnsembleQuery,
    MemberWindQuery,
    PlaceQuery,
    ProgressQuery,
    SingleQuery,
    WindProfileQuery,
    WindQuery,
)
from api.services import expected_members, is_stale, services, some_simulator, take
from api.streams import progress_stream
from flightjson import ensemble_json, in_convention
from gefs import Cycle
from habsim.classes import Location
from habsim.errors import HabsimError, NotFoundError
from runs import result_key
from simulate import MAX_OPEN_MEMBERS, Orchestrator, Provenance, provenance_of
from store.manifest import DEMO

TAG = Tag(name="HABSIM", description="Flights, winds and the state of the service")
api = APIBlueprint("sim", __name__, url_prefix="/sim", abp_tags=[TAG], abp_responses=errors.RESPONSES)
api.components_schemas.update(answers.components())


@api.get(
    "/singlezpb",
    summary="One flight with one member",
    responses=described(
        "The flight",
        *(form.media_type for form in formats.FORMATS.values()),
        json=answers.Flight,
        geojson=answers.FlightGeoJSON,
    ),
)
def singlezpb(query: SingleQuery) -> Response:
    """`[[ascent], [coast], [descent]]` of points `[timestamp, lat, lon, alt, u_wind, v_wind, 0, 0]`.

    GeoJSON, KML, CSV and GPX by `format` or the Accept header. The headers `X-HABSIM-Cycle` and
    `X-HABSIM-Provenance` say what the flight was made from.
    """
    chosen = formats.negotiate(query.format, request.accept_mimetypes)
    service = services()
    orchestrator = service.orchestrator
    flight = query.flight()
    prediction = orchestrator.on_cycle(query.cycle, lambda cycle: orchestrator.predict(flight, query.model, cycle))
    service.metrics.flights.inc()
    trajectory = in_convention(prediction.trajectory, query.lon)
    provenance = prediction.provenance
    title = f"{query.profile} flight from {query.lat:g}, {query.lon:g}"
    origin = formats.Provenance(title, provenance.cycle, query.model, provenance.product, provenance.demo)
    fmt = formats.FORMATS[chosen]
    response = Response(fmt.write(trajectory, origin), mimetype=fmt.media_type)
    if chosen != "json":
        name = f"habsim-{provenance.cycle}-{query.model:02d}.{fmt.extension}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Vary"] = "Accept"
    return with_provenance(response, provenance, trajectory.warnings)


@api.get(
    "/spaceshot",
    summary="All members, with Monte Carlo",
    responses=described("Paths, landings, statistics", json=answers.Spaceshot),
)
def spaceshot(query: EnsembleQuery) -> Response:
    """Paths of all members, landings with perturbations, their statistics and contours.

    The same request gives the same answer. Progress under `/sim/progress-stream?request_id=`. A parameter
    `perturb.<name>` (lat, lon, alt, equil, eqtime, asc, desc, coeff) replaces how that one varies: uniformly within
    this half-width, of the value for eqtime and coeff. With `profile=physical` fill, mass and burst vary in the place
    of equil and asc: gas, dead weight and burst diameter, uniformly within this share of their value.
    """
    service = services()
    orchestrator = service.orchestrator
    ask, request_id = query.ensemble(), query.id()

    def compute(cycle: Cycle) -> tuple[bytes, str]:
        # The convention of longitudes follows the number as given, which `ask` holds too.
        key = result_key(cycle.name, cycle.version, ask, request_id, service.ground_version)
        body = orchestrator.runs.once(
            request_id,
            key,
            len(cycle.members),
            ask.perturbations,
            lambda progress: ensemble_json(orchestrator.ensemble(ask, cycle, progress), request_id, query.lon),
        )
        return body, cycle.name

    take(service.ensembles, "ensembles")
    try:
        body, cycle = orchestrator.on_cycle(query.cycle, compute)
    finally:
        service.ensembles.release()
    service.metrics.ensembles.inc()
    response = Response(body, mimetype="application/json")
    response.headers["X-HABSIM-Cycle"] = cycle
    return response


@api.get("/progress", summary="Progress of an ensemble", responses=described("How much is done", json=answers.Progress))
def progress(query: ProgressQuery) -> Response:
    state = services().orchestrator.runs.progress(query.request_id)
    if state is None:
        raise NotFoundError(f"no ensemble with request_id {query.request_id} is running or ended within 30 s")
    return json_response(state)


@api.get(
    "/progress-stream",
    summary="Progress of an ensemble as Server-Sent Events",
    responses=described("An event per change, each as `/sim/progress` answers", "text/event-stream"),
)
def stream(query: ProgressQuery) -> Response:
    return progress_stream(services(), query.request_id)


@api.get("/elev", summary="Ground elevation", responses=described("The elevation", json=answers.Elevation))
def elev(query: PlaceQuery) -> Response:
    elevation = float(services().orchestrator.ground.at(query.lat, query.lon % 360.0))
    return json_response({"elevation": round(elevation, 1)})


@api.get("/wind", summary="Wind at a point, one member", responses=described("The wind", json=answers.Wind))
def wind(query: MemberWindQuery) -> Response:
    orchestrator = services().orchestrator
    place = Location(query.lat, query.lon, query.alt)

    def read(cycle: Cycle) -> Response:
        simulator = orchestrator.simulator(cycle, query.model)
        content = _wind_of(*simulator.wind(query.timestamp, place))
        return with_provenance(json_response(content), provenance_of(cycle, (query.model,), simulator))

    return orchestrator.on_cycle(query.cycle, read)


@api.get(
    "/windensemble",
    summary="Wind at a point, all members",
    responses=described("Each member, mean and spread", json=answers.WindEnsemble),
)
def windensemble(query: WindQuery) -> Response:
    orchestrator = services().orchestrator

    def read(cycle: Cycle) -> Response:
        winds, failed = orchestrator.winds_over(query.timestamp, query.lat, query.lon, [query.alt], cycle)
        table = np.array([found[0] for found in winds.values()])
        columns = _wind_of(*table.T)
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        content = {
            "cycle": cycle.name,
            "members": [
                {"model": member, **dict(zip(columns, row, strict=True))}
                for member, row in zip(winds, rows, strict=True)
            ],
            "failed_members": _failed_members(failed),
            "mean": _wind_of(*table.mean(axis=0)),
            "spread": _spread_of(table),
        }
        return _of_members(orchestrator, cycle, tuple(winds), content)

    return orchestrator.on_cycle(query.cycle, read)


@api.get(
    "/windprofile",
    summary="Wind over a point against altitude, all members",
    responses=described("Each member, mean and spread", json=answers.WindProfile),
)
def windprofile(query: WindProfileQuery) -> Response:
    """The winds that a balloon above the point would meet at this moment.

    At the ground and every 500 m above, up to the top level of the winds, at most 40 km; lists go with `altitudes`.
    """
    orchestrator = services().orchestrator

    def read(cycle: Cycle) -> Response:
        profile = orchestrator.wind_profile(query.timestamp, query.lat, query.lon, cycle)
        table = np.array(list(profile.winds.values()))
        content = {
            "cycle": cycle.name,
            "timestamp": query.timestamp,
            "ground": profile.ground,
            "altitudes": profile.altitudes,
            "members": [{"model": member, **_wind_of(*found.T)} for member, found in profile.winds.items()],
            "mean": _wind_of(*table.mean(axis=0).T),
            "spread": _spread_of(table),
            "failed_members": _failed_members(profile.failed),
        }
        return _of_members(orchestrator, cycle, tuple(profile.winds), content)

    return orchestrator.on_cycle(query.cycle, read)


def _of_members(orchestrator: Orchestrator, cycle: Cycle, members: tuple[int, ...], content: Any) -> Response:
    simulator = orchestrator.simulator(cycle, members[0])
    return with_provenance(json_response(content), provenance_of(cycle, members, simulator))


def _failed_members(failed: dict[int, HabsimError]) -> list[dict[str, Any]]:
    return [{"model_id": member, "reason": error.message} for member, error in failed.items()]


@api.get("/models", summary="Members of the current cycle", responses=described("The members", json=answers.Models))
def models() -> Response:
    return json_response({"models": list(services().orchestrator.cycles.current().members)})


@api.get("/which", summary="The current cycle", responses=described("The cycle", json=answers.Which))
def which() -> Response:
    return json_response({"gefs": services().orchestrator.cycles.current().name})


@api.get("/status", summary="State of the service", responses=described("What runs on what", json=answers.Status))
def status() -> Response:
    service = services()
    orchestrator = service.orchestrator
    cycle = orchestrator.cycles.current()
    simulator = some_simulator(orchestrator, cycle)
    now = time.time()
    return json_response(
        {
            "status": "online",
            "memory_mb": round(service.private_memory_mb(), 1),
            "simulator_cache_size": len(orchestrator.open_members()),
            "prediction_cache_size": orchestrator.runs.kept_results(),
            "active_requests": orchestrator.runs.running_ensembles(),
            "time": formats.rfc3339(now),
            "gefs_cycle": cycle.name,
            "cycle_age_seconds": round(now - cycle.start),
            "stale": is_stale(cycle, simulator, now),
            "product": cycle.product,
            "demo": cycle.product == DEMO,
            "members": list(cycle.members),
            "expected_members": expected_members(cycle),
            "covers": {"from": formats.rfc3339(simulator.field.start), "to": formats.rfc3339(simulator.field.end)},
            "ground": service.ground_name,
            "store": "folder" if orchestrator.cycles.is_local else "s3",
            "warnings": list(simulator.notes),
        }
    )


@api.get("/cache-status", summary="What is kept", responses=described("Sizes of the caches", json=answers.CacheStatus))
def cache_status() -> Response:
    service = services()
    orchestrator = service.orchestrator
    entries = orchestrator.open_members()
    files, total = service.disk_cache()
    return json_response(
        {
            "simulator_cache": {"size": len(entries), "max_size": MAX_OPEN_MEMBERS, "entries": entries},
            "gefs_cache": {"files": files, "total_size_mb": round(total / 1e6, 1)},
            "prediction_cache": {
                "size": orchestrator.runs.kept_results(),
                "max_size": service.settings.cached_predictions,
            },
        }
    )


def refresh() -> Response:
    """Look for a new cycle now."""
    cycles = services().orchestrator.cycles
    cycle = cycles.refresh()
    return json_response({"gefs": cycle.name, "members": len(cycle.members), "product": cycle.product})


_LOOK = "Look for a new cycle now"
_FOUND = described("The current cycle", json=answers.Refreshed)
api.get("/refresh", summary=_LOOK, operation_id="refresh_get", responses=_FOUND)(refresh)
api.post("/refresh", summary=_LOOK, operation_id="refresh_post", responses=_FOUND)(refresh)


def _wind_of(u: Any, v: Any) -> dict[str, Any]:
    """Of numbers or arrays: speed in m/s and the direction the wind comes from, degrees clockwise from north."""
    direction = np.degrees(np.arctan2(-u, -v)) % 360.0
    return {
        "u": _rounded(u),
        "v": _rounded(v),
        "speed": _rounded(np.hypot(u, v)),
        "direction": np.round(direction, 1) % 360.0,
    }


def _spread_of(table: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Standard deviation over the members, the first axis of `table`; eastward and northward wind are its last."""
    u, v = table.std(axis=0).T
    return {"u": _rounded(u), "v": _rounded(v)}


def _rounded(speed: Any) -> Any:
    """To 1 mm/s; a sum with 0.0 is never -0.0."""
    return np.round(speed, 3) + 0.0


def with_provenance(response: Response, provenance: Provenance, warnings: tuple[str, ...] = ()) -> Response:
    """Say in headers what an answer was made from, where its body has no place for it."""
    details = {**provenance.to_dict(), "warnings": list(warnings)}
    text = orjson.dumps(details)
    # A header is ASCII; `json` escapes the rest, at ten times the cost.
    response.headers["X-HABSIM-Provenance"] = text.decode("ascii") if text.isascii() else json.dumps(details)
    response.headers["X-HABSIM-Cycle"] = provenance.cycle
    return response
