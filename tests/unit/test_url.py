"""A store's URL: taken apart, checked, and shown without its password."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse._settings import Settings, resolve
from packhorse._stores import SCHEMES, open_store
from packhorse._url import StoreUrl, driver_of, kind_of, mask, parse, remedy, scheme_of
from packhorse.errors import ConfigError, PackhorseError


# -- taking apart -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url, user, password, hosts, path",
    [
        ("redis://", None, None, (), ""),
        ("redis://h", None, None, (("h", None),), ""),
        ("redis://:pw@h:6380/3", None, "pw", (("h", 6380),), "3"),
        ("redis://u:p%40w@h", "u", "p@w", (("h", None),), ""),
        ("redis://u:p@w/x@h/1", "u", "p@w/x", (("h", None),), "1"),
        ("redis://u:a:b@h", "u", "a:b", (("h", None),), ""),
        ("postgresql://u@h:5432/shop%20db", "u", None, (("h", 5432),), "shop db"),
        ("postgresql://u:@h/db", "u", "", (("h", None),), "db"),
        ("postgresql:///db", None, None, (), "db"),
        ("postgresql://a:5432,b:5433,c/db", None, None, (("a", 5432), ("b", 5433), ("c", None)), "db"),
        ("postgresql://[::1]:5432,[fe80::1]/db", None, None, (("::1", 5432), ("fe80::1", None)), "db"),
        ("postgresql://%2Fvar%2Frun/db", None, None, (("/var/run", None),), "db"),
        ("unix:///run/redis.sock", None, None, (), "run/redis.sock"),
        ("unix://:pw@/run/redis.sock", None, "pw", (), "run/redis.sock"),
    ],
)
def test_the_parts_of_a_url(
    url: str, user: str | None, password: str | None, hosts: tuple[tuple[str, int | None], ...], path: str
) -> None:
    found = parse(url)
    assert (found.user, found.password, found.hosts, found.path) == (user, password, hosts, path)


def test_scheme_driver_and_options() -> None:
    found = parse("PostgreSQL+psycopg://h/db?schema=jobs&pooler=1&connect_timeout=2.5&empty=")
    assert found.scheme == "postgresql"
    assert dict(found.options) == {"schema": "jobs", "pooler": "1", "connect_timeout": "2.5", "empty": ""}
    assert found.flag("pooler")
    assert not found.flag("other")
    assert not found.flag("empty")
    assert found.seconds("connect_timeout", 3.0) == 2.5
    assert found.seconds("other", 3.0) == 3.0
    assert found.one_of("schema", ("jobs", "work"), "work") == "jobs"
    assert driver_of("postgresql+psycopg://h") == "psycopg"
    assert driver_of("postgresql://h") == driver_of("no+url") == ""


@pytest.mark.parametrize(
    "options, ask, says",
    [
        ("pooler=maybe", lambda url: url.flag("pooler"), "pooler='maybe' is 1 or 0"),
        ("t=soon", lambda url: url.seconds("t", 1), "t='soon' is a number of seconds above 0"),
        ("t=0", lambda url: url.seconds("t", 1), "above 0"),
        ("t=-1", lambda url: url.seconds("t", 1), "above 0"),
        ("t=nan", lambda url: url.seconds("t", 1), "above 0"),
        ("t=inf", lambda url: url.seconds("t", 1), "above 0"),
        ("m=c", lambda url: url.one_of("m", ("b", "a"), "a"), "m='c' is one of a, b"),
        ("shcema=x", lambda url: url.only(("schema", "pooler")), "unknown option 'shcema'"),
        ("shcema=x", lambda url: url.only(("schema", "pooler")), "Did you mean 'schema'"),
        ("zzz=x", lambda url: url.only(("schema", "pooler")), "There are: pooler, schema"),
        ("token=hunter2", lambda url: url.flag("token"), "token=***"),
    ],
)
def test_an_option_that_is_wrong_is_told_and_nothing_secret_with_it(options, ask, says) -> None:
    url = parse(f"redis://u:hunter2@h/0?{options}")
    with pytest.raises(ConfigError) as caught:
        ask(url)
    assert says in str(caught.value)
    assert "redis://u:***@h/0" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://h:port", "redis://h:99999", "redis://h:1:2", "redis://[::1", "redis://::1"])
def test_a_port_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="host:6379"):
        parse(url)


def test_a_question_mark_in_a_password_has_to_be_escaped() -> None:
    with pytest.raises(ConfigError, match="%3F") as caught:
        parse("redis://u:hunt?er2@h/0")
    assert "hunt" not in str(caught.value)
    assert "er2" not in str(caught.value)
    assert parse("redis://u:hunt%3Fer2@h/0").password == "hunt?er2"


# -- showing ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url, shown",
    [
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("postgres://u:se@cret@h/db", "postgres://u:***@h/db"),
        ("postgres://u:sec/ret@h/db", "postgres://u:***@h/db"),
        ("postgres://u:sec?ret@h/db", "postgres://u:***@h/db"),
        ("postgres://u:se#cret@h/db", "postgres://u:***@h/db"),
        ("postgres://u@h/db", "postgres://u@h/db"),
        ("postgres://h:5432/db", "postgres://h:5432/db"),
        ("postgres://a:1,b:2,[::1]:3/db?schema=x", "postgres://a:1,b:2,[::1]:3/db?schema=x"),
        ("postgres://h/db?password=secret&x=1", "postgres://h/db?password=***&x=1"),
        ("postgres://h/db?PassWord=secret", "postgres://h/db?PassWord=***"),
        ("postgres://h/db?pass%77ord=secret", "postgres://h/db?pass%77ord=***"),
        ("postgres://h/db?password_file=/run/pw", "postgres://h/db?password_file=/run/pw"),
        ("redis://:secret", "redis://:***"),
        ("redis://u:secret/0", "redis://u:***"),
        (":secret@h:6379", ":***@h:6379"),
        ("sqlite:////var/lib/jobs.db", "sqlite:////var/lib/jobs.db"),
        ("sqlite:////var/a:b@c/jobs.db", "sqlite:////var/a:b@c/jobs.db"),
        ("no url", "no url"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask(url) == shown


#: Passwords in which no piece that is looked for could be a part of something else.
PASSWORDS = st.text(st.sampled_from("ZQXÄß" + string.punctuation + " "), min_size=1, max_size=12).map(
    lambda text: f"ZQ{text}QZ"
)
WRITTEN = st.sampled_from(["redis", "rediss", "valkey", "postgresql", "postgres+psycopg", "mysql", "sqllite", ""])
RESTS = st.sampled_from(
    ["h", "h:1/0", "h/db?schema=x", "[::1]:99/db", "a:1,b:2/db", "", "h:bad/x", "h?nonsense=1", "h:99999"]
)


def said_of(url: str) -> list[str]:
    """Return everything this package says when it meets a URL."""
    said = [mask(url), remedy(url), kind_of(url)]
    meets = [parse, lambda url: resolve(url, environ={}, cwd="/")]
    if scheme_of(url) not in SCHEMES:
        meets.append(open_store)
    for meet in meets:
        try:
            found = meet(url)
        except PackhorseError as error:
            said += [str(error), repr(error)]
        else:
            said += [repr(found), *(str(item) for item in getattr(found, "items", list)())]
    return said


@given(WRITTEN, PASSWORDS, RESTS, st.booleans())
def test_no_password_survives_in_anything_that_is_shown(scheme: str, password: str, rest: str, escaped: bool) -> None:
    written = quote(password, safe="") if escaped else password
    url = f"{scheme}://u:{written}@{rest}" if scheme else f"u:{written}@{rest}"
    for text in said_of(url):
        assert password not in text, text
        assert "ZQ" not in text, text


@given(PASSWORDS, st.sampled_from(["password", "Token", "sslpassword"]))
def test_no_secret_option_survives(password: str, option: str) -> None:
    url = f"postgresql://u@h/db?{option}={quote(password, safe='')}&schema=s"
    assert "ZQ" not in mask(url)
    assert "ZQ" not in repr(parse(url))


def test_what_a_driver_says_is_scrubbed() -> None:
    url = parse("redis://u:p%2Fw'd@h?sslpassword=ke%20y")
    said = url.scrub("AUTH u p/w'd failed, p%2Fw'd, 'p/w\\'d', key ke y or ke+y or ke%20y")
    assert "p/w" not in said
    assert "p%2Fw" not in said
    assert "ke y" not in said
    assert "ke+y" not in said
    assert "ke%20y" not in said
    assert parse("redis://h").scrub("untouched") == "untouched"


def test_what_holds_a_url_shows_it_masked() -> None:
    url = "redis://u:hunter2@h/0"
    settings = resolve(url, environ={}, cwd="/")
    assert isinstance(settings, Settings)
    assert settings.url == url
    for thing in (parse(url), settings, settings.items()):
        assert "hunter2" not in repr(thing)
        assert "hunter2" not in str(thing)
    assert isinstance(parse(url), StoreUrl)


# -- what to do -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url, line",
    [
        ("redis://:pw@10.0.0.5:6379/0", "redis-cli -h 10.0.0.5 ping"),
        ("redis://h:6380", "redis-cli -h h -p 6380 ping"),
        ("redis://", "redis-cli -h localhost ping"),
        ("rediss://u:pw@h", "redis-cli --tls -h h ping"),
        ("unix:///run/redis.sock", "redis-cli -s /run/redis.sock ping"),
        ("postgresql://u:pw@h:5433/db", "pg_isready -h h -p 5433 -d db"),
        ("postgresql:///db", "pg_isready -d db"),
        ("postgresql+psycopg://", "pg_isready"),
        ("sqlite:////var/lib/jobs.db?synchronous=normal", "ls -l /var/lib/jobs.db"),
        ("redis://h:bad", "packhorse config"),
    ],
)
def test_the_line_that_shows_whether_a_store_can_be_reached(url: str, line: str) -> None:
    assert remedy(url) == line


@pytest.mark.parametrize(
    "url, kind",
    [
        ("postgres://h", "PostgreSQL"),
        ("postgresql+asyncpg://h", "PostgreSQL"),
        ("unix:///s", "Redis"),
        ("rediss://h", "Redis"),
        ("valkey://h", "Valkey"),
        ("sqlite:///x", "SQLite"),
        ("memory://", "memory"),
    ],
)
def test_kinds(url: str, kind: str) -> None:
    assert kind_of(url) == kind
