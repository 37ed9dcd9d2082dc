"""The last line of a run says which servers were not tested."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from tests.servers.tested import line, met, met_by

_FOUND: pytest.StashKey[set[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FOUND] = set()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's script put this run into the background; what the tests start is to be interrupted all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest comes first, so that at the end no worker of xdist is left alone with it."""
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    """Return the seconds given to a test that needs more than others are given."""
    own = item.get_closest_marker("timeout")
    return float(own.args[0]) if own is not None and own.args[0] > float(item.config.getini("timeout")) else 0.0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note what this process has met; a worker of xdist hands it to the one that started it."""
    found = session.config.stash[_FOUND]
    found |= met()
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["servers"] = sorted(found)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Remember whose nodes these are: xdist tells of their end without saying so."""
    node.packhorse_found = node.config.stash[_FOUND]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.packhorse_found.update(getattr(node, "workeroutput", {}).get("servers", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Any:
    """No test may leave a job behind in which all others would run: theirs would be its children, and members of its flow."""
    done = yield
    module = sys.modules.get("packhorse._origin")
    if module is not None and module.origin() != (None, None):
        left, module._origin = module.origin(), None
        pytest.fail(f"what is enqueued here from now on would be of {left}")
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call" and report.passed:
        item.config.stash[_FOUND].update(met_by(item.nodeid))
    return report


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say it last of all, where a server was used, or everything was run."""
    found = config.stash.get(_FOUND, set())
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not hasattr(config, "workerinput") and not config.option.collectonly and (found or everything):
        config.get_terminal_writer().line(line(found))
