"""Long random stories about what waits: the store side by side with the memory model, mostly with jobs that have rules.

The state machine of ``test_model`` tries everything; here what is enqueued, ends and comes back is dense enough that lines
form. A story is told by its number, so that one which fails can be told again. ``PACKHORSE_PROOF=long`` tells many more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packhorse._steering import Edit

from .stores import FRESH, chosen
from .test_model import LINES, LONG, NAMES, QUEUES, TASKS, VERDICTS, Story

STORIES = {"memory": 30, "sqlite": 12, "postgres-pooler": 2}
STORIES_OF_A_SERVER = 4
STEPS = 70
FILTERS = ("one", "one", "one", "two", "queue", "state", "flow")
#: How runs end in these stories: mostly well, so that those behind come to their turn.
ENDINGS = ("succeeded", "succeeded", "succeeded", *sorted(VERDICTS))


class Teller:
    """Tells one story."""

    def __init__(self, story: Any, chance: random.Random) -> None:
        self.story = story
        self.chance = chance
        self.actions: list[tuple[int, Callable[[], object]]] = [
            (8, self.enqueue),
            (6, self.admit),
            (6, self.claim),
            (8, self.settle),
            (2, self.change),
            (2, self.edit),
            (2, self.time),
            (1, self.limits),
            (1, self.switch),
            (1, self.worker),
            (1, self.rescue),
            (1, self.prune),
            (1, self.move),
        ]

    def tell(self) -> None:
        """Tell the whole story."""
        self.story.begin()
        weights = [weight for weight, _ in self.actions]
        for _ in range(STEPS):
            (action,) = self.chance.choices([action for _, action in self.actions], weights)
            action()
        self.story.all_that_can_run_runs(how=["succeeded"])

    def job(self) -> dict[str, Any]:
        """Return what a new job is to be: with one rule, sometimes with more."""
        pick = self.chance.choice
        job: dict[str, Any] = {"task": pick(TASKS), "queue": pick((*QUEUES, "a", "a"))}
        for _ in range(pick((0, 1, 1, 1, 2, 3))):
            job |= pick(
                (
                    {"holds": self.holds()},
                    {"holds": self.holds()},
                    {"after": [self.parent()]},
                    {"after": [self.parent(), self.parent()]},
                    {"flow": pick("fg")},
                    {"after_flow": pick("fg")},
                    {"unique": pick(("k1", "k2")), "on_conflict": pick(("return", "replace", "replace", "raise"))},
                    {
                        "unique": pick(("k1", "k2")),
                        "unique_until": pick(("started", 30.0, "flow", "flow")),
                        "flow": pick("fg"),
                    },
                    pick(({"after_failed": True}, {"priority": 5}, {"delay": 3.0}, {"expires": 31.0})),
                )
            )
        return job

    def parent(self) -> int:
        """Return the index of a job to wait for: nearly always one that is stored."""
        ids = self.story.pair.ids
        stored = [number for number, id in enumerate(ids) if self.story.pair.model.store.get([id])]
        return self.chance.choice(stored) if stored and self.chance.random() < 0.95 else self.chance.randrange(1000)

    def holds(self) -> tuple[tuple[str, str], ...]:
        """Return some names, each held in one way."""
        names = self.chance.sample(NAMES, self.chance.choice((1, 1, 2, 3)))
        return tuple(sorted((self.chance.choice("xlll" if name == NAMES[-1] else "xs"), name) for name in names))

    def enqueue(self) -> None:
        self.story.enqueue_with_rules(given=[self.job() for _ in range(self.chance.randint(1, 4))])

    def admit(self) -> None:
        self.story.admit()

    def claim(self) -> None:
        name = self.chance.choice(("w1", "w1", "w2"))
        queues = None if name == "w1" else ["b"]
        self.story.claim(name, queues, self.chance.randint(1, 3), 0, LINES, self.chance.random() < 0.95)

    def settle(self) -> None:
        if any(self.story.held.values()):
            self.story.settle_what_is_held(how=[self.chance.choice(ENDINGS) for _ in range(2)])

    def change(self) -> None:
        verb = self.chance.choice(("cancel", "requeue", "requeue", "delete"))
        self.story.change(verb, self.chance.randrange(1000), self.chance.choice(FILTERS))

    def edit(self) -> None:
        pick = self.chance.choice
        change = Edit(pick((None, *QUEUES)), pick((None, 0, 3)), pick((None, None, 0.0, 3.0)), tags=pick((None, "[]")))
        self.story.edit(self.chance.randrange(1000), pick((1, 1, 4)), change, self.chance.random() < 0.1)

    def time(self) -> None:
        self.story.time_goes_by(self.chance.choice((1.3, 10.7, 64.1)))
        self.story.time_passes_over("promote")
        self.story.time_passes_over("expire")

    def limits(self) -> None:
        value = self.chance.choice(("1", "2", "1/7s", "3/1m burst 2", None))
        self.story.set_limits({self.chance.choice(("lim:1", "lim:*")): value}, self.chance.choice((None, "app")))

    def switch(self) -> None:
        queue = self.chance.choice(QUEUES)
        self.chance.choice(
            (
                lambda: self.story.switch("pause", queue),
                lambda: self.story.switch("resume", queue),
                lambda: self.story.switch("resume", queue),
                lambda: self.story.pause_until(queue, {"seconds": 20.0}, "ada"),
                lambda: self.story.set_step(queue, self.chance.choice((None, 2_000_000))),
            )
        )()

    def worker(self) -> None:
        name = self.chance.choice(("w1", "w2"))
        self.chance.choice(
            (
                lambda: self.story.go(name, "leave"),
                lambda: self.story.go(name, "stopping"),
                lambda: self.story.beat(name, self.chance.random() < 0.3),
                lambda: self.story.condemn(name, self.chance.choice((0, 1)), True),
                lambda: self.story.start(name),
                lambda: self.story.resolve(LINES),
            )
        )()

    def rescue(self) -> None:
        self.story.rescue("crashed")

    def prune(self) -> None:
        self.story.prune()

    def move(self) -> None:
        if self.chance.random() < 0.3:
            self.story.move(self.chance.choice((1, 3, 1000)), "w1")


@pytest.mark.timeout(0 if LONG else 300)
@pytest.mark.parametrize("kind", chosen())
def test_in_every_story_about_waiting_a_store_does_what_the_model_does(kind: str, tmp_path: Path) -> None:
    told = type(f"Waiting_{kind}", (Story,), {"url": FRESH[kind](tmp_path)})
    stories = STORIES.get(kind, STORIES_OF_A_SERVER)
    for number in range(50 * stories if LONG else stories):
        story = told()
        try:
            Teller(story, random.Random(number)).tell()
        except Exception as error:
            error.add_note(f"this was story {number}")
            raise
        finally:
            story.teardown()
