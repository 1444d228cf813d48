"""The progress of an ensemble as Server-Sent Events and as one JSON object."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import runs
from api import streams
from habsim.classes import Flights, Simulator
from store.manifest import wind_file_name
from tests.asking import spaceshot
from tests.worlds import CYCLE

MEMBERS, PERTURBATIONS = 3, 2
TOTAL = MEMBERS * (1 + PERTURBATIONS)
FIELDS = {
    "completed": TOTAL,
    "total": TOTAL,
    "ensemble_completed": MEMBERS,
    "ensemble_total": MEMBERS,
    "montecarlo_completed": MEMBERS * PERTURBATIONS,
    "montecarlo_total": MEMBERS * PERTURBATIONS,
    "percentage": 100,
    "status": "complete",
}
DEADLINE = 60.0  # s; far beyond what anything here takes


@dataclass(frozen=True)
class Message:
    """One block of an event stream: an event, or a comment."""

    fields: dict[str, str]

    @property
    def id(self) -> int:
        return int(self.fields["id"])

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.fields["data"])
        return state


class Gate:
    """Lets the members of an ensemble fly one by one."""

    def __init__(self) -> None:
        self._permits = Semaphore(0)

    def open(self, members: int = 1) -> None:
        self._permits.release(members)

    def pass_through(self) -> None:
        assert self._permits.acquire(timeout=DEADLINE)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Every flight waits at the gate, and every progress is written at once."""
    gate, fly = Gate(), Simulator.fly

    def gated(simulator: Simulator, *args: Any, **options: Any) -> Flights:
        gate.pass_through()
        return fly(simulator, *args, **options)

    monkeypatch.setattr(Simulator, "fly", gated)
    monkeypatch.setattr(runs, "PROGRESS_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.002)
    yield gate
    gate.open(100)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.002)


@contextmanager
def asked(app: Flask, request_id: str, **changes: object) -> Iterator[Future[TestResponse]]:
    """An ensemble that runs in another thread."""
    address = spaceshot(**{"request_id": request_id, "num_perturbations": PERTURBATIONS, **changes})
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(app.test_client().get, address)


def listen(client: FlaskClient, request_id: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"/sim/progress-stream?request_id={request_id}", headers=named)


def messages(response: TestResponse) -> Iterator[Message]:
    """The blocks of a stream as they come; as a server does, it closes the stream at the end."""
    assert response.status_code == 200
    pending = ""
    with response:
        for chunk in response.iter_encoded():
            pending += chunk.decode()
            *blocks, pending = pending.split("\n\n")
            for block in blocks:
                pairs = [line.partition(":") for line in block.split("\n")]
                yield Message({name: value.strip() for name, _, value in pairs})
    assert pending == ""


def events(response: TestResponse) -> Iterator[Message]:
    return (message for message in messages(response) if "data" in message.fields)


