"""Files on an HTTP server: small ones whole, ranges of large ones, with retries under a deadline.

Every answer is checked: a server that gives other bytes than were asked for, fewer, or those of another state of the
file is asked again, and in the end there are the right bytes or a SourceError.
"""

from __future__ import annotations

import datetime
import email.utils
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import requests
import requests.adapters
import urllib3

from habsim.errors import AbsentError, SourceChangedError, SourceError, StoppedError

log = logging.getLogger(__name__)

Got = TypeVar("Got")

_CHUNK_BYTES = 1 << 18
_SMALL_BYTES = 4 << 20  # more than any inventory
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
# Those of the 300s too: NOMADS sends who asks too often to another page.
_TRY_AGAIN = {301, 302, 307, 408, 425, 429, 500, 502, 503, 504}
_AGENT = "habsim-downloader"


@dataclass(frozen=True)
class Patience:
    """How long to go on asking: seconds, each as a float.

    The wait doubles from `first` to `longest`, each time drawn from the upper half (jitter). A server that asks for a
    later time is given it, within the `deadline` of all attempts together. `attempt` is for one answer, `silence` for
    the wait for its next byte.
    """

    first: float = 0.5
    longest: float = 30.0
    deadline: float = 600.0
    attempt: float = 180.0
    connect: float = 10.0
    silence: float = 30.0


@dataclass(frozen=True)
class RemoteFile:
    """A state of a file on a server: its size in bytes, and what tells it from another state."""

    address: str
    size: int
    etag: str | None
    modified: str | None


