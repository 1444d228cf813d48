"""JSON answers through orjson."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response


def described(text: str, *media_types: str) -> dict[int | str, Any]:
    """The description of a route's result for OpenAPI; JSON by default."""
    return {200: {"description": text, "content": {name: {} for name in media_types or ("application/json",)}}}


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON answer; `content` may hold NumPy arrays and ready-made fragments."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status=status, mimetype="application/json")
