"""What a commands child is made of, without processes: the log, progress lines, which programs are allowed."""

from __future__ import annotations

import os
import selectors
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._commands.aside import Answer, Unfit
from packhorse._commands.asides import Asides
from packhorse._commands.news import News
from packhorse._commands.progress import log_of, progress_of
from packhorse._commands.streams import ERR, OUT, Log
from packhorse._programs import allowed, located, split


# -- progress ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "line, bar",
    [
        ("progress 40/100 page 12", (40, 100, "page 12")),
        ("progress 40 / 100", (40, 100, "")),
        ("40%", (0.4, 1, "")),
        ("40 % of the pages", (0.4, 1, "of the pages")),
        ("progress 12.5% x", (0.125, 1, "x")),
        ("3/7", (3, 7, "")),
        ("progress 0.4 nearly", (0.4, 1, "nearly")),
        ("progress .5", (0.5, 1, "")),
        ("  40%  \r", (0.4, 1, "")),
    ],
)
def test_progress_lines(line: str, bar: tuple[float, float, str]) -> None:
    assert progress_of(line) == dict(zip(("done", "total", "note"), bar, strict=True))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "progress",
        "progress x",
        "40",
        "40 pages",
        "0.4",
        "3/0",
        "-1/3",
        "nan/3",
        "progress 7",
        "1e9/2",
        "40%%",
        "log 40%",
    ],
)
def test_what_is_no_progress(line: str) -> None:
    assert progress_of(line) is None


@given(st.text())
def test_no_line_does_harm(line: str) -> None:
    bar = progress_of(line)
    assert bar is None or bar["total"] > 0


def test_log_lines() -> None:
    assert log_of("log page 12 is empty") == "page 12 is empty"
    assert log_of("logs page 12") is None


# -- the log ----------------------------------------------------------------------------------------------------------
def test_lines_are_marked_and_keep_their_order() -> None:
    log = Log(1000)
    log.feed(OUT, b"one\ntw", 0.0)
    log.feed(ERR, b"oops\n", 0.0)
    log.feed(OUT, b"o\n", 0.0)
    assert log.text() == "out: one\nerr: oops\nout: two\n"


def test_a_line_without_an_end_is_shown_after_a_while() -> None:
    log = Log(1000)
    log.feed(OUT, b"password: ", 10.0)
    assert (log.text(), log.due) == ("", 10.0)
    log.flush_old(10.5)
    assert log.text() == ""
    log.flush_old(11.1)
    assert (log.text(), log.due) == ("out: password: \n", None)


def test_what_a_terminal_would_have_written_over_is_left_out() -> None:
    log = Log(1000)
    log.feed(ERR, b"frame=1\rframe=2\r", 0.0)
    log.flush(1.0)
    log.feed(ERR, b"frame=3\rframe=4\r\ndone\n", 0.0)
    assert log.text() == "err: frame=2\nerr: frame=4\nerr: done\n"


@given(
    st.lists(st.tuples(st.sampled_from([OUT, ERR]), st.binary(max_size=40)), max_size=40),
    st.integers(10, 100),
)
def test_each_stream_keeps_its_newest_bytes_and_no_more(pieces: list[tuple[int, bytes]], limit: int) -> None:
    log = Log(limit)
    whole: dict[int, bytes] = {OUT: b"", ERR: b""}
    for stream, data in pieces:
        data = data.replace(b"\r", b"_")
        log.feed(stream, data, 0.0)
        whole[stream] += data
    log.flush(1.0)
    kept = {each: b"".join(data for stream, data in log._entries if stream == each) for each in (OUT, ERR)}
    assert kept == {each: data[-limit:] for each, data in whole.items()}
    assert log.dropped == sum(max(0, len(data) - limit) for data in whole.values())
    assert log.whole == (log.dropped == 0)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_what_is_told_in_pieces_is_the_whole(pieces: list[bytes]) -> None:
    log, told = Log(10_000), ""
    for data in pieces:
        log.feed(OUT, data + b"\n", 0.0)
        told += log.news()
    assert told == log.text()


@given(st.binary(max_size=200))
def test_any_bytes_become_text_that_can_be_stored_and_shown(data: bytes) -> None:
    log = Log(1000)
    log.feed(OUT, data + b"\n", 0.0)
    text = log.text()
    text.encode()
    assert all(character == "\n" or character == "\t" or character >= " " for character in text)


