"""The options of ``packhorse worker``, from wherever they come, and what the worker is given."""

from __future__ import annotations

import pytest

import packhorse._worker.run
from packhorse import App, errors


@pytest.fixture
def started(cli, monkeypatch):
    """Run ``packhorse worker`` up to the point where the worker would begin; return its settings and connect."""

    def call(*words, **more):
        seen = []
        monkeypatch.setattr(
            packhorse._worker.run, "run_worker", lambda config, connect, *_: seen.append((config, connect)) or 0
        )
        ran = cli("worker", *words, **more)
        assert ran.code == 0, ran.err
        return seen[0]

    return call


def test_defaults(started):
    config, _ = started()
    assert (config.app, config.queues, config.processes, config.threads, config.coroutines) == ((), None, 1, 1, 0)
    assert (config.burst, config.grace, config.max_jobs, config.max_memory, config.no_retry) == (
        False,
        25.0,
        None,
        None,
        False,
    )
    assert (config.name, config.log_level, config.log_format, config.log_file) == ("%H:%p", "info", "text", None)
    assert config.plain is None
    assert (config.exclusive_patience, dict(config.limits)) == (100.0, {})


def test_limits_of_the_config_file_are_checked(started, cli, place):
    (place / "packhorse.toml").write_text('[limits]\nsmtp = 4\napi = "10/1s"\n[worker]\nexclusive-patience = "2m"\n')
    config, _ = started()
    assert (dict(config.limits), config.exclusive_patience) == ({"smtp": "4", "api": "10/1s"}, 120.0)
    (place / "packhorse.toml").write_text("[limits]\nsmtp = 0\n")
    ran = cli("worker")
    assert ran.code == 78
    assert "[limits] (from " in ran.err
    assert "'smtp'" in ran.err


def test_commands_and_where_they_work(started, place, monkeypatch):
    (place / "packhorse.toml").write_text(
        'commands = ["ffmpeg", "/opt/x/*"]\nworkspaces = "spaces"\n[tasks.hello]\ncommand = ["/bin/echo"]\n'
    )
    config, _ = started("--allow-commands", "sox, ffmpeg", "--allow-commands", "flac", "--quiet-after", "1h")
    assert config.commands == ("ffmpeg", "/opt/x/*", "sox", "flac")
    assert (config.workspaces, config.quiet_after) == (str(place / "spaces"), 3600.0)
    assert list(config.tasks) == ["hello"]
    assert config.tables == {"hello": {"command": ["/bin/echo"]}}
    monkeypatch.setenv("PACKHORSE_WORKER_ALLOW_COMMANDS", "a b")
    config, _ = started("--workspaces", "/big/disk")
    assert (config.workspaces, config.commands) == ("/big/disk", ("ffmpeg", "/opt/x/*", "a", "b"))


def test_command_line(started, place):
    words = ["tasks", "more.tasks", "-q", "a,b", "-q", "c", "--processes", "2", "--threads", "4", "--burst", "--name", "w@%h",
             "--grace", "1m30s", "--max-jobs", "100", "--max-memory", "1.5G", "--log-level", "DEBUG", "--log-format", "json",
             "--log-file", str(place / "w.log"), "--no-retry"]  # fmt: skip
    config, _ = started(*words)
    assert config.app == ("tasks", "more.tasks")
    assert config.queues == (("a", "b"), ("c",))
    assert (config.processes, config.threads, config.slots) == (2, 4, 8)
    assert (config.burst, config.name, config.grace, config.max_jobs) == (True, "w@%h", 90.0, 100)
    assert (config.max_memory, config.no_retry) == (1_610_612_736, True)
    assert (config.log_level, config.log_format, config.log_file) == ("debug", "json", str(place / "w.log"))


def test_queues_of_the_host(started, place, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "web-2.example.org")
    assert started("-q", "host.%h,mail", "-q", "%h")[0].queues == (("host.web-2", "mail"), ("web-2",))
    (place / "packhorse.toml").write_text('[worker]\nqueue = ["disk:%h"]\n')
    assert started()[0].queues == (("disk:web-2",),)
    monkeypatch.setenv("PACKHORSE_WORKER_QUEUE", "host.%h")
    assert started()[0].queues == (("host.web-2",),)


def test_other_fields_are_no_part_of_a_queue_s_name(cli):
    ran = cli("worker", "-q", "host.%p")
    assert ran.code != 0
    assert "'host.%p' is not a name" in ran.err


ENVIRONMENT = {"QUEUE": "a,b c", "PROCESSES": "3", "COROUTINES": "50", "BURST": "1", "NAME": "x",
               "GRACE": "none", "MAX_JOBS": "7", "MAX_MEMORY": "300M", "LOG_LEVEL": "warning", "LOG_FORMAT": "json",
               "NO_RETRY": "true"}  # fmt: skip


def test_environment_has_every_option(started, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"PACKHORSE_WORKER_{name}", value)
    monkeypatch.setenv("PACKHORSE_APP", "tasks shop.tasks")
    config, _ = started()
    assert config.app == ("tasks", "shop.tasks")
    assert config.queues == (("a", "b"), ("c",))
    assert (config.processes, config.coroutines, config.burst, config.name, config.grace) == (3, 50, True, "x", None)
    assert (config.max_jobs, config.max_memory, config.no_retry) == (7, 300 << 20, True)
    assert (config.log_level, config.log_format) == ("warning", "json")


