"""A real shell in a directory of its own, for the blocks of one page."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

PATIENCE = 60.0


class Shell:
    """One bash for a page: what a block exports or starts in the background is there for the next ones."""

    def __init__(self, directory: Path) -> None:
        env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PACKHORSE", "PYTEST", "REDIS", "DATABASE"))
        }
        env |= {
            "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            "PIP_NO_INDEX": "1",  # what a page installs is there already
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.directory = directory
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=directory, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, bufsize=0,
        )  # fmt: skip

    def run(self, command: str) -> tuple[int, str]:
        """Run one command (it may be several lines) and return its exit status and what was printed until it ended."""
        assert self._bash.stdin is not None
        mark = uuid.uuid4().hex
        self._bash.stdin.write(f"{command}\nprintf '\\n{mark} %s\\n' $?\n".encode())
        output = self._read_until(mark, command)
        text, _, status = output.rpartition(f"{mark} ")
        return int(status), text.rstrip("\n") + "\n"

    def _read_until(self, mark: str, command: str) -> str:
        assert self._bash.stdout is not None
        output, deadline = b"", time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._bash.stdout, selectors.EVENT_READ)
            while not re.search(rf"{mark} \d+\n".encode(), output):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"{command!r} had not ended after {PATIENCE:.0f} s; so far: {output.decode()}")
                piece = os.read(self._bash.stdout.fileno(), 65536)
                if not piece:
                    raise EOFError(f"the shell ended during {command!r}: {output.decode()}")
                output += piece
        return re.sub(rf"({mark} \d+\n).*", r"\1", output.decode(errors="replace"), flags=re.DOTALL)

    def close(self) -> None:
        """End the shell and whatever it left running: first politely, then not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._bash.pid, number)
                self._bash.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        for stream in (self._bash.stdin, self._bash.stdout):
            if stream is not None:
                stream.close()


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Split a console block into (command, lines expected from it); after a backslash a command goes on with ``> ``."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and not found[-1][1] and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        elif line.strip():
            if not found:
                raise ValueError(f"a console block begins with a command, '$ …', not with {line!r}")
            found[-1][1].append(line)
    return found


def missing(expected: list[str], output: str) -> list[str]:
    """Return the expected lines that the output does not have, in this order. Compared loosely: a duration stands for any
    duration, likewise a time of day, a version and an id; an ellipsis for anything, runs of spaces for one."""
    lines = iter(output.splitlines())
    return [want for want in expected if not any(_loose(want).search(" ".join(line.split())) for line in lines)]


#: What differs from run to run, and what may stand in its place.
_VARYING = {
    "ellipsis": (r"\.\.\.|…", ".*"),
    "duration": (r"\b\d+(?:\.\d+)? ?(?:µs|ms|s|min|h)\b", r"\d+(?:\.\d+)? ?(?:µs|ms|s|min|h)(?: \d+ ?(?:s|min))?"),
    "clock": (r"\b\d\d:\d\d:\d\d\b", r"\d\d:\d\d:\d\d"),
    "version": (r"\b\d+\.\d+\.\d+\b", r"\d+\.\d+\.\d+"),
    "id": (r"\b(?=[a-f]*\d)[0-9a-f]{8}\b", "[0-9a-f]{8}"),
}
_PART = re.compile("|".join(f"(?P<{name}>{pattern})" for name, (pattern, _) in _VARYING.items()))


def _loose(line: str) -> re.Pattern[str]:
    pattern, end, text = "", 0, " ".join(line.split())
    for part in _PART.finditer(text):
        pattern += re.escape(text[end : part.start()]) + _VARYING[str(part.lastgroup)][1]
        end = part.end()
    return re.compile(f"^{pattern}{re.escape(text[end:])}$")
