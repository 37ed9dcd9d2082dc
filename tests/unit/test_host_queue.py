"""Queues of one host: their names, and whose a queue is."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from packhorse import Queue
from packhorse._host_queue import filled, host_of, host_word
from packhorse.errors import BadName
from packhorse.testing import memory


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "web-2.example.org")


@pytest.mark.parametrize(
    "host, word",
    [("web-2", "web-2"), ("web-2.example.org", "web-2"), ("büro 1", "b-ro-1"), ("w" * 300, "w" * 100), ("a_b", "a_b")],
)
def test_a_host_s_name_as_it_stands_in_a_queue_s(host: str, word: str) -> None:
    assert host_word(host) == word


def test_the_name_is_filled() -> None:
    assert (filled("host.%h"), filled("%h"), filled("mail")) == ("host.web-2", "web-2", "mail")


def test_the_queue_of_this_host() -> None:
    assert (Queue.here().name, Queue.here("disk:").name) == ("host.web-2", "disk:web-2")
    with pytest.raises(BadName, match=r"Queue\.here"):
        Queue.here("with space")
    with memory() as store:
        job = Queue.here(priority=3).enqueue(four)
        assert (job.queue, job.refresh().priority) == ("host.web-2", 3)
        assert [each.id for each in store.run()] == [job.id]


def four() -> int:
    return 4


SERVED = [("web-1.example.org", ["mail", "disk:web-1"]), ("web-2", ["mail"]), ("mail", ["bulk.mail"])]


@pytest.mark.parametrize(
    "queue, served, found",
    [
        ("host.web-2", [], ("host.", "web-2")),
        ("host.", [], None),
        ("disk:web-2", SERVED, ("disk:", "web-2")),
        ("disk:web-2", [], None),
        ("disk:web-3", SERVED, None),
        ("mail", SERVED, None),
        ("bulk.news", SERVED, None),
    ],
)
def test_whose_a_queue_is(
    queue: str, served: Sequence[tuple[str, Sequence[str]]], found: tuple[str, str] | None
) -> None:
    assert host_of(queue, served) == found
