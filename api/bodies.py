"""The bodies of requests: typed classes, strict, without unknown fields."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.params import LaunchParameters, Number
from habsim.montecarlo import table
from missions.models import (
    DESCRIPTION_LENGTH,
    EMAIL_LENGTH,
    NAME_LENGTH,
    NOTE_LENGTH,
    TITLE_LENGTH,
    USERNAME_LENGTH,
    USERNAME_PATTERN,
)
from missions.passwords import LONGEST, SHORTEST

_LINE = r"^[^\x00-\x1f\x7f]*$"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"  # with line ends and tabs
# As browsers check it: HTML Living Standard, "valid email address", and a domain with a dot.
_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"

Username = Annotated[str, StringConstraints(min_length=2, max_length=USERNAME_LENGTH, pattern=USERNAME_PATTERN)]
Email = Annotated[str, StringConstraints(max_length=EMAIL_LENGTH, pattern=_EMAIL)]
Password = Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST)]
Name = Annotated[str, StringConstraints(max_length=NAME_LENGTH, pattern=_LINE, strip_whitespace=True)]
Id = Annotated[uuid.UUID, Field(strict=False)]  # JSON has text for it


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(include=self.model_fields_set)


BodyT = TypeVar("BodyT", bound=Body)


class RegisterBody(Body):
    username: Username = Field(description="letters, digits, dots, lines and underscores; case does not count")
    email: Email
    password: Password
    name: Name = ""


class LoginBody(Body):
    username: str = Field(min_length=1, max_length=USERNAME_LENGTH, pattern=_LINE)
    password: str = Field(min_length=1, max_length=LONGEST)


class OwnBody(Body):
    """What a user changes; a new password or address needs the current password."""

    name: Name | None = Field(None)
    email: Email | None = Field(None)
    password: Password | None = Field(None)
    current_password: str | None = Field(None, max_length=LONGEST)

    @model_validator(mode="after")
    def _nothing_is_null(self) -> OwnBody:
        return _without_null(self, ())


class UserBody(Body):
    """What an administrator changes of a user."""

    is_admin: bool | None = None
    is_active: bool | None = None
    email: Email | None = None
    name: Name | None = None
    password: Password | None = None
    organization_id: Id | None = Field(None, description="null for none")

    @model_validator(mode="after")
    def _nothing_else_is_null(self) -> UserBody:
        return _without_null(self, ("organization_id",))


class OrganizationBody(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=_LINE, strip_whitespace=True)]
    description: Annotated[str, StringConstraints(max_length=DESCRIPTION_LENGTH, pattern=_TEXT)] = ""


class OrganizationChangesBody(Body):
    name: (
        Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=_LINE, strip_whitespace=True)]
        | None
    ) = None
    description: Annotated[str, StringConstraints(max_length=DESCRIPTION_LENGTH, pattern=_TEXT)] | None = None
    is_active: bool | None = Field(None, description="members of one that is not active see their own rows only")

    @model_validator(mode="after")
    def _nothing_is_null(self) -> OrganizationChangesBody:
        return _without_null(self, ())


def _without_null(body: BodyT, allowed: tuple[str, ...]) -> BodyT:
    for name in body.model_fields_set:
        if getattr(body, name) is None and name not in allowed:
            raise ValueError(f"{name} is null; leave it out to keep it")
    return body


# Simulations

Title = Annotated[str, StringConstraints(max_length=TITLE_LENGTH, pattern=_LINE, strip_whitespace=True)]
Note = Annotated[str, StringConstraints(max_length=NOTE_LENGTH, pattern=_TEXT)]


class LaunchConfig(LaunchParameters):
    """A launch, as for `/sim/singlezpb`; every unknown name is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ForwardConfig(LaunchConfig):
    """A launch with one member, as for `/sim/singlezpb`."""

    model: int = Field(0, ge=0, le=99, description="member; 0 is the control")


class EnsembleConfig(LaunchConfig):
    """A launch with all members, as for `/sim/spaceshot`."""

    num_perturbations: int = Field(20, ge=1, le=100, description="Monte Carlo copies of each member's flight")
    seed: int | None = Field(None, ge=0, lt=2**53, description="of the Monte Carlo; by default from the config")
    perturb: dict[str, Number] = Field(default_factory=dict, description="half-widths by parameter")

    @model_validator(mode="after")
    def _half_widths_are_known(self) -> EnsembleConfig:
        known = table({}, balloon=self.profile == "physical")
        for name, width in self.perturb.items():
            distribution = known.get(name)
            if distribution is None:
                raise ValueError(f"perturb.{name[:40]} is unknown; parameters are {', '.join(known)}")
            if not 0.0 <= width <= distribution.widest:
                raise ValueError(f"perturb.{name} is {width:g}, it must be 0..{distribution.widest:g}")
        return self


class SimulationBody(Body):
    """What a user changes of a simulation."""

    name: Title | None = None
    description: Note | None = None
    shared: bool | None = None

    @model_validator(mode="after")
    def _nothing_is_null(self) -> SimulationBody:
        return _without_null(self, ())
