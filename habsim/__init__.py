"""Flight physics: where a balloon goes, given winds and ground. No I/O, no clock, no hidden state."""

__version__ = "0.2.0"
