"""The login in front of everything when `HABSIM_PASSWORD` is set."""

from __future__ import annotations

import hmac
import logging
import secrets
from hashlib import sha256
from typing import Any

import orjson
from flask import (
    Blueprint,
    Flask,
    Request,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSession
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

import sharedfiles
from api import signing
from api.errors import error_response
from api.json import json_response
from api.services import services
from habsim.errors import BusyError
from missions import lockout
from missions.tokens import TOKEN_SECONDS
from settings import Settings

log = logging.getLogger(__name__)
pages = Blueprint("session", __name__)

# Everything else needs the login. Probes carry no credentials; the login page needs its style.
OPEN_ENDPOINTS = frozenset(
    {"session.login", "session.logout", "service.health", "service.ready", "static", "accounts.login"}
)


class CookieSessions(signing.SecureWhereHttps):
    """Flask's signed cookie sessions; a request without the cookie costs no cryptography."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


def secret_key(settings: Settings) -> str:
    """The key from the settings, or one made once and kept in the data folder, so that all workers share it."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path = settings.data_dir / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    with sharedfiles.exclusive(path.with_suffix(".lock"), wait_seconds=10):
        if not path.exists():
            with sharedfiles.replacing(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(secrets.token_urlsafe(32), encoding="ascii")
    return path.read_text(encoding="ascii")


def install(app: Flask, settings: Settings) -> None:
    """Add the login pages, and the check before every request when a password is set."""
    app.session_interface = CookieSessions()
    app.register_blueprint(pages)
    if settings.password is not None:
        app.before_request(_require_login)


def _require_login() -> BaseResponse | None:
    if request.endpoint in OPEN_ENDPOINTS or _is_mark(session.get("signed_in")) or _has_valid_token():
        return None
    if signing.has_account():
        return None
    if request.method == "OPTIONS":
        return None  # a browser asks whether it may send the token before it sends it
    if request.method == "GET" and _is_page_request():
        return redirect(url_for("session.login", next=request.full_path.rstrip("?")))
    response = error_response(401, "sign in at /login, or send Authorization: Bearer <token>")
    response.headers["WWW-Authenticate"] = 'Bearer realm="HABSIM"'
    return response


def _is_page_request() -> bool:
    # Not the best of the header: browsers name types there that are more specific than a page.
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _mark() -> str:
    """What a session or a token carries: it changes with the password, so a new one signs everybody out."""
    password = services().settings.password
    assert password is not None
    key = str(current_app.secret_key).encode()
    return hmac.new(key, _bytes(password.get_secret_value()), sha256).hexdigest()[:32]


def _is_mark(value: object) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), _mark().encode())


def _tokens() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.secret_key), salt="habsim bearer token")


def _has_valid_token() -> bool:
    token = signing.bearer(request)
    if token is None:
        return False
    try:
        content: Any = _tokens().loads(token, max_age=TOKEN_SECONDS)
    except BadSignature:
        return False
    return _is_mark(content)


@pages.route("/login", methods=["GET", "POST"])
def login() -> str | BaseResponse | tuple[str, int]:
    """A page with a form; a JSON body gets a token instead of a session cookie."""
    password = services().settings.password
    if request.method == "GET" or password is None:
        return redirect(url_for("page.home")) if password is None else render_template("login.html")
    given = _given_password()
    patience = services().missions.accounts.lockout
    key = lockout.of_address(request.remote_addr, "gate")
    try:
        patience.attempt({key: lockout.OF_GATE})
    except BusyError as error:
        if request.is_json:
            raise
        page = make_response(render_template("login.html", problem=error.message.capitalize()), 429)
        page.headers["Retry-After"] = str(error.retry_after_seconds)
        return page
    if not hmac.compare_digest(_bytes(given), _bytes(password.get_secret_value())):
        log.warning("failed login from %s", request.remote_addr)
        if request.is_json:
            return error_response(401, "wrong password")
        return render_template("login.html", problem="That is not the password."), 401
    patience.succeeded(forget=[key])
    if request.is_json:
        return json_response({"token": _tokens().dumps(_mark()), "expires_in_seconds": TOKEN_SECONDS})
    session.clear()
    session.permanent = True
    session["signed_in"] = _mark()
    return redirect(_local(request.args.get("next", "")))


def _bytes(text: str) -> bytes:
    # An environment variable that is not UTF-8 comes with lone surrogates.
    return text.encode("utf-8", "surrogatepass")


def _given_password() -> str:
    if request.is_json:
        try:
            body = orjson.loads(request.get_data())
        except orjson.JSONDecodeError:
            return ""
        given = body.get("password") if isinstance(body, dict) else None
        return given if isinstance(given, str) else ""
    return request.form.get("password", "")


def _local(target: str) -> str:
    """A path of this service, so that a link cannot send anybody elsewhere after the login."""
    # Browsers drop tabs and line ends from an address before they read it.
    if target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable():
        return target
    return url_for("page.home")


@pages.route("/logout")
def logout() -> BaseResponse:
    """Of the password, and of the account where there is one; what only `POST auth/logout` does is to end its token."""
    session.clear()
    to_login = services().settings.password is not None
    response = redirect(url_for("session.login" if to_login else "page.home"))
    signing.delete_cookie(response)
    return response
