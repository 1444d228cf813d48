"""The pages: the map at `/`, missions at `/missions`, built from `www/` into a folder of static files.

Where they are not built, both are a plain page that says how to get them.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, render_template, request, send_from_directory

from api.formats import rfc3339
from api.services import services, some_simulator
from habsim.errors import HabsimError

pages = Blueprint("page", __name__)

_FOLDER = "HABSIM_PAGE_FOLDER"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
_FOR_EVER_SECONDS = 365 * 86400


@pages.get("/")
def home() -> Response | str:
    """The map; where it is not built, what the service flies on and how to get the map."""
    return _page("index.html")


@pages.get("/missions")
def missions() -> Response | str:
    """Accounts, simulations, searches, history; where it is not built, the same as the map."""
    return _page("missions.html")


def _page(name: str) -> Response | str:
    if (_folder() / name).exists():
        response = _file(name)
        response.headers["Cache-Control"] = "no-cache"
        return response
    orchestrator = services().orchestrator
    try:
        cycle = orchestrator.cycles.current()
        simulator = some_simulator(orchestrator, cycle)
    except HabsimError as error:
        return render_template("home.html", cycle=None, problem=error.message)
    covers = (rfc3339(simulator.field.start), rfc3339(simulator.field.end))
    # An hour into what the winds cover: a launch that the links on the page can fly.
    example = int(simulator.field.start) + 3600
    return render_template("home.html", cycle=cycle, covers=covers, notes=simulator.notes, example=example)


@pages.get("/page/<path:name>")
def page_file(name: str) -> Response:
    """A script, style or map of the page; under `assets/` its name has a hash of its content."""
    response = _file(name)
    kept = f"private, max-age={_FOR_EVER_SECONDS}, immutable" if name.startswith("assets/") else "no-cache"
    response.headers["Cache-Control"] = kept
    return response


def _file(name: str) -> Response:
    """A file of the page, as it was compressed by the build where the client can read that."""
    folder = _folder()
    for encoding, suffix in _ENCODINGS.items():
        if request.accept_encodings.quality(encoding) > 0 and (folder / (name + suffix)).is_file():
            response = send_from_directory(folder, name + suffix)  # its name says the type and the encoding
            del response.headers["Content-Disposition"]  # it would name the compressed file
            break
    else:
        response = send_from_directory(folder, name)
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _folder() -> Path:
    return Path(current_app.config[_FOLDER])


def install(app: Flask, folder: Path) -> None:
    """Serve the page from `folder`, which a build may fill at any time."""
    app.config[_FOLDER] = folder
    app.register_blueprint(pages)
