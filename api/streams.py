"""Server-Sent Events: the progress of an ensemble, from the file that whichever worker computes it writes."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request

from api.services import Services, take

LOOK_SECONDS = 0.05
HEARTBEAT_SECONDS = 15.0
WAIT_FOR_REQUEST_SECONDS = 10.0
LONGEST_SECONDS = 900.0
ENDED = {"complete", "failed"}

_HALF_WAY_BYTES = 100e6
_END = 2 * 10**9  # the id of a last event
_COUNTS = ("completed", "total", "ensemble_completed", "ensemble_total", "montecarlo_completed", "montecarlo_total")
_LOST = {
    **dict.fromkeys(_COUNTS, 0),
    "percentage": 0,
    "status": "failed",
    "error": "no such request is running",
}

# Where the system can say that the other side has closed, while more of its bytes may wait.
_HANG_UP = getattr(select, "POLLRDHUP", 0)


def progress_stream(services: Services, request_id: str) -> Response:
    """The event stream of a request; it ends with the request. Raises BusyError when too many are open."""
    last_seen = request.headers.get("Last-Event-ID", "")
    if last_seen == str(_END) and services.orchestrator.runs.progress(request_id) is None:
        # A browser comes back after every end; this tells it to stay away.
        return Response(status=204)
    take(services.streams, "progress streams")
    events = _events(
        lambda: services.orchestrator.runs.progress(request_id),
        _client(request.environ.get("gunicorn.socket")),
        last_seen,
    )
    response = Response(events, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    # Called at the end however it comes, also when the first byte was never asked for.
    response.call_on_close(services.streams.release)
    return response


def _events(read: Callable[[], dict[str, Any] | None], wait: Callable[[float], bool], last_seen: str) -> Iterator[str]:
    """Events with growing ids: how much is done, so that a client that comes back is not told again.

    `wait` pauses and says whether the client is still there.
    """
    began = heard = time.monotonic()
    last = None
    number = int(last_seen) if last_seen.isascii() and last_seen.isdecimal() and len(last_seen) < 12 else -1
    if number >= _END:
        number = -1  # that run has ended; what is running now is another of the same name
    yield "retry: 1000\n\n"
    while True:
        state, now = read(), time.monotonic()
        if state is not None and state != last:
            ended = state["status"] in ENDED
            fresh = _event_number(state)
            if fresh > number or ended:
                yield f"id: {fresh}\ndata: {json.dumps(state)}\n\n"
                heard, number = now, max(number, fresh)
            last = state
            if ended:
                return
        elif state is None and (last is not None or now - began > WAIT_FOR_REQUEST_SECONDS):
            yield f"id: {_END}\ndata: {json.dumps(_LOST)}\n\n"
            return
        if now - heard > HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            heard = now
        if now - began > LONGEST_SECONDS or not wait(LOOK_SECONDS):
            return


def _event_number(state: dict[str, Any]) -> int:
    """Grows through a run: loading, simulating with what is completed, the end."""
    if state["status"] in ENDED:
        return _END
    if state["status"] == "loading":
        # More may be asked for all the time: this grows with every byte, whatever comes after.
        loaded = state.get("bytes_loaded", 0)
        return int(9_999 * loaded / (loaded + _HALF_WAY_BYTES))
    return 10_000 + int(state["completed"])


def _client(connection: socket.socket | None) -> Callable[[float], bool]:
    """A pause that ends early, with False, when the client has closed its connection.

    Without looking, a closed connection is noticed only at the next write, and holds its thread until then.
    """

    def wait(seconds: float) -> bool:
        if connection is None:
            time.sleep(seconds)
            return True
        try:
            poll = select.poll()
            poll.register(connection, select.POLLIN | _HANG_UP)
            events = poll.poll(seconds * 1000)
        except (OSError, ValueError):
            return False
        gone = _HANG_UP | select.POLLHUP | select.POLLERR | select.POLLNVAL
        if any(mask & gone for _, mask in events):
            return False
        if events:
            time.sleep(seconds)  # the client sent more, which is for after this answer
        return True

    return wait
