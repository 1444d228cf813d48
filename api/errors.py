"""One error shape over all routes, and one table from failure to HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, g, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException

from api import tawhiri_shape
from api.json import json_response
from habsim.errors import (
    BadRequestError,
    BucketError,
    BusyError,
    ConflictError,
    ConversionError,
    DatabaseError,
    ElevationError,
    FlightError,
    ForbiddenError,
    HabsimError,
    NotFoundError,
    NotSignedInError,
    UnavailableError,
    WindFileError,
)

log = logging.getLogger(__name__)

# The first class that fits decides.
STATUS: dict[type[HabsimError], int] = {
    BadRequestError: 400,
    NotSignedInError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    BusyError: 429,
    DatabaseError: 503,
    UnavailableError: 503,
    WindFileError: 503,
    BucketError: 503,
    ElevationError: 500,
    ConversionError: 500,
    FlightError: 500,
    HabsimError: 500,
}
_RETRY_SECONDS = 30
_MOST_SENTENCES = 20


class ErrorShape(BaseModel):
    """What every error answers."""

    error: str
    details: dict[str, Any] | None = None


# What every route can answer besides its result, for the description of the API.
RESPONSES: dict[int | str, type[BaseModel] | dict[Any, Any] | None] = dict.fromkeys(
    (400, 401, 403, 404, 409, 429, 500, 503), ErrorShape
)


def status_of(error: HabsimError) -> int:
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def error_response(
    status: int, message: str, details: dict[str, Any] | None = None, *, in_flight: bool = False
) -> Response:
    """The one shape `{"error", "details"}`; the Tawhiri route has Tawhiri's."""
    if request.path == tawhiri_shape.PATH:
        return json_response(tawhiri_shape.error(status, message, in_flight=in_flight), status)
    return json_response({"error": message, "details": details}, status)


def install(app: Flask) -> None:
    """Turn every failure of `app` into the error shape."""
    app.register_error_handler(HabsimError, _habsim_error)
    app.register_error_handler(ValidationError, validation_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected_error)


def _habsim_error(error: HabsimError) -> Response:
    status = status_of(error)
    if status >= 500:
        log.error("request %s: %s", g.get("request_id", "-"), error.message)
    message, details = error.message, error.details
    if isinstance(error, DatabaseError):  # it names addresses and users
        message = "the database does not answer; try again soon"
    if status == 500 or isinstance(error, DatabaseError):
        details = {**(details or {}), "request_id": g.get("request_id")}
    response = error_response(status, message, details, in_flight=isinstance(error, FlightError))
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    elif status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="HABSIM"'
    elif status == 503:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    messages = {
        404: f"there is no {_shortened(request.path)}",
        405: f"{_shortened(request.path)} does not take {request.method}",
        413: "the body of the request is too large",
        414: "the address of the request is too long",
    }
    response = error_response(status, messages.get(status, error.description or error.name))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    if error.response is not None:
        response.headers.extend(error.response.headers)
    return response


def _unexpected_error(error: Exception) -> Response:
    log.exception("request %s failed", g.get("request_id", "-"), exc_info=error)
    return error_response(
        500, "internal error; the log has it under the request id", {"request_id": g.get("request_id")}
    )


def validation_error(error: ValidationError) -> Response:
    """400 with a sentence per wrong parameter, of very many the first."""
    sentences = dict(_sentences(error.errors(include_url=False)[:_MOST_SENTENCES]))
    text, more = "; ".join(sentences.values()), error.error_count() - _MOST_SENTENCES
    return error_response(400, f"{text}; and {more} more" if more > 0 else text, {"parameters": sentences})


def _sentences(errors: Iterable[ErrorDetails]) -> Iterable[tuple[str, str]]:
    for error in errors:
        name = ".".join(_shortened(part) for part in error["loc"] if part != "")
        yield name or "request", _sentence(name, error)


def _sentence(name: str, error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    # A password is not said again.
    value = name if name.endswith("password") else f"{name} is {_shortened(error['input'])}"
    match error["type"]:
        case "missing":
            return f"{name} is missing"
        case "greater_than_equal":
            return f"{value}, it must be at least {_limit(context['ge'])}"
        case "greater_than":
            return f"{value}, it must be more than {_limit(context['gt'])}"
        case "less_than_equal":
            return f"{value}, it must be at most {_limit(context['le'])}"
        case "less_than":
            return f"{value}, it must be less than {_limit(context['lt'])}"
        case "literal_error":
            return f"{value}, it must be {context['expected']}"
        case "string_pattern_mismatch":
            return f"{value}, it must match {context['pattern']}"
        case "float_type" | "int_type":
            given = error["input"]
            return f"{name} is {_shortened(repr(given) if isinstance(given, str) else given)}, it must be a number"
        case "model_type" | "model_attributes_type" | "dict_type" | "json_invalid":
            return f"{name or 'the body'} must be a JSON object{'' if name else ', of the type application/json'}"
        case "uuid_parsing" | "uuid_type":
            return f"{value}, it must be a UUID"
        case "extra_forbidden":
            return f"{name} is unknown"
        case "string_too_long":
            return f"{name} has {len(error['input'])} characters, it must have at most {context['max_length']}"
        case "string_too_short":
            given, least = error["input"], context["min_length"]
            # Names are stripped before they are measured.
            count = len(given) if len(given) < least else len(given.strip())
            return f"{name} has {count} characters, it must have at least {least}"
        case "value_error":
            return f"{name}: {context['error']}" if name else str(context["error"])
        case _:
            return f"{value}: {error['msg']}"


def _limit(value: float) -> str:
    """The number in full, without an exponent."""
    return f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _shortened(value: object) -> str:
    match value:
        case str():
            text = value
        case list():  # which may be as deep as it likes
            text = f"a list of {len(value)}"
        case dict():
            text = f"an object of {len(value)}"
        case _:
            text = repr(value)
    text = text if text.isprintable() else ascii(text)
    return (text if len(text) <= 40 else text[:37] + "...") or "empty"
