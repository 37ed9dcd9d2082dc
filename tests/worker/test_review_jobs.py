"""What jobs do to the process they run in, and to each other: forks, leftovers, interrupts that arrive in odd places."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from tests.worker.site import Site

MODULE = '''
import asyncio, contextvars, decimal, logging, multiprocessing, os, signal, sys, time
from packhorse import Interrupted, current_job
from tests.worker.tasks import mark

VARIABLE = contextvars.ContextVar("variable", default="unset")

def fork_returns():
    """The forked process returns into the loop of ours."""
    if os.fork() == 0:
        return "the fork"
    os.wait()
    return "the job"

def fork_exits(code):
    pid = os.fork()
    if pid == 0:
        sys.exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def fork_raises():
    pid = os.fork()
    if pid == 0:
        raise ValueError("in the fork")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def _talk(count):
    for _ in range(count):
        print("x" * 9000)

def forks_talk():
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_talk, args=(6,)) for _ in range(8)]
    for each in workers: each.start()
    _talk(6)
    for each in workers: each.join()
    return [each.exitcode for each in workers]

def _square(n):
    return n * n

def pool(method):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        return list(workers.map(_square, range(4)))

def sets_variable():
    VARIABLE.set("set")
    decimal.getcontext().prec = 3

def sees_variable():
    return [VARIABLE.get(), decimal.getcontext().prec]

def replaces_stdout():
    sys.stdout = open(os.devnull, "w")
    sys.stdout.close()

def prints():
    print("printed")

def leaves_an_alarm():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.3)

def naps(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return "rested"

def unhandles():
    for number in signal.valid_signals():
        try: signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError): pass

def limited():
    try:
        time.sleep(30)
    except Interrupted as stop:
        return str(stop.reason)

async def leaves_a_task():
    async def later():
        await asyncio.sleep(0.2)
        try:
            print("too late")
            current_job().progress(0.5)
            mark("later", "fine")
        except BaseException as error:
            mark("later", repr(error))
    global kept
    kept = asyncio.create_task(later())

async def async_naps(seconds):
    await asyncio.sleep(seconds)

async def grouped(name):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(60))
        mark(name)
        await asyncio.sleep(60)

def generates():
    yield 1

async def _later():
    return 1

def forgets_to_await():
    return _later()

def writes_into_our_pipe():
    os.write(int(sys.argv[4]), b"nonsense\\n\\n[1, \\n")
    time.sleep(30)

def surrogate():
    logging.getLogger("x").warning("lone \\ud800 surrogate")
    current_job().progress(0.1, note="lone \\ud800")
    time.sleep(1.5)
    return "done"

def removes_home():
    os.chdir("/")
    os.rmdir(os.environ["HOME_DIR"])
'''


@pytest.fixture
def work(site: Site) -> Site:
    site.module("odd", MODULE)
    return site


def started(site: Site, *arguments: str, **environ: str) -> None:
    site.worker(*arguments, app="odd", **environ).ready()


def put(site: Site, name: str, *args: object, **options: object) -> str:
    """Enqueue a task of the module, which this process cannot import."""
    if "odd" not in sys.modules or getattr(sys.modules["odd"], "SITE", "") != str(site.directory):
        spec = importlib.util.spec_from_file_location("odd", site.directory / "odd.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["odd"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.SITE = str(site.directory)  # type: ignore[attr-defined]
    return site.enqueue(getattr(sys.modules["odd"], name), *args, **options).id


def ran(site: Site, name: str, *args: object, **options: object) -> object:
    record = site.end(put(site, name, *args, **options))
    assert record.state == "succeeded", record
    return json.loads(record.result or "null")


def test_a_fork_that_returns_never_reports(work: Site) -> None:
    started(work)
    assert ran(work, "fork_returns") == "the job"
    assert ran(work, "fork_exits", 0) == 0
    assert ran(work, "fork_exits", 3) == 3
    assert ran(work, "fork_raises") == 1
    assert ran(work, "naps", 0) == "rested"
    assert len(work.workers[0].children()) == 1


def test_a_fork_that_returns_never_reports_from_a_thread(work: Site) -> None:
    started(work, "--threads", "2")
    assert ran(work, "fork_returns") == "the job"
    assert ran(work, "fork_exits", 0) == 0
    assert ran(work, "naps", 0) == "rested"


def test_forks_that_print_much_at_once_do_no_harm(work: Site) -> None:
    started(work)
    for _ in range(3):
        assert ran(work, "forks_talk") == [0] * 8
    assert work.workers[0].process.poll() is None


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_job_may_have_a_pool_of_processes(work: Site, method: str) -> None:
    started(work)
    assert ran(work, "pool", method) == [0, 1, 4, 9]


@pytest.mark.parametrize("slots", [(), ("--threads", "2")])
def test_context_variables_of_a_job_are_its_own(work: Site, slots: tuple[str, ...]) -> None:
    started(work, *slots)
    for _ in range(3):
        ran(work, "sets_variable")
    for _ in range(3):
        assert ran(work, "sees_variable") == ["unset", 28]


def test_a_stream_that_a_job_left_closed_is_put_back(work: Site) -> None:
    started(work)
    ran(work, "replaces_stdout")
    job = put(work, "prints")
    assert work.end(job).state == "succeeded"
    assert work.log(work.job(job)) == "printed\n"
    assert "sys.stdout" in work.workers[0].output


def test_an_alarm_that_a_job_left_does_not_kill_the_next(work: Site) -> None:
    started(work)
    ran(work, "leaves_an_alarm")
    assert ran(work, "naps", 0.6) == "rested"


def test_the_interrupting_signal_is_handled_again(work: Site) -> None:
    started(work)
    ran(work, "unhandles")
    assert ran(work, "limited", timeout=0.3) == "timeout"


def test_a_task_left_on_the_loop_may_print(work: Site) -> None:
    started(work, "--coroutines", "2")
    ran(work, "leaves_a_task")
    assert work.marked("later") == "fine\n"
    assert ran(work, "async_naps", 0) is None


def test_a_shutdown_inside_a_task_group_is_no_failure(work: Site) -> None:
    started(work, "--grace", "0s")
    job = put(work, "grouped", "group")
    work.marked("group")
    assert work.workers[0].stop() == 0
    record = work.job(job)
    assert (record.state, record.failures, record.reason) == ("queued", 0, "stopped by shutdown")


def test_a_limit_inside_a_task_group_is_named(work: Site) -> None:
    started(work)
    record = work.end(put(work, "grouped", "group", timeout=0.3))
    assert json.loads(record.error or "{}")["code"] == "E150"


@pytest.mark.parametrize("name, kind", [("generates", "generator"), ("forgets_to_await", "coroutine")])
def test_code_that_has_not_run_is_no_success(work: Site, name: str, kind: str) -> None:
    started(work)
    record = work.end(put(work, name, retry=3))
    assert (record.state, record.failures) == ("failed", 1)
    assert f"returned a {kind}, whose code has not run" in json.loads(record.error or "{}")["message"]


def test_a_lone_surrogate_in_a_log_ends_no_worker(work: Site) -> None:
    started(work)
    assert ran(work, "surrogate") == "done"
    assert ran(work, "naps", 0) == "rested"
    assert work.workers[0].process.poll() is None


def test_a_working_directory_that_is_gone_is_only_warned_of(work: Site) -> None:
    home = work.directory / "home"
    home.mkdir()
    command = [sys.executable, "-m", "packhorse", "worker", "odd", "--store", work.url]
    worker = work.launch(["sh", "-c", 'cd home && exec "$@"', "sh", *command], HOME_DIR=str(home))
    worker.ready()
    ran(work, "removes_home")
    assert ran(work, "naps", 0) == "rested"


def test_a_job_that_writes_into_our_pipe_loses_only_its_process(work: Site) -> None:
    started(work)
    record = work.end(put(work, "writes_into_our_pipe", on_crash="fail"))
    assert (record.state, record.crashes) == ("failed", 1)
    assert ran(work, "naps", 0) == "rested"
    assert "is no report" in work.workers[0].output


def test_a_limit_shorter_than_a_look_holds(work: Site) -> None:
    started(work)
    record = work.end(put(work, "naps", 5, timeout=0.001))
    assert json.loads(record.error or "{}")["code"] == "E150"
    assert ran(work, "naps", 0) == "rested"