# -- news -------------------------------------------------------------------------------------------------------------
def test_a_pipe_that_is_behind_is_told_later() -> None:
    told: list[tuple[str, Any]] = []
    takes = False

    def tell(kind: str, what: Any) -> bool:
        if takes:
            told.append((kind, what))
        return takes

    news = News(1000, 60.0, tell)
    news.heard(3, b"10%\n20%\nlog x\n")
    takes = True
    due = news.due
    assert due is not None
    news.tick(due)
    assert told[0] == ("progress", {"": {"done": 0.2, "total": 1.0, "note": ""}})


def test_output_for_which_there_is_no_room_is_said_once(tmp_path: Path) -> None:
    news = News(1000, 60.0, lambda kind, what: True)
    news.keep_files(str(tmp_path))
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115  closed by what it is given to
    news._files[OUT].close()
    news._files[OUT] = full
    news.heard(OUT, b"one\n")
    news.heard(OUT, b"two\n")
    news.close()
    assert news.log.text().count("not kept") == 1
    assert "out: two" in news.log.text()


# -- programs ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "program, patterns",
    [
        ("publish.sh", "publish.sh"),
        ("/opt/x/bin/a.sh", "/opt/x/bin/*"),
        ("/opt/x/bin/a.sh", "/opt/*/bin/a.sh"),
        ("/anything", "*"),
        ("./script.sh", "*"),
        ("true", "/usr/bin/*,/bin/*"),
    ],
)
def test_allowed(program: str, patterns: str) -> None:
    assert allowed(program, split([patterns]))


@pytest.mark.parametrize(
    "program, patterns",
    [
        ("publish.sh", ""),
        ("/tmp/evil/publish.sh", "publish.sh"),
        ("/opt/x/bin/../../../tmp/a.sh", "/opt/x/bin/*"),
        ("/opt/x/bin/deeper/a.sh", "/opt/x/bin/*"),
        ("/opt/x/bin//a.sh", "/opt/x/bin/*"),
        ("./publish.sh", "publish.sh"),
        ("publish.sh.evil", "publish.sh"),
        ("no-such-program", "/usr/bin/*"),
    ],
)
def test_not_allowed(program: str, patterns: str) -> None:
    assert not allowed(program, split([patterns]))


def test_a_program_on_the_workers_path_is_allowed_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert not allowed(str(tool), ["tool"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert allowed(str(tool), ["tool"])
    assert allowed("tool", [f"{tmp_path}/*"])
    assert located("tool", "/") == (str(tool), "")


def test_what_is_wrong_with_a_program_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "plain").chmod(0o644)
    assert located(str(tmp_path / "plain"), "/")[0] is None
    assert "is not executable" in located(str(tmp_path / "plain"), "/")[1]
    assert "No such file" in located(str(tmp_path / "gone"), "/")[1]
    assert located(str(tmp_path), "/")[0] is None
    assert located("bin/tool", "/space") == ("/space/bin/tool", "")


# -- aside ------------------------------------------------------------------------------------------------------------
def wait_for(asides: Asides, selector: selectors.BaseSelector, answers: list[Answer]) -> Answer:
    deadline = time.monotonic() + 20
    while not answers:
        assert time.monotonic() < deadline, "no answer came"
        for key, _ in selector.select(0.05):
            key.data()
        asides.tick(time.monotonic())
    return answers[0]


def fails() -> None:
    raise Unfit("E214", "it is not there")


def breaks() -> None:
    Path("/nowhere/at/all").read_text()


@pytest.mark.parametrize(
    "work, value, code, text",
    [
        (lambda: ["x" * 200_000, 1], ["x" * 200_000, 1], None, None),
        (fails, None, "E214", "it is not there"),
        (breaks, None, "E000", "No such file or directory: /nowhere/at/all"),
        (lambda: os.kill(os.getpid(), 9), None, None, None),
    ],
)
def test_work_is_done_in_another_process(work: Any, value: Any, code: str | None, text: str | None) -> None:
    selector, answers = selectors.DefaultSelector(), list[Answer]()
    asides = Asides(selector)
    asides.start(work, answers.append)
    answer = wait_for(asides, selector, answers)
    assert answer.value == value
    assert (answer.problem.code if answer.problem else None) == code
    assert (str(answer.problem) if answer.problem else None) == text


def test_work_that_hangs_is_given_up(tmp_path: Path) -> None:
    """As the look at a mount does whose server is gone."""
    selector, answers = selectors.DefaultSelector(), list[Answer]()
    asides = Asides(selector)
    aside = asides.start(lambda: time.sleep(600), answers.append, 0.2)
    answer = wait_for(asides, selector, answers)
    assert (answer.value, answer.problem) == (None, None)
    deadline = time.monotonic() + 20
    while asides.pids:
        assert time.monotonic() < deadline
        asides.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(aside.pid, 0)
