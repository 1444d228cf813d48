"""How long a store is waited for, and when it is left alone."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from habsim.errors import BucketError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a call to a store may take.

    A call ends `call_seconds` after its begin, and later by what its bytes take at `bytes_per_second`: all attempts and
    the pauses between them are within. At its end it may wait for one silence more, and
    for as long as a server takes to trickle the head of an answer.
    """

    call_seconds: float = 10.0
    connect_seconds: float = 3.0
    read_seconds: float = 5.0  # of silence
    write_seconds: float = 20.0  # of silence: a store answers when it has kept the bytes
    bytes_per_second: float = 250_000.0
    pause_seconds: float = 0.1  # before the second attempt, then twice as long each time
    longest_pause_seconds: float = 2.0
    rest_seconds: float = 5.0  # a store that has not answered is left alone

    def pause(self, attempts: int) -> float:
        """Seconds to wait after so many attempts."""
        return min(self.pause_seconds * 2.0 ** min(attempts - 1, 30), self.longest_pause_seconds)


@dataclass(slots=True)
class Outcome:
    """What a call has found out: whether the store answers; None while it is not known."""

    answered: bool | None = None


class Breaker:
    """Keeps calls from queueing behind a store that does not answer.

    After a call without any answer all others fail at once, until the store has rested; then one call tries.
    """

    def __init__(self, rest_seconds: float, clock: Callable[[], float]) -> None:
        self._rest_seconds, self._clock = rest_seconds, clock
        self._lock = threading.Lock()  # protects what follows
        self._silent_since: str | None = None  # when the first call without an answer began
        self._tried_again = 0.0  # when, of the clock
        self._is_tried = False  # by a call that is on its way

    @contextlib.contextmanager
    def call(self, store: str) -> Iterator[Outcome]:
        """A call to `store`, which says in the outcome what it has found out. Raises BucketError when it may not be."""
        began = time.strftime("%H:%M:%S UTC", time.gmtime())
        tries = self._admit(store)
        outcome = Outcome()
        try:
            yield outcome
        finally:
            with self._lock:
                if tries:
                    self._is_tried = False
                if outcome.answered:
                    if self._silent_since is not None:
                        log.info("%s answers again", store)
                    self._silent_since = None
                elif outcome.answered is False:
                    if self._silent_since is None:
                        self._silent_since = began
                        log.warning("%s does not answer", store)
                    self._tried_again = self._clock() + self._rest_seconds

    def _admit(self, store: str) -> bool:
        """Whether the call is the one that tries again."""
        with self._lock:
            if self._silent_since is None:
                return False
            wait = self._tried_again - self._clock()
            if self._is_tried or wait > 0.0:
                when = "just now" if self._is_tried else f"in {wait:.1f} s"
                raise BucketError(f"{store} has not answered since {self._silent_since}; it is tried again {when}")
            self._is_tried = True
            return True
