"""Every example of the README and the docs is executed, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs import books
from tests.docs.pages import DISGUISES, EXECUTED, PAGES, ROOT, Block, anchors, blocks, links, stand_ins
from tests.docs.shell import Shell, commands, missing

#: How many examples are shown but not executed, each with its reason beside it. Raise it knowingly.
NOT_EXECUTED = 1

#: What must be true, besides what a page shows, when all of it has been executed in a directory.
AFTERWARDS = {"without-python": books.check}

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    session = Shell(tmp_path)
    yield session
    session.close()


@by_page
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_examples_of_a_page_do_what_it_says(page: Path, shell: Shell) -> None:
    servers = {url: real_server(url) for url in stand_ins(page)}
    for number, block in enumerate(with_servers(block, servers) for block in blocks(page)):
        if "title" in block.options:
            write(block, shell.directory)
        elif block.skipped is None and block.language == "console":
            run_console(block, shell)
        elif block.skipped is None and block.language == "python":
            run_python(block, shell, number)
    AFTERWARDS.get(page.stem, lambda directory: None)(shell.directory)


def real_server(url: str) -> str:
    """Return the URL of an empty database of the kind that a page names."""
    from tests.servers import postgres, redis

    return postgres.fresh_url() if url.startswith("postgres") else redis.fresh_url()


def with_servers(block: Block, servers: dict[str, str]) -> Block:
    """Put real servers in the place of those a page names. Longest first: one may be the beginning of another."""
    text = block.text
    for url in sorted(servers, key=len, reverse=True):
        text = text.replace(url, servers[url])
    return replace(block, text=text)


def write(block: Block, directory: Path) -> None:
    target = directory / block.options["title"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.text, encoding="utf-8")


def run_console(block: Block, shell: Shell) -> None:
    asked = commands(block.text)
    for position, (command, expected) in enumerate(asked, 1):
        status, output = shell.run(command)
        wanted = int(block.options.get("exit", 0)) if position == len(asked) else 0
        assert status == wanted, f"{block.where}: $ {command}\n{output}"
        assert missing(expected, output) == [], f"{block.where}: $ {command}\n{output}"


def run_python(block: Block, shell: Shell, number: int) -> None:
    (shell.directory / f"example_{number}.py").write_text(block.text, encoding="utf-8")
    status, output = shell.run(f"python example_{number}.py")
    error = block.options.get("raises")
    assert (status != 0) == (error is not None), f"{block.where}\n{output}"
    assert error is None or error in output, f"{block.where}\n{output}"


@by_page
def test_no_example_hides_from_the_runner(page: Path) -> None:
    hidden = [block.where for block in blocks(page) if block.language in DISGUISES]
    assert hidden == [], f"name the language one of {sorted(EXECUTED)}; other names are shown, but not executed"


@by_page
def test_every_server_that_is_replaced_is_in_an_example(page: Path) -> None:
    shown = "".join(block.text for block in blocks(page))
    assert [url for url in stand_ins(page) if url not in shown] == []


def test_what_is_not_executed_says_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page) if block.skipped is not None]
    assert [block.where for block in skipped if len(block.skipped.split()) < 3] == []
    assert len(skipped) == NOT_EXECUTED, [block.where for block in skipped]


@pytest.mark.parametrize("page", sorted({*PAGES, *ROOT.glob("*.md")}), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not re.match(r"[a-z]+:", link) and not leads(page, link)]
    assert broken == []


def leads(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        todo += [
            (page.parent / link.partition("#")[0]).resolve() for link in links(page) if not re.match(r"[a-z]+:", link)
        ]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


def test_expected_output_is_compared_loosely_but_compared() -> None:
    output = "packhorse 0.1.0  store sqlite\n5   add(2, 3)   waited 1.4 s, ran 4 ms at 00:01:02   1f2e3d4c\n"
    assert missing(["packhorse 9.9.9 store …", "5 add(2, 3) waited 11 ms, ran 0 ms at 23:59:59 aaaaaaa1"], output) == []
    assert missing(["6 add(2, 3) …"], output) == ["6 add(2, 3) …"]
    assert missing(["5 add(2, 3)"], output) == ["5 add(2, 3)"]
    assert missing(["5 add(2, 3) …", "packhorse …"], output) == ["packhorse …"]
