"""Arguments and results as text: the same value back, or a refusal that names the place."""

import json
import math
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packhorse._codec import PLAIN, Codec
from packhorse._record import PAYLOAD_LIMIT
from packhorse.errors import BadOption, NotSerialisable, PayloadTooLarge

BERLIN = ZoneInfo("Europe/Berlin")

TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
TAGGED = (
    st.binary(max_size=20)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC, BERLIN, timezone(timedelta(hours=-3, minutes=-30, seconds=-7))]))
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.complex_numbers(allow_nan=False, allow_infinity=False)
    | TEXT.filter(lambda text: "\0" not in text).map(Path)
)


def keys() -> st.SearchStrategy[str]:
    return st.one_of(
        st.text(max_size=8), st.sampled_from(["$", "$date", "$set", "$str", "$tuple", "$app:Money", "a$", "__class__"])
    )


VALUES = st.recursive(
    SCALARS | TAGGED,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys(), inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(SCALARS, max_size=4)
        | st.frozensets(SCALARS | TAGGED, max_size=4)
    ),
    max_leaves=12,
)


def exactly(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down; sets compare by their elements' types and values too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(exactly, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(exactly(a[key], b[key]) for key in a)
    if isinstance(a, (set, frozenset)):
        return {(type(x), x) for x in a} == {(type(x), x) for x in b}
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b and repr(a) == repr(b)) if isinstance(a, Decimal | datetime | str) else bool(a == b)


def call(*args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    return PLAIN.decode_call(PLAIN.encode_call(args, kwargs, "f"))


def encoded(encode: Callable[..., str], *args: Any) -> str | None:
    """Encode, or return None for the one thing above that JSON cannot say: two halves of a character in a key."""
    try:
        return encode(*args)
    except NotSerialisable as error:
        if "two halves" not in str(error):
            raise
        return None


@settings(max_examples=200)
@given(st.lists(VALUES, max_size=3), st.dictionaries(keys(), VALUES, max_size=3))
@example(["\ud83d\ude00", "\ud83d", "\ude00\ud83d", "\0", "😀", "שלום\u202e"], {})
@example([2**63 + 1, -(2**200), 10**4300 - 1, -0.0, 5e-324], {})
@example([{"$date": "2026-01-01"}, {"$": {"$": 1}}, {"$str": ["a"]}], {"$date": "x"})
@example([datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), datetime(2026, 10, 25, 2, 30, fold=1)], {})  # noqa: DTZ001
@example([datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN)], {})
def test_every_value_comes_back_the_same_or_is_refused(args: list[Any], kwargs: dict[str, Any]) -> None:
    text = encoded(PLAIN.encode_call, tuple(args), kwargs, "f")
    if text is None:
        return
    assert text.isascii()
    assert json.loads(text)
    back_args, back_kwargs = PLAIN.decode_call(text)
    assert exactly(args, back_args), (args, back_args)
    assert exactly(kwargs, back_kwargs)


@given(VALUES)
def test_a_result_comes_back_the_same_or_is_refused(value: Any) -> None:
    text = encoded(PLAIN.encode_value, value, "the result")
    if text is None:
        return
    assert exactly(value, PLAIN.decode_value(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(keys(), inner),
        max_leaves=20,
    )
)
def test_stored_text_from_anybody_is_read_or_refused_and_nothing_else(data: Any) -> None:
    for text in (json.dumps(data), json.dumps([[data], {"k": data}])):
        for read in (PLAIN.decode_call, PLAIN.decode_value):
            try:
                read(text)
            except NotSerialisable:
                continue


@given(st.text())
def test_text_that_is_no_json_is_refused(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(NotSerialisable):
            PLAIN.decode_call(text)


@pytest.mark.parametrize(
    "text", ["", "1", "{}", "[]", "[1,2]", "[[],[]]", "[[],{},1]", "null", '"ab"', "[[NaN],{}]", "[[1e999999]"]
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(NotSerialisable):
        PLAIN.decode_call(text)


def test_the_form_is_plain_json_for_plain_data() -> None:
    assert PLAIN.encode_call((1, "é", None, [True, {"a": 1.5}]), {"b": "x"}, "f") == (
        '[[1,"\\u00e9",null,[true,{"a":1.5}]],{"b":"x"}]'
    )


@pytest.mark.parametrize(
    "value, text",
    [
        (datetime(2026, 11, 20, 23, 0, tzinfo=UTC), '{"$datetime":"2026-11-20T23:00:00+00:00"}'),
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), '{"$datetime":"2026-10-25T02:30:00+02:00[Europe/Berlin]"}'),
        (date(2026, 11, 20), '{"$date":"2026-11-20"}'),
        (time(12, 30), '{"$time":"12:30:00"}'),
        (timedelta(days=1, seconds=2), '{"$timedelta":[1,2,0]}'),
        (UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        (Decimal("1.10"), '{"$decimal":"1.10"}'),
        (b"\xff", '{"$bytes":"/w=="}'),
        ((1, 2), '{"$tuple":[1,2]}'),
        ({2, 1}, '{"$set":[1,2]}'),
        (frozenset("a"), '{"$frozenset":["a"]}'),
        (Path("/a/b"), '{"$path":"/a/b"}'),
        (1 + 2j, '{"$complex":[1.0,2.0]}'),
        ({"$date": "x"}, '{"$":{"$date":"x"}}'),
    ],
)
def test_tags_are_a_stored_format_and_never_change(value: Any, text: str) -> None:
    assert PLAIN.encode_value(value, "v") == text
    assert exactly(PLAIN.decode_value(text), value)


def test_a_set_has_the_same_text_whatever_its_order() -> None:
    words = [f"w{n}" for n in range(50)]
    assert PLAIN.encode_value(set(words), "v") == PLAIN.encode_value({*words[25:], *words[:25]}, "v")


class Zone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)


