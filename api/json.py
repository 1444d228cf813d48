"""JSON answers through orjson."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from flask.json.provider import DefaultJSONProvider
from pydantic import BaseModel

from api.answers import REFERENCE

JSON, GEOJSON = "application/json", "application/geo+json"


class StrictJSON(DefaultJSONProvider):
    """Reads bodies as RFC 8259 has them: no NaN, no lone surrogates, no nesting without end."""

    def loads(self, s: str | bytes, **_more: Any) -> Any:
        return orjson.loads(s)


def described(
    text: str,
    *media_types: str,
    json: type[BaseModel] | None = None,
    geojson: type[BaseModel] | None = None,
    status: int = 200,
) -> dict[int | str, Any]:
    """The description of a route's result for OpenAPI; JSON by default.

    `json` and `geojson` say what is answered under these media types; under those that are no JSON it is text.
    """
    content: dict[str, Any] = {}
    for name in media_types or (JSON,):
        model = {JSON: json, GEOJSON: geojson}.get(name)
        if model is not None:
            content[name] = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
        else:
            content[name] = {} if name.endswith("json") else {"schema": {"type": "string"}}
    return {status: {"description": text, "content": content}}


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON answer; `content` may hold NumPy arrays and ready-made fragments."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status=status, mimetype="application/json")
