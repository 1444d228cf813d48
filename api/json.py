"""JSON answers through orjson."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON answer; `content` may hold NumPy arrays and ready-made fragments."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status=status, mimetype="application/json")