def endless() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value, words",
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        ({"a": [-math.inf]}, "-inf"),
        (Decimal("NaN"), "NaN"),
        (complex(math.inf, 0), "inf"),
        (10**4300, "4,300 digits"),
        (threading.Lock(), "_thread.lock"),
        (object(), "object"),
        (int, "type"),
        (len, "builtin_function_or_method"),
        ((n for n in range(3)), "generator"),
        (bytearray(b"x"), "bytearray"),
        (OrderedDict(a=1), "not just a dict"),
        (defaultdict(int), "not just a dict"),
        ({1: 2}, "keys must be str"),
        ({None: 2}, "keys must be str"),
        (datetime(2026, 1, 1, tzinfo=Zone()), "time zone"),
        (time(1, tzinfo=BERLIN), "time zone"),
        (endless(), "64"),
        (deep(65), "64"),
        (deep(10_000), "64"),
        ({"\ud83d\ude00": 1, "a": ()}, "two halves"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused(value: Any, words: str) -> None:
    with pytest.raises(NotSerialisable, match=r"\[E120\]") as caught:
        PLAIN.encode_call((value,), {}, "f")
    assert words in str(caught.value)
    with pytest.raises(NotSerialisable):
        PLAIN.encode_value(value, "the result")


@pytest.mark.parametrize(
    "text",
    [
        "[[" + "[" * 500 + '"$"' + "]" * 500 + "],{}]",
        "[[" + '{"$":{"$":' * 200 + "1" + "}}" * 200 + "],{}]",
        "[[" + "[" * 100_000 + "]" * 100_000 + "],{}]",
    ],
    ids=["lists", "tags", "very"],
)
def test_stored_data_that_is_too_deep_is_refused(text: str) -> None:
    with pytest.raises(NotSerialisable):
        PLAIN.decode_call(text)


def test_sixty_four_levels_are_stored() -> None:
    tuples: Any = ()
    boxes: Any = {}
    for _ in range(63):
        tuples, boxes = (tuples,), {"$x": boxes}
    assert call(tuples, boxes) == ([tuples, boxes], {})
    assert call(deep(64)) == ([deep(64)], {})
    assert call((deep(63),)) == ([(deep(63),)], {})


def send_mail(to: str, user: Any, *more: Any, **options: Any) -> None: ...


def test_the_message_names_the_argument_and_the_way_out() -> None:
    with pytest.raises(NotSerialisable) as caught:
        PLAIN.encode_call(("ada", {"lock": threading.Lock()}), {}, "tasks:send_mail", send_mail)
    assert str(caught.value) == (
        "send_mail(…) argument 2, 'user['lock']', is a _thread.lock; jobs carry JSON data, not live objects. Nothing "
        "stored.\n  Pass an id and load it in the job:  enqueue(send_mail, …, user_id=user.id)  [E120]"
    )


@pytest.mark.parametrize(
    "args, kwargs, place",
    [
        ((object(),), {}, "argument 1, 'to', is"),
        (("a", [1, object()]), {}, "argument 2, 'user[1]', is"),
        (("a", "b", object()), {}, "argument 3 is"),
        (("a",), {"user": object()}, "argument 'user' is"),
        (("a",), {"user": {"a": {"b": (1, object())}}}, "argument 'user', 'user['a']['b'][1]', is"),
        (("a", "b"), {"other": {"x": object()}}, "argument 'other', 'other['x']', is"),
    ],
)
def test_the_message_names_the_path(args: tuple[Any, ...], kwargs: dict[str, Any], place: str) -> None:
    with pytest.raises(NotSerialisable) as caught:
        PLAIN.encode_call(args, kwargs, "send_mail", send_mail)
    assert f"send_mail(…) {place} an object" in str(caught.value)


def test_a_call_over_a_mebibyte_is_refused() -> None:
    room = PAYLOAD_LIMIT - len('[[""],{}]')
    assert len(PLAIN.encode_call(("x" * room,), {}, "f")) == PAYLOAD_LIMIT
    with pytest.raises(PayloadTooLarge, match=r"(?s)1,048,577 bytes.*\[E126\]"):
        PLAIN.encode_call(("x" * (room + 1),), {}, "f")
    with pytest.raises(PayloadTooLarge):
        PLAIN.encode_value(b"x" * PAYLOAD_LIMIT, "the result")


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
def test_sizes_below_are_stored(size: int) -> None:
    assert call("x" * size, b"y" * size) == (["x" * size, b"y" * size], {})


class Row:
    __mapper__ = object()


class Model:
    _meta = object()
    pk = 1


@pytest.mark.parametrize("row", [Row(), Model()])
def test_rows_of_a_database_are_refused_with_the_way_out(row: object) -> None:
    with pytest.raises(NotSerialisable, match=r"user\.(pk|id)"):
        PLAIN.encode_call((row,), {}, "f")


# -- types of an App --


class Money:
    def __init__(self, cents: int, currency: str) -> None:
        self.cents = cents
        self.currency = currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Euro(Money): ...


class Opaque:
    """Knows no equality."""

    def __init__(self, text: str) -> None:
        self.text = text


CODEC = Codec(
    {
        Money: (lambda money: [money.cents, money.currency], lambda data: Money(*data)),
        Opaque: (lambda opaque: opaque.text, Opaque),
        datetime: (lambda value: value.isoformat(), datetime.fromisoformat),
    }
)


def test_an_apps_own_types_travel() -> None:
    text = CODEC.encode_call((Money(5, "EUR"), [Money(6, "USD")]), {"m": {"x": Money(7, "CHF")}}, "f")
    assert CODEC.decode_call(text) == ([Money(5, "EUR"), [Money(6, "USD")]], {"m": {"x": Money(7, "CHF")}})
    assert CODEC.decode_value(CODEC.encode_value(Opaque("x"), "r")).text == "x"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert CODEC.encode_value(now, "r") == '{"$datetime:datetime":"2026-01-01T00:00:00+00:00"}'
    assert CODEC.decode_value(CODEC.encode_value(now, "r")) == now


def test_a_subclass_of_an_apps_type_is_not_that_type() -> None:
    with pytest.raises(NotSerialisable, match="Euro"):
        CODEC.encode_call((Euro(5, "EUR"),), {}, "f")


def test_an_app_without_the_type_says_so() -> None:
    text = CODEC.encode_value(Money(5, "EUR"), "r")
    with pytest.raises(NotSerialisable, match="Money"):
        PLAIN.decode_value(text)


def test_own_types_that_do_not_come_back_are_refused() -> None:
    lossy = Codec({Money: (lambda money: money.cents, lambda cents: Money(cents + 1, "EUR"))})
    with pytest.raises(NotSerialisable, match="comes back as"):
        lossy.encode_value(Money(5, "EUR"), "r")
    broken = Codec({Money: (lambda money: money.nothing, Money)})
    with pytest.raises(NotSerialisable, match="AttributeError"):
        broken.encode_value(Money(5, "EUR"), "r")
    itself = Codec({Money: (lambda money: money, Money)})
    with pytest.raises(NotSerialisable, match=r"its own encode\(\) returns"):
        itself.encode_value(Money(5, "EUR"), "r")


@pytest.mark.parametrize(
    "types", [{Money: str}, {Money: (str,)}, {"Money": (str, str)}, {Money: (1, 2)}, {str: (str, str)}]
)
def test_types_must_be_pairs_of_functions(types: Any) -> None:
    with pytest.raises(BadOption, match=r"types="):
        Codec(types)


# -- nothing becomes code --

GADGETS = [
    '{"$os:system": "true"}',
    '{"$builtins:eval": "1"}',
    '{"__reduce__": ["os.system", ["true"]]}',
    '{"py/object": "os.system"}',
    '{"$type": "System.Diagnostics.Process"}',
    '{"$path": {"a": 1}}',
    '{"$complex": ["__import__", 1]}',
    '{"$timedelta": "99999999999999"}',
    '{"$datetime": "2026-01-01T00:00:00+00:00[../../etc/passwd]"}',
    '{"$bytes": "not base64"}',
    '{"$set": [[1]]}',
    '{"$": 5}',
    '{"$str": 5}',
    '{"$decimal": "x"}',
    '{"$uuid": 7}',
]


@pytest.mark.parametrize("gadget", GADGETS)
def test_a_payload_never_names_code(gadget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr("builtins.__import__", lambda name, *rest: imported.append(name))
    try:
        value = PLAIN.decode_call(f"[[{gadget}],{{}}]")
    except NotSerialisable:
        value = ([json.loads(gadget)], {})
    finally:
        monkeypatch.undo()
    assert set(imported) <= {"decimal", "pathlib", "uuid", "zoneinfo"}  # where the closed set of tags comes from
    assert value == ([json.loads(gadget)], {})
