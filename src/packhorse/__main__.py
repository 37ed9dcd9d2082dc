"""``python -m packhorse`` is ``packhorse``."""

from __future__ import annotations

from packhorse.cli import entry

if __name__ == "__main__":
    entry()
