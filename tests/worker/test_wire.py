"""How supervisor and child talk, byte by byte."""

from __future__ import annotations

import os
import threading

import pytest

from packhorse._wire import FrameReader, LineBuffer, frame, line, write_all


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
