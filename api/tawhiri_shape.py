"""The shape of errors of the Tawhiri API, which its clients know."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

PATH = "/api/v1/"


class TawhiriFault(BaseModel):
    """What went wrong: `RequestException`, `InvalidDatasetException`, `PredictionException`, `InternalException`."""

    type: str
    description: str


class TawhiriErrorShape(BaseModel):
    """What every error of the route answers."""

    error: TawhiriFault
    metadata: dict[str, Any]


def error(status: int, message: str, *, in_flight: bool = False) -> dict[str, Any]:
    """The body of an error; `in_flight` where the integration itself failed."""
    kinds = {404: "InvalidDatasetException", 500: "InternalException", 503: "InternalException"}
    kind = "PredictionException" if in_flight else kinds.get(status, "RequestException")
    return {"error": {"type": kind, "description": message}, "metadata": {}}
