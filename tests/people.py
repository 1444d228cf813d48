"""Who asks: accounts of every role on an application, and the jobs they submit computed in this process."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.services import EXTENSION, Services
from missions.cluster import LocalCores
from missions.jobs import Queue
from missions.jobtypes import JOB_TYPES
from missions.running import Runner, Running

PREFIX = "/api/v1"
PASSWORD = "up-and-away"
ROLES = ("nobody", "user", "other", "member", "admin")


@dataclass
class World:
    """An application with a user, another one, a member of the user's organisation, and an administrator."""

    app: Flask
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    organization: str = ""

    @property
    def services(self) -> Services:
        services: Services = self.app.extensions[EXTENSION]
        return services

    @classmethod
    def of(cls, app: Flask) -> Self:
        """With all of them come in."""
        world = cls(app)
        for role in ROLES[1:]:
            body = {"username": role, "email": f"{role}@example.org", "password": PASSWORD}
            world.ids[role] = world.ok("nobody", "POST", "/auth/register", body)["id"]
            if role == "admin":
                world.services.missions.accounts.change(uuid.UUID(world.ids[role]), {"is_admin": True})
            given = {"username": role, "password": PASSWORD}
            world.tokens[role] = world.ok("nobody", "POST", "/auth/login", given)["token"]
        world.organization = world.ok("admin", "POST", "/auth/admin/organizations", {"name": "club"})["id"]
        for role in ("user", "member"):
            world.ok("admin", "PUT", f"/auth/admin/users/{world.ids[role]}", {"organization_id": world.organization})
        world.allow_logins()
        return world

    def ask(self, role: str, method: str, path: str, body: Any = None, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role in self.tokens else {}
        given = {} if body is None else {"json": body}
        return self.app.test_client().open(f"{PREFIX}{path}", method=method, headers=headers, **given, **more)

    def ok(self, role: str, method: str, path: str, body: Any = None) -> Any:
        response = self.ask(role, method, path, body)
        assert response.status_code in {200, 201, 202}, response.text
        return response.json

    def work(self, *lanes: str) -> None:
        """Compute all jobs that wait in `lanes`."""
        service = self.services
        queue = Queue(service.missions.database, service.settings, "test")
        orchestrator = service.orchestrator
        runner = Runner(queue, service.missions.results, JOB_TYPES, orchestrator, LocalCores(orchestrator))
        for lane in lanes or ("forward", "reverse"):
            while (job := queue.claim(lane)) is not None:
                runner.run(Running(job, threading.Event()))

    def allow_logins(self) -> None:
        with self.services.missions.database.writing() as session:
            session.execute(text("DELETE FROM login_attempts"))
