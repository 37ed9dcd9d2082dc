"""Several processes fire one schedule and are killed while they do: each tick makes one job. The short form of the run."""

from __future__ import annotations

import pytest

from tests.conformance.stores import chosen
from tests.proof.tick_run import Run, run

#: Stores that several processes can share.
STORES = [name for name in chosen() if name in ("sqlite", "postgres", "redis")]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", STORES)
def test_each_tick_makes_one_job_though_who_fires_is_killed(store: str) -> None:
    found = run(Run(store, firers=5, ticks=250, kills=8))
    assert found.wrong == []
    assert found.jobs == 250
    assert found.kills > 0
