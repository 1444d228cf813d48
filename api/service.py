"""The description of the API and the probes: `/docs`, `/openapi.json`, `/health`, `/ready`, `/metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import flask_openapi3_swagger
from flask import Blueprint, Flask, Response, current_app, render_template, send_from_directory
from flask_openapi3 import APIBlueprint, OpenAPI, Tag

from api import answers, errors
from api.json import described, json_response
from api.services import services, some_simulator
from habsim.errors import UnavailableError

TAG = Tag(name="Service", description="Probes and metrics")
api = APIBlueprint("service", __name__, abp_tags=[TAG], abp_responses=errors.RESPONSES)
pages = Blueprint("pages", __name__)

_SWAGGER = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"


@api.get("/health", summary="The process is alive", responses=described("It is alive", json=answers.Health))
def health() -> Response:
    return json_response({"status": "ok"})


@api.get("/ready", summary="A cycle can be flown", responses=described("It can", json=answers.Ready))
def ready() -> Response:
    """200 when a member of the current cycle can be opened, else 503 with what to do."""
    orchestrator = services().orchestrator
    cycle = orchestrator.cycles.current()
    some_simulator(orchestrator, cycle)
    return json_response({"status": "ready", "cycle": cycle.name})


@api.get("/metrics", summary="Metrics for Prometheus", responses=described("Text exposition format", "text/plain"))
def metrics() -> Response:
    service = services()
    try:
        service.metrics.cycle_start.set(service.orchestrator.cycles.current().start)
    except UnavailableError:
        service.metrics.cycle_start.set(0)
    files, size = service.disk_cache()
    service.metrics.cache_files.set(files)
    service.metrics.cache_bytes.set(size)
    body, content_type = service.metrics.render()
    return Response(body, content_type=content_type)


@pages.get("/docs")
def docs() -> str:
    """The browsable description of the API."""
    return render_template("docs.html")


@pages.get("/docs/<path:name>")
def docs_file(name: str) -> Response:
    return send_from_directory(_SWAGGER, name, max_age=86400)


@pages.get("/openapi.json")
def openapi() -> Response:
    return json_response(cast(OpenAPI, current_app).api_doc)


def install(app: Flask) -> None:
    cast(OpenAPI, app).register_api(api)
    app.register_blueprint(pages)
