"""Builds the web application."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore

from flask import Flask, Response, g
from flask_compress import Compress
from flask_cors import CORS
from flask_openapi3 import Info, OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

import cutfiles
import habsim
from api import accounts, balloons, errors, history, page, params, reverse, service, session, sim, simulations, tawhiri
from api.json import StrictJSON
from api.metrics import Metrics
from api.services import EXTENSION, Services
from gefs import Remote
from habsim.balloons import warm_up as warm_up_climbs
from habsim.classes import Simulator
from housekeeping import Housekeeper
from missions.opening import open_missions
from opening import look_for_cycle, open_orchestrator
from settings import Settings
from store.opening import open_bucket

_WWW = Path(__file__).parent / "www"
_MAX_BODY_BYTES = 1 << 20
# The hosts are those of the map's optional online tiles.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: https://tile.openstreetmap.org "
        "https://server.arcgisonline.com https://*.tile.opentopomap.org; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(self), camera=(), microphone=()",
}


def create_app(settings: Settings | None = None, page_folder: Path = _WWW / "dist") -> Flask:
    """The application, with its own services; `settings` by default from the environment.

    `page_folder` holds the map page as its build leaves it; without it `/` says how to get it.
    """
    settings = settings or Settings()
    app = OpenAPI(
        __name__,
        info=Info(title="HABSIM", version=habsim.__version__, description="Predicts where a balloon flies and lands."),
        security_schemes={
            "token": {"type": "http", "scheme": "bearer", "description": "from POST /api/v1/auth/login, or POST /login"}
        },
        openapi_extensions={"security": [{}, {"token": []}]},
        doc_ui=False,
        validation_error_status=400,
        validation_error_model=errors.ErrorShape,
        validation_error_callback=errors.validation_error,
        static_folder=str(_WWW / "static"),
        template_folder=str(_WWW / "templates"),
    )
    app.json = StrictJSON(app)
    app.config.update(
        SECRET_KEY=session.secret_key(settings),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(days=7),
        # An answer that is under way at the logout would bring the session back.
        SESSION_REFRESH_EACH_REQUEST=False,
        MAX_CONTENT_LENGTH=_MAX_BODY_BYTES,
        COMPRESS_MIMETYPES=["application/json", "application/geo+json", "text/html", "text/css", "text/csv",
                            "text/javascript", "image/svg+xml", "application/gpx+xml",
                            "application/vnd.google-earth.kml+xml"],
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_LEVEL=3,
        COMPRESS_BR_LEVEL=2,
    )  # fmt: skip
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    services = build_services(settings)
    app.extensions[EXTENSION] = services
    services.metrics.watch(app)
    app.before_request(_name_request)
    app.before_request(params.refuse_repeated_and_long_values)
    errors.install(app)
    session.install(app, settings)
    app.register_api(sim.api)
    app.register_api(tawhiri.api)
    for platform in (accounts, balloons, simulations, reverse, history):
        app.register_api(platform.api)
    service.install(app)
    page.install(app, page_folder)
    app.after_request(_add_headers)
    CORS(
        app,
        origins=[origin.strip() for origin in settings.cors_origins.split(",")],
        expose_headers=["X-HABSIM-Cycle", "X-HABSIM-Provenance", "X-Request-Id", "Retry-After"],
    )
    Compress(app)
    return app


def build_services(settings: Settings) -> Services:
    """Everything the routes work with; also the kernels, compiled now so that a fork has them."""
    metrics = Metrics()
    remote = Remote(
        cache_files=settings.cache_files,
        cache_bytes=settings.cache_gb * 1e9,
        refused=lambda reason: metrics.refused_cycles.labels(reason).inc(),
        moved=metrics.moved,
    )
    orchestrator, path = open_orchestrator(settings, open_bucket(settings), remote)
    cycles = orchestrator.cycles
    status = path.stat()
    orchestrator.runs.drop_results()
    Simulator.warm_up(orchestrator.ground)
    warm_up_climbs()
    cutfiles.install()
    look_for_cycle(cycles)
    return Services(
        orchestrator=orchestrator,
        settings=settings,
        metrics=metrics,
        ground_name="embedded" if path == settings.data_dir / "elevation.npz" else path.name,
        ground_version=f"{status.st_size}-{status.st_mtime_ns}",
        housekeeper=Housekeeper(
            cycles,
            settings.data_dir / "locks" / "housekeeping.lock",
            settings.prefetch,
            settings.prefetch_mb_per_second * 1e6,
        ),
        # Together fewer than the threads of a worker: one at least stays free for short requests.
        streams=BoundedSemaphore(settings.web_threads // 2 - 1),
        ensembles=BoundedSemaphore(settings.web_threads // 2),
        missions=open_missions(settings, session.secret_key(settings)),
    )


def _name_request() -> None:
    # Not a secret: the system's random numbers would cost a switch of threads. Python reseeds in a forked worker.
    g.request_id = f"{random.getrandbits(64):016x}"


def _add_headers(response: Response) -> Response:
    response.headers.extend(_HEADERS)
    if "request_id" in g:
        response.headers["X-Request-Id"] = g.request_id
    return response


def __getattr__(name: str) -> Flask:
    """`app:app` for gunicorn, built when it is first asked for: importing this module does nothing."""
    if name == "app":
        return create_app()
    raise AttributeError(name)
