"""The body of a submission, whose config is read by its type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.bodies import Body, EnsembleConfig, ForwardConfig, Note, Title
from api.reverse_bodies import SearchBody


class _AsOneOf:
    """Describes a field that is read later as one of the models."""

    def __init__(self, *models: type[BaseModel]) -> None:
        self._models = models

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(model.__pydantic_core_schema__) for model in self._models]}


class _Forward(BaseModel):
    config: ForwardConfig


class _Ensemble(BaseModel):
    config: EnsembleConfig


class _Reverse(BaseModel):
    config: SearchBody


# The form of a type's config, in a model with the one field `config`, so that errors name it.
_CONFIGS: dict[str, type[_Forward | _Ensemble | _Reverse]] = {
    "forward": _Forward,
    "ensemble": _Ensemble,
    "reverse": _Reverse,
}


class SubmitBody(Body):
    type: Literal["forward", "ensemble", "reverse"]
    config: Annotated[dict[str, Any], _AsOneOf(ForwardConfig, EnsembleConfig, SearchBody)]
    name: Title = ""
    description: Note = ""
    shared: bool = Field(False, description="with the own organisation")

    def checked_config(self) -> dict[str, Any]:
        """The config as the job takes it. Raises ValidationError."""
        config = _CONFIGS[self.type].model_validate({"config": self.config}).config
        return config.config() if isinstance(config, SearchBody) else config.model_dump(exclude_none=True)