class TestStream:
    def test_opened_before_its_request_it_shows_all_of_it(self, app: Flask, client: FlaskClient, gate: Gate) -> None:
        seen: list[Message] = []
        heard = events(listen(client, "before"))
        with asked(app, "before") as running:
            gate.open()
            for event in heard:
                seen.append(event)
                if event.state["status"] == "simulating":
                    gate.open()
            assert running.result(DEADLINE).status_code == 200
        states = [event.state for event in seen]
        assert states[-1].items() >= FIELDS.items()
        flying = [state for state in states if state["status"] == "simulating"][:2]
        assert {state["status"] for state in states[:-1]} <= {"loading", "simulating"}
        # The end may follow the last member so soon that nobody sees what is between.
        assert [state["ensemble_completed"] for state in flying] == [1, 2]
        assert [state["montecarlo_completed"] for state in flying] == [2, 4]
        assert [state["completed"] for state in flying] == [3, 6]
        assert [state["percentage"] for state in flying] == [33, 66]
        assert [state["completed"] for state in states] == sorted(state["completed"] for state in states)

    def test_every_event_has_a_growing_id_and_all_fields(self, app: Flask, client: FlaskClient, gate: Gate) -> None:
        with asked(app, "fields"):
            gate.open(MEMBERS)
            seen = list(events(listen(client, "fields")))
        numbers = [event.id for event in seen]
        assert numbers == sorted(set(numbers))
        for event in seen:
            assert set(FIELDS) <= set(event.state)
            assert all(isinstance(event.state[name], type(FIELDS[name])) for name in FIELDS)
            assert "run" not in event.state
            assert (event.state["total"], event.state["montecarlo_total"]) == (TOTAL, MEMBERS * PERTURBATIONS)

    def test_while_files_load_it_shows_bytes(self, folder: Path, app: Flask, client: FlaskClient, gate: Gate) -> None:
        with asked(app, "bytes"):
            state = next(event.state for event in events(listen(client, "bytes")) if "bytes_total" in event.state)
            gate.open(MEMBERS)
        files = [folder / "bucket" / wind_file_name(CYCLE, member) for member in range(MEMBERS)]
        assert state["bytes_total"] == sum(file.stat().st_size for file in files)
        assert 0 <= state["bytes_loaded"] <= state["bytes_total"]

    def test_a_late_listener_hears_the_end(self, client: FlaskClient) -> None:
        client.get(spaceshot(request_id="late", num_perturbations=PERTURBATIONS))
        (event,) = events(listen(client, "late"))
        assert event.state.items() >= FIELDS.items()

    def test_later_still_the_end_is_forgotten(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        client.get(spaceshot(request_id="later", num_perturbations=PERTURBATIONS))
        monkeypatch.setattr(runs, "PROGRESS_KEPT_SECONDS", -1.0)
        monkeypatch.setattr(streams, "WAIT_FOR_REQUEST_SECONDS", 0.05)
        (event,) = events(listen(client, "later"))
        assert event.state["status"] == "failed"
        assert client.get("/sim/progress?request_id=later").status_code == 404

    def test_an_answer_that_was_kept_is_complete_at_once(self, client: FlaskClient) -> None:
        address = spaceshot(request_id="kept", num_perturbations=PERTURBATIONS)
        assert client.get(address).data == client.get(address).data
        (event,) = events(listen(client, "kept"))
        assert event.state["status"] == "complete"

    def test_an_unknown_id_fails_after_the_wait(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "WAIT_FOR_REQUEST_SECONDS", 0.05)
        (event,) = events(listen(client, "unknown"))
        assert event.state == {
            **dict.fromkeys(FIELDS, 0),
            "status": "failed",
            "error": "no such request is running",
        }
        assert event.id > 0

    def test_a_failure_is_told_with_its_reason(self, client: FlaskClient) -> None:
        assert client.get(spaceshot(request_id="fails", eqtime=48)).status_code == 400
        (event,) = events(listen(client, "fails"))
        assert event.state["status"] == "failed"
        assert "when the winds of the cycle end" in event.state["error"]

    def test_a_run_whose_process_died_has_failed(self, folder: Path, client: FlaskClient) -> None:
        runs.Progress(folder / "data" / "progress" / "dead.json", "nobody-holds-its-lock", 1, 1).begin()
        (event,) = events(listen(client, "dead"))
        assert event.state["status"] == "failed"
        assert "ask again" in event.state["error"]
        assert client.get("/sim/progress?request_id=dead").json == event.state

    def test_a_damaged_progress_is_none(self, folder: Path, client: FlaskClient) -> None:
        (folder / "data" / "progress" / "damaged.json").write_bytes(b'{"completed": 1, "tot')
        assert client.get("/sim/progress?request_id=damaged").status_code == 404


class TestResume:
    def test_a_strange_last_event_id_is_none(self, app: Flask, client: FlaskClient, gate: Gate) -> None:
        with asked(app, "strange"):
            gate.open()
            flown = next(e for e in events(listen(client, "strange")) if e.state["status"] == "simulating")
            for last in ("", "abc", "-1", "9" * 30, "1.5", "\N{ARABIC-INDIC DIGIT THREE}", "\x00", "0"):
                header = last.encode().decode("latin1")  # as it comes over the wire
                assert next(events(listen(client, "strange", Last_Event_ID=header))) == flown
            gate.open(MEMBERS)

    def test_what_was_heard_is_not_told_again(self, app: Flask, client: FlaskClient, gate: Gate) -> None:
        with asked(app, "resume"):
            gate.open()
            heard = next(e for e in events(listen(client, "resume")) if e.state["status"] == "simulating")
            resumed = events(listen(client, "resume", Last_Event_ID=str(heard.id)))
            gate.open()
            following = next(resumed)
            assert following.id > heard.id
            assert following.state["ensemble_completed"] == 2
            gate.open()
            rest = list(resumed)
        assert rest[-1].state["status"] == "complete"
        assert [event.id for event in rest] == sorted(event.id for event in rest)

    def test_the_end_is_told_to_whoever_comes_back(self, client: FlaskClient) -> None:
        client.get(spaceshot(request_id="again", num_perturbations=PERTURBATIONS))
        (first,) = events(listen(client, "again"))
        (again,) = events(listen(client, "again", Last_Event_ID=str(first.id)))
        assert again.state["status"] == "complete"


class TestConnection:
    def test_headers_keep_it_from_being_held_back(self, client: FlaskClient) -> None:
        client.get(spaceshot(request_id="headers", num_perturbations=1))
        response = listen(client, "headers")
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in response.headers
        first = next(messages(response))
        assert first.fields == {"retry": "1000"}

    def test_a_heartbeat_comes_while_nothing_happens(
        self, app: Flask, client: FlaskClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.02)
        with asked(app, "quiet"):
            comments = (m for m in messages(listen(client, "quiet")) if "" in m.fields)
            assert [next(comments).fields[""] for _ in range(3)] == ["still here"] * 3
            gate.open(MEMBERS)

    def test_it_ends_at_the_servers_own_limit(
        self, app: Flask, client: FlaskClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "LONGEST_SECONDS", 0.05)
        with asked(app, "long"):
            assert all(event.state["status"] != "complete" for event in events(listen(client, "long")))
            gate.open(MEMBERS)

    def test_it_ends_when_the_client_has_left(self, client: FlaskClient) -> None:
        """The request never comes, and the wait for it is 10 s: only the closed connection can end it so early."""
        ours, theirs = socket.socketpair()
        with ours:
            response = client.get("/sim/progress-stream?request_id=left", environ_overrides={"gunicorn.socket": ours})
            stream = messages(response)
            next(stream)
            theirs.close()
            assert list(stream) == []

    def test_bytes_that_wait_on_the_connection_do_not_end_it(self, client: FlaskClient) -> None:
        client.get(spaceshot(request_id="pipelined", num_perturbations=1))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"GET /sim/which HTTP/1.1\r\n\r\n")
            address = "/sim/progress-stream?request_id=pipelined"
            response = client.get(address, environ_overrides={"gunicorn.socket": ours})
            assert [event.state["status"] for event in events(response)] == ["complete"]

    def test_too_many_are_429_and_places_come_back(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(web_threads=4).test_client()
        open_streams = [listen(client, "waits-1")]
        refused = listen(client, "waits-3")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "too many progress streams" in refused.json["error"]  # type: ignore[index]
        assert client.get("/health").status_code == 200
        for response in open_streams:
            response.close()
        for _ in range(10):  # more than there are places
            with listen(client, "waits-4") as again:
                assert again.status_code == 200
            with client.head("/sim/progress-stream?request_id=x") as head:
                assert (head.status_code, head.data) == (200, b"")
            assert client.get("/sim/progress-stream?request_id=a/b").status_code == 400


class TestProgress:
    def test_it_is_the_last_event_as_one_object(self, app: Flask, client: FlaskClient, gate: Gate) -> None:
        with asked(app, "object"):
            gate.open()
            event = next(e for e in events(listen(client, "object")) if e.state["status"] == "simulating")
            assert client.get("/sim/progress?request_id=object").json == event.state
            gate.open(MEMBERS)
        body = client.get("/sim/progress?request_id=object").json
        assert body is not None
        assert body.items() >= FIELDS.items()

    def test_an_unknown_one_is_404(self, client: FlaskClient) -> None:
        response = client.get("/sim/progress?request_id=never")
        assert response.status_code == 404
        assert "never" in response.json["error"]  # type: ignore[index]

    def test_a_failure_to_write_it_does_not_fail_the_answer(
        self, app: Flask, folder: Path, client: FlaskClient
    ) -> None:
        """Where the file should be there is a folder."""
        (folder / "data" / "progress" / "blocked.json").mkdir()
        assert client.get(spaceshot(request_id="blocked", num_perturbations=1)).status_code == 200