def test_config_file_is_weaker_than_environment_and_command_line(started, place, monkeypatch):
    (place / "packhorse.toml").write_text(
        'app = "tasks"\n[worker]\nprocesses = 2\nthreads = 3\nqueue = ["a,b", "c"]\ngrace = "5s"\nmax-jobs = 9\nburst = true\n'
    )
    monkeypatch.setenv("PACKHORSE_WORKER_THREADS", "4")
    config, _ = started("--grace", "7s")
    assert (config.app, config.processes, config.threads, config.grace) == (("tasks",), 2, 4, 7.0)
    assert (config.queues, config.max_jobs, config.burst) == ((("a", "b"), ("c",)), 9, True)


@pytest.mark.parametrize(
    "table, message",
    [
        ("threds = 3", "[worker] has no setting 'threds' ("),
        ('processes = "many"', "[worker] processes = 'many' ("),
        ('grace = "soon"', "[worker] grace = 'soon' ("),
    ],
)
def test_wrong_setting_in_the_file_names_the_file(cli, place, table, message):
    (place / "packhorse.toml").write_text(f"[worker]\n{table}\n")
    ran = cli("worker")
    assert ran.code == 78
    assert message in ran.err
    assert "packhorse.toml" in ran.err


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["--threads", "2", "--coroutines", "2"], 2, "--threads and --coroutines exclude each other"),
        (["--processes", "0"], 2, "--processes"),
        (["--max-memory", "lots"], 2, "a size is a number with a unit K M G T, like 300M or 1.5G; not 'lots'."),
        (["--max-memory", "0"], 2, "a size is a number"),
        (["--grace", "soon"], 2, "the grace takes a duration"),
        (["--exclusive-patience", "10s"], 2, "--exclusive-patience takes 15 s or more"),
        (["-q", "my queue"], 2, "BadName: -q: 'my queue' is not a name."),
        (["--log-level", "loud"], 2, "'loud' is not one of"),
        (["--detach"], 2, "--detach"),
    ],
)
def test_wrong_options(cli, words, code, message):
    ran = cli("worker", *words)
    assert ran.code == code
    assert message in ran.err


# -- the store --------------------------------------------------------------------------------------------------------
def test_connect_prefers_what_was_typed_to_the_app(started, place):
    _, connect = started("--store", "sqlite:///typed.db", "--namespace", "n")
    place_of = connect({"store": "sqlite:///app.db", "namespace": "other"})
    assert place_of.source == "from --store"
    store = place_of.open(True)
    assert (store.url, store.namespace) == (f"sqlite:///{place}/typed.db", "n")
    store.close()


def test_connect_takes_the_app_where_nothing_else_is_named(started, place, monkeypatch):
    monkeypatch.delenv("PACKHORSE_URL")
    _, connect = started()
    opener = connect({"store": "sqlite:///app.db", "namespace": "shop"}).open
    first, second = opener(True), opener(False)
    assert first is not second
    assert (first.url, first.namespace) == (f"sqlite:///{place}/app.db", "shop")
    first.close()
    second.close()


def test_connect_without_any_store(started, monkeypatch):
    monkeypatch.delenv("PACKHORSE_URL")
    _, connect = started()
    with pytest.raises(errors.NoStore):
        connect({})


# -- embedded ---------------------------------------------------------------------------------------------------------
def test_app_of_a_script_hands_its_plain_part_over(started, place):
    app = App(store="sqlite:///app.db", tasks=["debsources.tasks"], retry=2)
    config, _ = started(app=app)
    assert config.app == ("debsources.tasks",)
    assert config.plain == app.plain()


def test_app_of_a_module_is_imported_there(started, place):
    (place / "shop_app.py").write_text("from packhorse import App\napp = App(tasks=['tasks'], types={})\n")
    import shop_app

    config, _ = started(app=shop_app.app)
    assert (config.app, config.plain) == (("shop_app:app",), None)


def test_app_with_middleware_in_a_script_is_refused_before_anything_starts(cli):
    class Noisy:
        def child_started(self, worker): ...

    ran = cli("worker", app=App(middleware=[Noisy()]))
    assert ran.code == 78
    assert "Move the App into a module" in ran.err
    assert ran.err.rstrip().endswith("[E113]")


def test_main_of_an_app_is_this_command_line(place, capfd):
    assert App(store="sqlite:///app.db").main(["config", "--json"], prog="debsources-async") == 0
    assert f"sqlite:///{place}/app.db" in capfd.readouterr().out


def test_only_the_worker_takes_options_from_the_environment(cli, store, monkeypatch, place):
    for name in ("STORE", "JOBS_DELETE_YES", "RUN_QUEUE", "WORKER_STORE"):
        monkeypatch.setenv(f"PACKHORSE_{name}", "sqlite:///elsewhere.db")
    assert cli("run", "tasks:add", "2", "3", "--json").data["queue"] == "default"
    rows = {each["name"]: each["source"] for each in cli("config", "--json").data["settings"]}
    assert rows["store"] == "from PACKHORSE_URL"