class _Again(Exception):  # noqa: N818 - it is no error until the deadline
    """An answer that is worth asking again for."""

    def __init__(self, reason: str, after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class HttpFiles:
    """A client for many threads. `received` counts the bytes of all bodies, `requests` and `retries` the attempts."""

    def __init__(
        self,
        connections: int,
        *,
        requests_per_minute: int = 0,
        patience: Patience | None = None,
        stop: threading.Event | None = None,
        seed: int | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self.stop = stop or threading.Event()
        self.received = self.requests = self.retries = 0
        self._random = random.Random(seed)
        self._counting = threading.Lock()  # protects the counters, the random numbers and the next free moment
        self._pause_seconds = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next_request = 0.0
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=connections, pool_block=True)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        self._session.headers.update({"User-Agent": _AGENT, "Accept-Encoding": "identity"})

    def __enter__(self) -> HttpFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def look(self, address: str) -> RemoteFile:
        """Size and state of a file. Raises AbsentError when it is not there."""

        def ask() -> RemoteFile:
            with self._answer("HEAD", address) as response:
                _expect(response, 200)
                return RemoteFile(address, _content_length(response), *_validators(response))

        return self._patiently(address, ask)

    def exists(self, address: str) -> bool:
        """Whether the file is there."""
        try:
            self.look(address)
        except AbsentError:
            return False
        return True

    def read(self, address: str) -> bytes:
        """The whole of a small file. Raises AbsentError when it is not there."""

        def ask() -> bytes:
            with self._answer("GET", address) as response:
                _expect(response, 200)
                size = _content_length(response)
                if size > _SMALL_BYTES:
                    raise SourceError(f"{address} has {size} bytes, at most {_SMALL_BYTES} were expected")
                return b"".join(self._chunks(response))

        return self._patiently(address, ask)

    def fetch(self, file: RemoteFile, start: int, end: int, descriptor: int, position: int) -> None:
        """Write bytes `start` to `end` of that state of a file at `position` of the open file `descriptor`.

        A broken transfer goes on where it broke. Raises SourceChangedError when the file is another by now.
        """
        done = 0

        def ask() -> None:
            nonlocal done
            first = start + done
            wanted = {"Range": f"bytes={first}-{end - 1}"}
            if file.etag and not file.etag.startswith("W/"):
                wanted["If-Match"] = file.etag
            with self._answer("GET", file.address, wanted) as response:
                _check_range(response, file, first, end)
                for chunk in self._chunks(response):
                    if first + len(chunk) > end:
                        raise _Again("more bytes came than were asked for")
                    os.pwrite(descriptor, chunk, position + first - start)
                    first += len(chunk)
                    done = first - start
            if first != end:
                raise _Again(f"{first - start} of {end - start} bytes came")

        if end > start:
            self._patiently(file.address, ask)

    def pause(self, attempt: int) -> None:
        """Wait before `attempt` (from 1) is followed by another. Raises StoppedError when the work is stopped."""
        self._wait(min(self.patience.first * 2**attempt, self.patience.longest))

    def _answer(self, method: str, address: str, headers: dict[str, str] | None = None) -> requests.Response:
        self._keep_pace()
        limits = (self.patience.connect, self.patience.silence)
        with self._counting:
            self.requests += 1
        return self._session.request(
            method, address, headers=headers, timeout=limits, stream=True, allow_redirects=False
        )

    def _keep_pace(self) -> None:
        """Wait until the server may be asked again."""
        with self._counting:
            now = time.monotonic()
            moment = max(now, self._next_request)
            self._next_request = moment + self._pause_seconds
        self._wait(moment - now)

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(max(0.0, seconds)) or self.stop.is_set():
            raise StoppedError("stopped")

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        latest = time.monotonic() + self.patience.attempt
        # What has come, not a whole chunk: a server that trickles would hold it back for hours.
        while chunk := _some(response):
            with self._counting:
                self.received += len(chunk)
            yield chunk
            if self.stop.is_set():
                raise StoppedError("stopped")
            if time.monotonic() > latest:
                raise _Again(f"the answer took more than {self.patience.attempt:.0f} s")

    def _patiently(self, address: str, ask: Callable[[], Got]) -> Got:
        """What `ask` gets, asked again while that is worth it and the deadline has not passed."""
        deadline = time.monotonic() + self.patience.deadline
        wait = self.patience.first
        while True:
            try:
                return ask()
            except (_Again, requests.RequestException) as error:
                reason, later = str(error) or type(error).__name__, getattr(error, "after_seconds", 0.0)
            with self._counting:
                pause = max(later, wait * self._random.uniform(0.5, 1.0))
                self.retries += 1
            if time.monotonic() + pause > deadline:
                raise SourceError(f"{address}: {reason}; given up after {self.patience.deadline:.0f} s")
            log.info("%s: %s; again in %.1f s", address, reason, pause)
            self._wait(pause)
            wait = min(wait * 2, self.patience.longest)


def _some(response: requests.Response) -> bytes:
    """Bytes of the body that have come, at least one unless it has ended."""
    try:
        some: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Again(f"the answer broke off: {error}") from error
    return some


def _check_range(response: requests.Response, file: RemoteFile, start: int, end: int) -> None:
    """Raise unless the answer has bytes `start` to `end` of that state of the file."""
    if response.status_code in (412, 416):
        raise SourceChangedError(f"{file.address} was replaced while it was read (status {response.status_code})")
    _expect(response, 206)
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or (int(found[1]), int(found[2]) + 1) != (start, end):
        raise _Again(f"bytes {start}-{end - 1} were asked for, {response.headers.get('Content-Range')!r} came")
    if (int(found[3]), *_validators(response)) != (file.size, file.etag, file.modified):
        raise SourceChangedError(f"{file.address} was replaced while it was read")


def _expect(response: requests.Response, status: int) -> None:
    """Raise what fits an answer that has another status."""
    if response.status_code == status:
        return
    if response.status_code in (404, 410):
        raise AbsentError(f"{response.url} is not there (status {response.status_code})")
    if response.status_code == 200:
        raise _Again("the whole file came where a range was asked for")
    if response.status_code in _TRY_AGAIN:
        later = _retry_after(response)
        asked = f", it asks to wait {later:.0f} s" if later else ""
        raise _Again(f"status {response.status_code}{asked}", later)
    raise SourceError(f"{response.url}: status {response.status_code} where {status} was expected")


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks to wait: `Retry-After` has a number or a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())


def _content_length(response: requests.Response) -> int:
    value = response.headers.get("Content-Length", "")
    if not value.isdecimal():
        raise _Again(f"the length of the answer is {value!r}")
    return int(value)


def _validators(response: requests.Response) -> tuple[str | None, str | None]:
    return response.headers.get("ETag"), response.headers.get("Last-Modified")
