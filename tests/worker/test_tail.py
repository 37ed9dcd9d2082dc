"""The newest of what a job prints."""

from hypothesis import given
from hypothesis import strategies as st

from packhorse._capture import Tail
from packhorse._record import LOG_LIMIT


@given(st.lists(st.integers(0, LOG_LIMIT // 3), max_size=20))
def test_the_newest_is_kept_and_the_rest_counted(sizes: list[int]) -> None:
    whole = "".join(chr(97 + n % 26) * size for n, size in enumerate(sizes))
    tail, at = Tail(), 0
    for size in sizes:
        tail.add(whole[at : at + size])
        at += size
    assert tail.text() == whole[-LOG_LIMIT:] if whole else tail.text() == ""
    assert tail.dropped == max(0, len(whole) - LOG_LIMIT)
    assert tail.seen == len(whole)


def test_one_text_larger_than_all_that_is_kept() -> None:
    tail = Tail()
    tail.add("a" * 10)
    tail.add("b" * LOG_LIMIT + "c")
    assert tail.text() == "b" * (LOG_LIMIT - 1) + "c"
    assert tail.dropped == 11


def test_reading_it_changes_nothing() -> None:
    tail = Tail()
    tail.add("one ")
    assert tail.text() == "one "
    tail.add("two")
    assert tail.text() == tail.text() == "one two"
