"""Benchmarks: they run, print tables of what was measured beside what was asked, and assert nothing."""
