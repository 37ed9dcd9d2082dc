"""The pages of help, their budgets, and what the program imports to show them."""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import packhorse.cli
from packhorse.cli._group import _LAZY, group
from packhorse.cli._page import PAGE

WORKER_GROUPS = ("What it runs:", "How much at a time:", "How it stops and reports:", "Where the jobs are:")


def test_first_page_fits_25_lines_and_names_every_command(cli):
    page = cli("--help").out
    assert len(page.splitlines()) <= 25
    assert all(len(line) <= 80 for line in page.splitlines())
    shown = [name for name, (_, _, about) in _LAZY.items() if about]
    assert [name for name in shown if f"\n  {name} " not in page] == []


def test_first_page_is_the_same_with_and_without_click(cli):
    assert CliRunner().invoke(group, ["--help"]).output == cli().out == cli("-h").out == PAGE


def test_first_page_has_the_name_of_the_program_it_is_in(cli):
    assert "Usage: debsources-async [--store" in cli("--help", prog="debsources-async").out


def test_worker_page_fits_40_lines_in_4_groups(cli):
    page = cli("worker", "--help").out
    assert len(page.splitlines()) <= 40
    assert [line for line in page.splitlines() if line.endswith(":")] == list(WORKER_GROUPS)
    for option in group.get_command(click.Context(group), "worker").params:
        if isinstance(option, click.Option):
            assert max(option.opts, key=len) in page


@pytest.mark.parametrize(
    "words",
    ["run", "submit", "relay", "why", "config", "move", "explain", "jobs", "queues", "workers", "db", "completion", "jobs list",
     "jobs show", "jobs logs", "jobs cancel", "jobs requeue", "jobs delete", "jobs copy", "jobs edit", "queues ageing",
     "queues list", "queues pause", "queues resume",
     "queues purge", "queues limit", "queues why", "queues demand",
     "flows", "flows list", "flows show", "workers list", "workers show",
     "scheduled", "scheduled list", "scheduled next", "scheduled run", "scheduled pause", "scheduled resume",
     "scheduled skip", "scheduled reschedule", "db migrate", "db status", "db sql"],
)  # fmt: skip
def test_every_command_has_a_page_and_takes_the_store_after_its_name(cli, words):
    page = cli(*words.split(), "--help")
    assert page.code == 0
    assert page.out.startswith("Usage: packhorse")
    if words.split()[0] not in ("completion",) and words not in (
        "jobs",
        "queues",
        "flows",
        "workers",
        "scheduled",
        "db",
    ):
        assert "--store URL" in page.out


def test_every_read_takes_json():
    reads = ["jobs list", "jobs show", "jobs logs", "jobs edit", "jobs copy", "queues list", "queues limit", "queues why",
             "queues demand", "flows list",
             "flows show", "workers list", "workers show", "why", "config", "explain", "db status", "run", "submit",
             "scheduled list",
             "scheduled next", "scheduled run"]  # fmt: skip
    for words in reads:
        command: click.Command = group
        for word in words.split():
            command = command.get_command(click.Context(command), word)
        assert "as_json" in [param.name for param in command.params], words


def test_first_page_imports_next_to_nothing():
    code = (
        "import sys; from packhorse.cli import main; assert main(['--help']) == 0;"
        "print(sorted({'click','sqlite3','asyncio','inspect','json','logging'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_group_imports_no_store_and_no_event_loop():
    code = (
        "import sys; from packhorse.cli import group; from click.testing import CliRunner;"
        "import packhorse.cli.jobs, packhorse.cli.queues;"
        "print(sorted({'sqlite3','asyncio','packhorse._stores','packhorse._worker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['asyncio']")  # asyncio: only if click's testing brought it


def test_first_page_takes_less_than_80_ms():
    # Processor time, so that a busy machine does not count; the best of several, so that a cold cache does not.
    assert min(_seconds([sys.executable, "-m", "packhorse", "--help"]) for _ in range(5)) < 0.08


def _seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "words, hint",
    [
        ("wroker", 'did you mean "worker"?'),
        ("jobs lst", 'did you mean "list"?'),
        ("db statsu", 'did you mean "status"?'),
    ],
)
def test_misspelt_commands_are_told_the_nearest(cli, words, hint):
    ran = cli(*words.split())
    assert ran.code == 2
    assert hint in ran.err


def test_unlike_commands_are_told_what_there_is(cli):
    ran = cli("xyzzy")
    assert ran.code == 2
    assert "there are: worker, run, submit, jobs," in ran.err
    assert "completion" not in ran.err


def test_group_can_live_in_another_program(place):
    @click.group()
    def other() -> None: ...

    other.add_command(packhorse.cli.group, "queue")
    ran = CliRunner().invoke(other, ["queue", "jobs", "show", "12345678"])
    assert ran.exit_code == 69
    assert "[E101]" in ran.output
    ran = CliRunner().invoke(other, ["queue", "run", "--here", "tasks:boom"])
    assert ran.exit_code == 1


def test_completion_prints_a_script(cli):
    assert "_PACKHORSE_COMPLETE=bash_complete" in cli("completion", "bash").out
    assert "_DEBSOURCES_ASYNC_COMPLETE" in cli("completion", "zsh", prog="debsources-async").out


def test_completion_offers_commands(program):
    ran = program(_PACKHORSE_COMPLETE="bash_complete", COMP_WORDS="packhorse wo", COMP_CWORD="1")
    assert "worker" in ran.out


def test_version(cli):
    assert cli("--version").out.startswith("packhorse 0.")


def test_inside_another_group_it_goes_by_its_whole_name():
    outer = click.Group("mine", commands={"queue": packhorse.cli.group})
    ran = CliRunner().invoke(outer, ["queue", "--help"])
    assert ran.exit_code == 0
    assert ran.output.startswith("Usage: mine queue ")
