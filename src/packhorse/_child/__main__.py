"""Entry of a child process: ``python -m packhorse._child PAYLOAD PERMITS CONTROL RESULTS FAULTS``, all descriptors."""

from __future__ import annotations

import sys

from .child import main

if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]]))
