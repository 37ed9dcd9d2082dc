"""What is wrong with rules, limits and schedules, on the command line and in packhorse.toml: told, and nothing half-stored."""

from __future__ import annotations

import pytest

from packhorse import _runtime, _settings

NOBODY = "0190e6a4-0000-7000-8000-000000000000"
RUN = ("run", "tasks:add", "1", "2")

#: words of a command → what it says
COMMANDS = {
    "a limit of 0": (("queues", "limit", "smtp", "0"), "numbers from 1 to 1,000,000; `packhorse queues pause` stops a queue"),
    "no limit": (("queues", "limit", "smtp", "many"), "not 'many'"),
    "a rate in no time": (("queues", "limit", "smtp", "4/0s"), "'4/0s'"),
    "a star in between": (("queues", "limit", "a*b", "4"), "a * before its end"),
    "a limit without a name": (("queues", "limit", "", "4"), "a key has 1 to 500 bytes"),
    "reserved and shared": ((*RUN, "-o", "reserves=a", "-o", "shares=a"), "'a' is both in reserves and in shares"),
    "reserved and limited": ((*RUN, "-o", "reserves=a", "-o", "limit=a"), "'a' both in reserves and in limit"),
    "101 names": ((*RUN, "-o", f"reserves:={[str(n) for n in range(101)]}".replace("'", '"')), "101 keys given, at most 100"),
    "an unknown parent": ((*RUN, "-o", f"after={NOBODY}"), f"start after job {NOBODY}, which is not stored; nothing was stored"),
    "half an id": ((*RUN, "-o", "after=8000"), "their whole ids"),
    "an unknown end": ((*RUN, "-o", "unique=a", "-o", "unique_until=ended"), '"started", "finished" or a duration'),
    "an unknown span": ((*RUN, "-o", "unique=a", "-o", "span=all"), '"job" or "flow"'),
}  # fmt: skip

#: packhorse.toml → what a worker says that reads it
CONFIGS = {
    "a limit of 0": ("[limits]\nsmtp = 0\n", "'smtp'"),
    "a rate that is none": ('[limits]\napi = "10 per second"\n', "not '10 per second'"),
    "an hour that is none": ('[schedules.x]\ntask = "tasks:echo"\ncron = "0 25 * * *"\n', "25"),
    "a zone that is none": (
        '[schedules.x]\ntask = "tasks:echo"\ncron = "@daily"\ntimezone = "Europe/Berlni"\n', "Europe/Berlni"
    ),
    "two rules": ('[schedules.x]\ntask = "tasks:echo"\ncron = "@daily"\nevery = 5\n', "takes either every= or cron="),
    "a span beside nothing": (
        '[schedules.x]\ntask = "tasks:echo"\nevery = 5\noverlap = "allow"\nspan = "flow"\n', "nobody asks whether a run is over"
    ),
    "names that collide": (
        '[schedules.x]\ntask = "tasks:echo"\nevery = 5\nreserves = "a"\nlimit = "a"\n', "'a' both in reserves and in limit"
    ),
    "a parent": (f'[schedules.x]\ntask = "tasks:echo"\nevery = 5\nafter = "{NOBODY}"\n', "a schedule makes many"),
    "a schedule's name": ('[schedules."a b"]\ntask = "tasks:echo"\nevery = 5\n', "'a b' is not a name"),
    "one good, one bad": (
        '[limits]\nsmtp = 4\n[schedules.good]\ntask = "tasks:echo"\nevery = 5\n[schedules.bad]\ntask = "tasks:echo"\n',
        "got neither",
    ),
}  # fmt: skip


def must_be_empty() -> None:
    store = _runtime.open_store(_settings.resolve())
    try:
        assert store.export(0) == []
        assert (store.limits(), store.flows(), list(store.schedules().schedules or ())) == ([], [], [])
    finally:
        store.close()


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_tells_and_stores_nothing(cli, case):
    words, said = COMMANDS[case]
    ran = cli(*words)
    assert ran.code not in (0, 70)
    assert said in ran.err
    assert "Traceback" not in ran.err
    must_be_empty()


@pytest.mark.parametrize("case", CONFIGS)
def test_a_worker_tells_and_stores_nothing(program, place, case):
    text, said = CONFIGS[case]
    (place / "packhorse.toml").write_text(text)
    ran = program("worker", "tasks", "--burst")
    assert ran.code == 78, ran.err
    assert said in ran.err
    assert "packhorse.toml" in ran.err
    must_be_empty()


def test_one_application_that_declares_a_limit_twice_is_refused(program, place):
    (place / "shop.py").write_text('from packhorse import App\napp = App(tasks=["tasks"], limits={"smtp": 4})\n')
    (place / "packhorse.toml").write_text("[limits]\nsmtp = 5\n")
    ran = program("worker", "shop:app", "--burst")
    assert ran.code == 78, ran.err
    assert "'smtp' is declared twice with different values: '4' in App(limits=), '5' in [limits]" in ran.err
    must_be_empty()


def test_two_schedules_of_one_name_are_refused(program, place):
    (place / "shop.py").write_text(
        "from packhorse import every\ndef tick(): pass\nevery(5, tick, name='a')\nevery(7, tick, name='a')\n"
    )
    ran = program("worker", "shop", "--burst")
    assert ran.code == 78, ran.err
    assert "two schedules are called 'a'" in ran.err
    must_be_empty()
