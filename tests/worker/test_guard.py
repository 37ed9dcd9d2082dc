"""E82: what a job changed in its process is put back, and its task named."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import logging, os, signal, sys, tempfile
logging.basicConfig(format="%(message)s", stream=sys.stdout)
from packhorse._child.guard import Guard

os.environ["KEPT"] = "as it was"
def state():
    umask = os.umask(0)
    os.umask(umask)
    return (os.getcwd(), umask, dict(os.environ), list(sys.path), signal.getsignal(signal.SIGUSR1))

guard, before = Guard(), state()
guard.restore("quiet")
directory = tempfile.mkdtemp()
for name, change in {
    "cwd": lambda: os.chdir(directory),
    "umask": lambda: os.umask(0),
    "added": lambda: os.environ.update(NEW="1"),
    "changed": lambda: os.environ.update(KEPT="otherwise"),
    "deleted": lambda: os.environ.pop("KEPT"),
    "putenv": lambda: os.environ.clear(),
    "path": lambda: sys.path.clear(),
    "signal": lambda: signal.signal(signal.SIGUSR1, lambda *a: None),
}.items():
    change()
    guard.restore(name)
    assert state() == before, name
os.chdir(directory)
os.rmdir(directory)
guard.restore("vanished")
assert state() == before, "vanished"
guard.restore("quiet")
"""


def test_every_change_is_put_back_with_a_warning_that_names_the_task() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "task cwd left its process changed (working directory); put back",
        "task umask left its process changed (umask); put back",
        "task added left its process changed (environment); put back",
        "task changed left its process changed (environment); put back",
        "task deleted left its process changed (environment); put back",
        "task putenv left its process changed (environment); put back",
        "task path left its process changed (sys.path); put back",
        "task signal left its process changed (handler of SIGUSR1); put back",
        "task vanished left its process changed (working directory); put back",
    ]
