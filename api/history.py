"""History under `/api/v1/history`: what was simulated, its sums, and all of it as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

import orjson
from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import Field

from api import errors, mission_answers, signing
from api.accounts import PageQuery, paged
from api.json import described, json_response
from api.params import Query
from api.services import services
from api.simulations import Kind, Status, simulation_content
from api.tawhiri import Moment
from missions.simulations import Filter, Totals

TAG = Tag(name="History", description="What was simulated")
api = APIBlueprint("history", __name__, url_prefix="/api/v1/history", abp_tags=[TAG], abp_responses=errors.RESPONSES)

_PAGE = described("A page", json=mission_answers.Simulations)
_COLUMNS = (
    "id", "type", "name", "description", "username", "shared", "status", "error", "created", "started", "completed",
    "computation_seconds", "result_bytes", "cycle", "config",
)  # fmt: skip
# What a spreadsheet would take for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

api.before_request(signing.require_account)


class _Chosen(Query):
    status: Status | None = Field(None, description="only those of this status")
    type: Kind | None = Field(None, description="only those of this type")
    since: Moment | None = Field(None, description="only those made then or later, RFC 3339")
    until: Moment | None = Field(None, description="only those made earlier, RFC 3339")

    def filter(self) -> Filter:
        return Filter(status=self.status, type=self.type, since=_seconds(self.since), until=_seconds(self.until))


class HistoryQuery(_Chosen, PageQuery):
    pass


class ExportQuery(_Chosen):
    format: Literal["csv", "json"] = Field("csv", description="of the file")
    of: Literal["user", "organization"] = Field("user", description="the own, or what the organisation shares")


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


@api.get("/user", summary="The own simulations", responses=_PAGE)
def user(query: HistoryQuery) -> Response:
    found, total = services().missions.simulations.own(signing.viewer(), query.filter(), query.part())
    return json_response({"simulations": [simulation_content(row) for row in found], **paged(query, total)})


@api.get("/organization", summary="What the organisation shares", responses=_PAGE)
def organization(query: HistoryQuery) -> Response:
    found, total = services().missions.simulations.of_organization(signing.viewer(), query.filter(), query.part())
    return json_response({"simulations": [simulation_content(row) for row in found], **paged(query, total)})


@api.get("/stats", summary="Sums", responses=described("Sums", json=mission_answers.HistoryStats))
def stats() -> Response:
    """How many simulations, the room that their results take, and the time that they took."""
    viewer, simulations = signing.viewer(), services().missions.simulations
    shared = None if viewer.organization_id is None else simulations.totals(viewer, organization=True)
    return json_response(
        {
            "own": _totals_content(simulations.totals(viewer, organization=False)),
            "organization": None if shared is None else _totals_content(shared),
        }
    )


@api.get(
    "/export",
    summary="The history as a file",
    responses=described("One line for each simulation", "text/csv", "application/json"),
)
def export(query: ExportQuery) -> Response:
    viewer = signing.viewer()
    found = services().missions.simulations.exported(viewer, query.filter(), organization=query.of == "organization")
    rows = (simulation_content(row) for row in found)
    if query.format == "json":
        response = Response(_json_lines(rows), mimetype="application/json")
    else:
        response = Response(_csv_lines(rows), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="habsim-history.{query.format}"'
    return response


def _json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    separator = b"["
    for row in rows:
        yield separator + orjson.dumps(row)
        separator = b",\n"
    yield b"[]\n" if separator == b"[" else b"]\n"


def _csv_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in rows:
        values = {
            **row,
            "username": row["user"]["username"],
            "cycle": (row["provenance"] or {}).get("cycle", ""),
            "config": orjson.dumps(row["config"]).decode(),
        }
        writer.writerow([_cell(values[name]) for name in _COLUMNS])
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _totals_content(totals: Totals) -> dict[str, Any]:
    by_type: dict[str, int] = {}
    by_status: dict[str, int] = {}
    for (kind, status), count in totals.by.items():
        by_type[kind] = by_type.get(kind, 0) + count
        by_status[status] = by_status.get(status, 0) + count
    return {
        "simulations": sum(totals.by.values()),
        "by_status": by_status,
        "by_type": by_type,
        "result_bytes": totals.result_bytes,
        "computation_seconds": round(totals.computation_seconds, 3),
    }
