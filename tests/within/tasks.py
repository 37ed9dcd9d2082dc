"""What the jobs of these tests call."""

from __future__ import annotations


def add(a: int, b: int) -> int:
    return a + b
