"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No test asserts a time: the machines are shared, and the first call of a kernel compiles it.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
