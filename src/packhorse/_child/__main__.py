"""Entry of a child process: ``python -m packhorse._child PAYLOAD PERMITS CONTROL RESULTS FAULTS``, all descriptors."""

from __future__ import annotations

import sys

from .._wire import SupervisorGone
from .child import main

if __name__ == "__main__":
    try:
        sys.exit(main([int(word) for word in sys.argv[1:]]))
    except SupervisorGone:
        sys.exit(70)  # nobody is left to be told
