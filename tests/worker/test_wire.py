"""How supervisor and child talk, byte by byte."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from packhorse._record import Claimed
from packhorse._wire import FrameReader, LineBuffer, frame, jobs_frame, line, write_all

USUAL = Claimed(
    id="0190e6a4-0000-7000-8000-000000000000", token="t" * 32, task="tasks:add", queue="default", payload="[[1],{}]",
    options=None, crash_fails=False, suspect=False, failures=0, crashes=0, losses=0, snoozes=0, generation=0, fence=7,
    priority=-3, created_at=5, scheduled_at=None, tags=None, meta=None, by='{"user": "ada"}', parent=None, error=None,
)  # fmt: skip


def sent(jobs: list[Claimed]) -> list[Claimed]:
    """Return jobs as they arrive at the other end."""
    reading, writing = os.pipe()
    write_all(writing, jobs_frame(3, jobs))
    kind, (first, rows) = FrameReader(reading).read()
    os.close(writing)
    os.close(reading)
    assert (kind, first) == ("jobs", 3)
    return [Claimed._make(row) for row in rows]


@pytest.mark.parametrize(
    "changed",
    [{}, {"options": "{}"}, {"crash_fails": True}, {"suspect": True}, {"failures": 1}, {"crashes": 1}, {"losses": 1},
     {"snoozes": 1}, {"generation": 1}, {"scheduled_at": 9}, {"tags": "[]"}, {"meta": "{}"}, {"parent": "p"},
     {"error": "{}"}, {"holds": '[["x","a"]]'}, {"flow": "import 7"}, {"token": "u" * 32}],
    ids=str,
)  # fmt: skip
def test_all_of_a_job_arrives_but_who_enqueued_it(changed: dict[str, Any]) -> None:
    jobs = [USUAL, USUAL._replace(**changed)]
    assert sent(jobs) == [each._replace(by=None) for each in jobs]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_lines_come_whole_however_they_arrive(size: int) -> None:
    lines = [b"1 2 3", b"", b"x" * 5000, line("log", 1, "ä\n\u2028")[:-1], b"last"]
    data = b"".join(each + b"\n" for each in lines)
    buffer = LineBuffer()
    found = [text for at in range(0, len(data), size) for text in buffer.feed(data[at : at + size])]
    assert [text for text in found if text] == [text for text in lines if text]


def test_an_unfinished_line_waits() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"12 3") == []
    assert buffer.feed(b"4 5\n6") == [b"12 34 5"]
    assert buffer.feed(b"\n") == [b"6"]


def test_a_line_is_one_line_whatever_it_tells() -> None:
    assert line("log", 3, "two\nlines\r\n").count(b"\n") == 1


def test_frames_come_whole_from_a_pipe() -> None:
    reading, writing = os.pipe()
    bodies = [["x" * n] for n in (0, 1, 70_000, 3)]

    def write() -> None:
        write_all(writing, b"".join(frame("jobs", body) for body in bodies))
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    reader = FrameReader(reading)
    assert [reader.read() for _ in bodies] == [("jobs", body) for body in bodies]
    with pytest.raises(EOFError):
        reader.read()
    thread.join()
    os.close(reading)


def test_a_frame_cut_off_by_a_death_is_no_frame() -> None:
    reading, writing = os.pipe()
    os.write(writing, frame("jobs", [1, 2])[:-1])
    os.close(writing)
    with pytest.raises(EOFError):
        FrameReader(reading).read()
    os.close(reading)
