"""Accounts under `/api/v1/auth`: registering, signing in and out, and what administrators do."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from api import errors, mission_answers, signing
from api.bodies import LoginBody, OrganizationBody, OrganizationChangesBody, OwnBody, RegisterBody, UserBody
from api.formats import rfc3339
from api.json import described, json_response
from api.params import Integer, Query
from api.services import services
from habsim.errors import ForbiddenError
from missions import lockout
from missions.accounts import NewAccount, Page, Viewer
from missions.models import Organization, User

TAG = Tag(name="Accounts", description="Who people are")
api = APIBlueprint("accounts", __name__, url_prefix="/api/v1/auth", abp_tags=[TAG], abp_responses=errors.RESPONSES)

# All others need an account, those under `/admin` one of an administrator.
OPEN_ENDPOINTS = frozenset({"accounts.register", "accounts.login"})
_REGISTRATIONS = 100  # in an hour from one address, behind which may be a class


@api.before_request
def _check_who_asks() -> None:
    # Before the body is looked at: who may not ask is not told what would be wrong with it.
    if request.endpoint in OPEN_ENDPOINTS:
        return
    signing.require_account()
    if "/admin/" in str(request.url_rule) and request.method != "OPTIONS":
        signing.administrator()


class PageQuery(Query):
    page: Integer = Field(1, ge=1, le=1_000_000, description="the first is 1")
    per_page: Integer = Field(20, ge=1, le=100, description="rows of a page")

    def part(self) -> Page:
        return Page(self.page, self.per_page)


class UsersQuery(PageQuery):
    search: str = Field("", max_length=64, pattern=r"^[^\x00-\x1f]*$", description="part of a name or address")


class IdPath(BaseModel):
    id: uuid.UUID = Field(description="which one")


@api.post(
    "/register", summary="Make an account", responses=described("The account", json=mission_answers.User, status=201)
)
def register(body: RegisterBody) -> Response:
    """Where registration is closed, an administrator makes it."""
    accounts = services().missions.accounts
    if services().settings.registration == "closed":
        if not signing.has_account() or not signing.viewer().is_admin:
            raise ForbiddenError("registration is closed here; ask an administrator for an account")
    else:
        accounts.lockout.count(lockout.of_address(request.remote_addr, "register"), "registrations", _REGISTRATIONS)
    user = accounts.register(NewAccount(body.username, body.email, body.password, body.name))
    return json_response(user_content(user), 201)


@api.post("/login", summary="Sign in", responses=described("Who, and the token", json=mission_answers.SignedIn))
def login(body: LoginBody) -> Response:
    """The token is for the header `Authorization: Bearer`; a browser also gets it as a cookie.

    After some failures the next try has to wait, longer each time.
    """
    viewer, token = services().missions.accounts.login(body.username, body.password, request.remote_addr)
    return _signed_in(viewer, token)


@api.post("/logout", summary="Sign out", responses=described("Done", json=mission_answers.SignedOut))
def logout() -> Response:
    """The token is no longer good, wherever it was copied to."""
    services().missions.accounts.logout(signing.viewer())
    response = json_response({"signed_out": True})
    signing.delete_cookie(response)
    return response


@api.get("/me", summary="Who is signed in", responses=described("Who", json=mission_answers.Me))
def me() -> Response:
    viewer = signing.viewer()
    return json_response(
        {
            "user": user_content(viewer.user),
            "expires": rfc3339(viewer.claims.expires),
            "csrf_token": services().missions.accounts.tokens.csrf(viewer.claims.jti),
        }
    )


@api.put("/me", summary="Change the own account", responses=described("Who", json=mission_answers.SignedIn))
def change_me(body: OwnBody) -> Response:
    """A new password signs the account out everywhere else; the answer has the token to go on with."""
    changes = body.given()
    current = changes.pop("current_password", None)
    viewer, token = services().missions.accounts.change_own(signing.viewer(), changes, current)
    return _signed_in(viewer, token)


@api.get("/admin/users", summary="All users", responses=described("A page", json=mission_answers.Users))
def users(query: UsersQuery) -> Response:
    found, total = services().missions.accounts.users(query.part(), query.search)
    return json_response({"users": [user_content(user) for user in found], **paged(query, total)})


@api.put("/admin/users/<uuid:id>", summary="Change a user", responses=described("The user", json=mission_answers.User))
def change_user(path: IdPath, body: UserBody) -> Response:
    """A user who is no longer active, or has a new password, is signed out everywhere."""
    return json_response(user_content(services().missions.accounts.change(path.id, body.given())))


@api.delete(
    "/admin/users/<uuid:id>", summary="Remove a user", responses=described("Done", json=mission_answers.Deleted)
)
def delete_user(path: IdPath) -> Response:
    """With all simulations of the user."""
    services().missions.delete_user(path.id)
    return json_response({"deleted": str(path.id)})


_ORGANIZATION = described("The organisation", json=mission_answers.Organization)


@api.get(
    "/admin/organizations",
    summary="All organisations",
    responses=described("A page", json=mission_answers.Organizations),
)
def organizations(query: PageQuery) -> Response:
    found, total = services().missions.organizations.all(query.part())
    rows = [organization_content(organization, members) for organization, members in found]
    return json_response({"organizations": rows, **paged(query, total)})


@api.post(
    "/admin/organizations",
    summary="Make an organisation",
    responses=described("The organisation", json=mission_answers.Organization, status=201),
)
def create_organization(body: OrganizationBody) -> Response:
    made = services().missions.organizations.create(body.name, body.description)
    return json_response(organization_content(made, 0), 201)


@api.put("/admin/organizations/<uuid:id>", summary="Change an organisation", responses=_ORGANIZATION)
def change_organization(path: IdPath, body: OrganizationChangesBody) -> Response:
    return json_response(organization_content(*services().missions.organizations.change(path.id, body.given())))


@api.delete(
    "/admin/organizations/<uuid:id>",
    summary="Remove an organisation",
    responses=described("Done", json=mission_answers.Deleted),
)
def delete_organization(path: IdPath) -> Response:
    """Its members keep their accounts; what they shared is theirs alone."""
    services().missions.organizations.delete(path.id)
    return json_response({"deleted": str(path.id)})


def _signed_in(viewer: Viewer, token: str) -> Response:
    response = json_response(
        {
            "user": user_content(viewer.user),
            "token": token,
            "expires": rfc3339(viewer.claims.expires),
            "csrf_token": services().missions.accounts.tokens.csrf(viewer.claims.jti),
        }
    )
    signing.set_cookie(response, token)
    response.headers["Cache-Control"] = "no-store"
    return response


def paged(query: PageQuery, total: int) -> dict[str, int]:
    return {"page": query.page, "per_page": query.per_page, "total": total}


def user_content(user: User) -> dict[str, Any]:
    organization = user.organization
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "name": user.name,
        "is_admin": user.is_admin,
        "is_active": user.is_active,
        "organization": None if organization is None else {"id": str(organization.id), "name": organization.name},
        "created": rfc3339(user.created),
        "updated": rfc3339(user.updated),
        "last_login": moment(user.last_login),
    }


def organization_content(organization: Organization, members: int) -> dict[str, Any]:
    return {
        "id": str(organization.id),
        "name": organization.name,
        "description": organization.description,
        "is_active": organization.is_active,
        "created": rfc3339(organization.created),
        "members": members,
    }


def moment(unix_seconds: float | None) -> str | None:
    return None if unix_seconds is None else rfc3339(unix_seconds)
