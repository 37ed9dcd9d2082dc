"""Entry of a child: ``python -m packhorse._child [--commands] PAYLOAD PERMITS CONTROL RESULTS FAULTS``, all descriptors."""

from __future__ import annotations

import sys

from .._wire import SupervisorGone

if __name__ == "__main__":
    # The one imports an application, the other runs programs; neither needs what the other does.
    if sys.argv[1] == "--commands":
        from .._commands.loop import main

        del sys.argv[1]
    else:
        from .child import main
    try:
        sys.exit(main([int(word) for word in sys.argv[1:]]))
    except SupervisorGone:
        sys.exit(70)  # nobody is left to be told
