"""Who asks: the account of a token, from the Authorization header or from the cookie of the pages."""

from __future__ import annotations

from flask import Request, g, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.wrappers import Response as BaseResponse

from api.services import services
from habsim.errors import ForbiddenError, NotSignedInError
from missions.accounts import Viewer
from missions.tokens import TOKEN_SECONDS

COOKIE = "habsim_account"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def bearer(asked: Request) -> str | None:
    """The token of the Authorization header."""
    scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def has_account() -> bool:
    """Whether who asks is signed in; for what needs no more than that."""
    try:
        _known()
    except NotSignedInError:
        return False
    return True


def viewer() -> Viewer:
    """Who is signed in. Raises NotSignedInError, and ForbiddenError for a change that another site may have sent."""
    found = _known()
    if bearer(request) is None and request.method not in _SAFE:
        given = request.headers.get(CSRF_HEADER, "")
        if not services().missions.accounts.tokens.is_csrf(given, found.claims.jti):
            raise ForbiddenError(f"a change with the cookie needs the header {CSRF_HEADER}, which GET auth/me gives")
    return found


def require_account() -> None:
    """For `before_request` of routes that are for accounts: who may not ask is not told what is wrong with the body."""
    if request.method != "OPTIONS":  # a browser asks without the token whether it may send it
        viewer()


def administrator() -> Viewer:
    """An administrator who is signed in. Raises ForbiddenError for others."""
    found = viewer()
    if not found.is_admin:
        raise ForbiddenError("only administrators may do this")
    return found


def _known() -> Viewer:
    if "viewer" not in g:
        token = bearer(request)
        if token is None:
            token = request.cookies.get(COOKIE)
        if not token:
            raise NotSignedInError("sign in: POST /api/v1/auth/login, then send Authorization: Bearer <token>")
        g.viewer = services().missions.accounts.viewer(token)
    found: Viewer = g.viewer
    return found


def is_https() -> bool:
    """Whether the browser's side of the connection is encrypted, as far as a proxy says."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip() == "https"


def set_cookie(response: BaseResponse, token: str) -> None:
    """Give a page the token, out of the reach of scripts and other sites."""
    response.set_cookie(COOKIE, token, max_age=TOKEN_SECONDS, httponly=True, samesite="Lax", secure=is_https())


def delete_cookie(response: BaseResponse) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=is_https())


class SecureWhereHttps(SecureCookieSessionInterface):
    """Flask's session cookies, which stay on encrypted connections once they came by one."""

    def get_cookie_secure(self, app: object) -> bool:
        return is_https()
