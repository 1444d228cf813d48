"""The shape of answers and errors of the Tawhiri API, which its clients know."""

from __future__ import annotations

from typing import Any

from api.formats import rfc3339

PATH = "/api/v1/"


def error(status: int, message: str) -> dict[str, Any]:
    kinds = {404: "InvalidDatasetException", 500: "InternalException", 503: "InternalException"}
    return {"error": {"type": kinds.get(status, "RequestException"), "description": message}, "metadata": {}}


def moment(timestamp: float) -> str:
    """RFC 3339 with the fraction that Tawhiri's clients parse."""
    return rfc3339(timestamp)
