"""What all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No test asserts a time: the machines are shared, and the first call of a kernel compiles it.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def long_runs_only_when_asked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("soak") and "soak" not in request.config.getoption("markexpr"):
        pytest.skip("a long run; `make soak` starts it")


@pytest.fixture
def log_as_before() -> Iterator[None]:
    """For tests of the downloader, which sets the log up for its whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
