"""Models are stored as plain data and rebuilt from the annotation of the parameter."""

import collections
import dataclasses
import enum
import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NewType, Optional, TypedDict, TypeVar

import pytest

from packhorse._codec import PLAIN
from packhorse._rebuild import Hints, function_hints, hints_of, result_annotation
from packhorse._signals import Retry, Snooze
from packhorse.errors import BadArguments, NotAnnotated, NotSerialisable

if typing.TYPE_CHECKING:
    from nowhere import Missing


class Color(enum.Enum):
    RED = "red"
    BLUE = ("b", 1)


class Size(enum.IntEnum):
    S = 1
    L = 3


class Word(enum.StrEnum):
    A = "a"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Address:
    street: str
    color: Color = Color.RED


@dataclass(frozen=True)
class Order:
    number: int
    when: date
    price: Decimal
    to: Address | None = None
    lines: list["Order"] = field(default_factory=list)
    tags: tuple[str, ...] = ()


class Point(NamedTuple):
    x: int
    y: Color | None = None


class Pair(NamedTuple):
    x: int
    y: int


@dataclass(eq=False)
class Plain:
    """Knows no equality of its own."""

    inner: Address


@dataclass
class Computed:
    a: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = self.a * 2


@dataclass
class Once:
    a: int
    secret: dataclasses.InitVar[int]

    def __post_init__(self, secret: int) -> None:
        self.a += secret


class Shape(TypedDict):
    color: Color
    name: str


Ident = NewType("Ident", Address)
Bound = TypeVar("Bound", bound=Address)
HOME = Address("Main St", Color.BLUE)
ORDER = Order(1, date(2026, 11, 20), Decimal("9.90"), HOME, [Order(2, date(2026, 1, 1), Decimal(1))], ("a", "b"))


def through(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    text = PLAIN.encode_call(args, kwargs, fn.__name__, fn)
    assert "Address" not in text  # no class is ever named by a payload
    assert "Color" not in text
    return PLAIN.decode_call(text, hints_of(fn))


def taking(annotation: Any) -> Callable[..., None]:
    def fn(value: Any) -> None: ...

    fn.__annotations__["value"] = annotation
    return fn


@pytest.mark.parametrize(
    "annotation, value",
    [
        (Color, Color.RED),
        (Color, Color.BLUE),
        (Size, Size.L),
        (Word, Word.A),
        (Right, Right.READ | Right.WRITE),
        (Address, HOME),
        (Order, ORDER),
        (Point, Point(1, Color.RED)),
        (Plain, Plain(HOME)),
        (Computed, Computed(2)),
        (Address | None, HOME),
        (Address | None, None),
        (Optional[Address], HOME),  # noqa: UP045
        (str | Address, "text"),
        (str | Address, HOME),
        (Address | Point, Point(1)),
        (int | Color | Address, Color.BLUE),
        (list[Address], [HOME, HOME]),
        (Sequence[Color], [Color.RED]),
        (Sequence[Color], (Color.RED,)),
        (dict[str, Address], {"a": HOME}),
        (Mapping[str, list[Color]], {"a": [Color.RED], "b": []}),
        (tuple[Address, ...], (HOME,)),
        (tuple[int, Color], (1, Color.BLUE)),
        (set[Color], {Color.RED}),
        (list[tuple[str, dict[str, Address | None]]], [("a", {"b": None, "c": HOME})]),
        (Annotated[Address, "note"], HOME),
        (Ident, HOME),
        (Bound, HOME),
        (Shape, {"color": Color.RED, "name": "x"}),
        (list[Shape], [{"color": Color.BLUE, "name": "x"}]),
    ],
    ids=str,
)
def test_a_model_is_rebuilt_from_the_annotation(annotation: Any, value: Any) -> None:
    fn = taking(annotation)
    for (back,), none in (through(fn, value), through(fn, value)):
        assert type(back) is type(value)
        assert none == {}
        assert back == value or vars(back) == vars(value)
    back = through(fn, value=value)[1]["value"]
    assert back == value or vars(back) == vars(value)
    text = PLAIN.encode_value(value, "the result", annotation)
    back = PLAIN.decode_value(text, annotation)
    assert back == value or vars(back) == vars(value)


def test_a_model_is_stored_as_plain_data() -> None:
    assert PLAIN.encode_call((HOME,), {}, "f", taking(Address)) == (
        '[[{"street":"Main St","color":{"$tuple":["b",1]}}],{}]'
    )
    assert PLAIN.encode_call((Point(1, Color.RED),), {}, "f", taking(Point)) == '[[[1,"red"]],{}]'


def many(first: int, *rest: Color, named: Address, **others: Point) -> None: ...


def test_parameters_of_every_kind_are_rebuilt() -> None:
    args, kwargs = through(many, 1, Color.RED, Color.BLUE, named=HOME, other=Point(3))
    assert args == [1, Color.RED, Color.BLUE]
    assert kwargs == {"named": HOME, "other": Point(3)}


class Home:
    @classmethod
    def move(cls, to: Address) -> None: ...


def test_class_methods_and_decorated_functions_have_the_annotations_of_what_they_wrap() -> None:
    @functools.wraps(many)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert through(Home.move, HOME) == ([HOME], {})
    assert through(wrapper, 1, Color.RED, named=HOME) == ([1, Color.RED], {"named": HOME})


def partly(good: Address, bad: "Missing") -> None: ...


def test_one_annotation_that_cannot_be_resolved_spoils_no_other() -> None:
    assert through(partly, HOME, 1) == ([HOME, 1], {})
    with pytest.raises(NotAnnotated, match=r"'Missing': NameError"):
        PLAIN.encode_call((HOME, HOME), {}, "partly", partly)
    assert set(function_hints(partly)[1]) == {"bad"}


def bare(value, count: int = 0):  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize("value", [HOME, Color.RED, Point(1), [HOME], {"a": {"b": Color.RED}}, (1, HOME)], ids=repr)
@pytest.mark.parametrize("fn", [bare, taking(Any), taking(list), taking(object), taking(int), None])
def test_without_an_annotation_it_is_refused(value: Any, fn: Any) -> None:
    with pytest.raises(NotAnnotated, match=r"Annotate it with .*\[E124\]"):
        PLAIN.encode_call((value,), {}, "bare", fn)
    with pytest.raises(NotAnnotated):
        PLAIN.encode_call((), {"value": value}, "bare", fn)


def test_the_message_says_what_where_and_what_to_do() -> None:
    with pytest.raises(NotAnnotated) as caught:
        PLAIN.encode_call((1, [0, HOME]), {}, "bare", lambda other, value: None)
    assert str(caught.value) == (
        "bare(…) argument 2, 'value[1]', is an Address (dataclass), which is rebuilt from the parameter's annotation, but "
        "'value' has no annotation that holds one. Nothing stored.\n"
        "  Annotate it with Address (list[Address], … for containers), or pass plain data.  [E124]"
    )


@pytest.mark.parametrize(
    "annotation, value",
    [
        (Address, Plain(HOME)),  # another class than the annotation's
        (Pair, Point(1, None)),
        (str | Word, Word.A),  # data already of a plain member stays as it is
        (list[Address], [HOME, Color.RED]),
        (tuple[Address, Any], (HOME, Color.RED)),
        (Once, Once(1, 2)),  # cannot be made from what it holds
        (frozenset[Point], frozenset({Point(1)})),  # what a set holds must be hashable before it is rebuilt
    ],
    ids=repr,
)
def test_what_would_come_back_different_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(NotSerialisable, match=r"comes back as|cannot be rebuilt"):
        PLAIN.encode_call((value,), {}, "f", taking(annotation))


@dataclass
class Broken:
    a: int

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


def test_hostile_models_are_refused_not_crashing() -> None:
    with pytest.raises(NotSerialisable):
        PLAIN.encode_call((Broken(1),), {}, "f", taking(Address))
    holder = Address("x")
    del holder.street
    with pytest.raises(NotSerialisable, match="AttributeError"):
        PLAIN.encode_call((holder,), {}, "f", taking(Address))


def test_an_object_inside_a_model_is_named_by_its_path() -> None:
    with pytest.raises(NotSerialisable, match=r"argument 1, 'value\.street\['a'\]', is an? object"):
        PLAIN.encode_call((Address({"a": object()}),), {}, "f", taking(Address))  # type: ignore[arg-type]


def test_named_tuples_without_fields_of_types_work() -> None:
    Old = collections.namedtuple("Old", "a b")
    assert through(taking(Old), Old(1, (2,))) == ([Old(1, (2,))], {})


def test_data_that_no_longer_fits_the_class_says_so() -> None:
    text = '[[{"street":"x","gone":1}],{}]'
    with pytest.raises(BadArguments, match=r"argument 'value' does not fit .*gone.*\[E121\]"):
        PLAIN.decode_call(text, hints_of(taking(Address)))
    with pytest.raises(BadArguments, match="not a valid Color"):
        PLAIN.decode_call('[["green"],{}]', hints_of(taking(Color)))


def outcome() -> Address | Retry | Snooze: ...


def test_results_are_rebuilt_from_what_the_function_returns() -> None:
    annotation = result_annotation(outcome)
    assert PLAIN.decode_value(PLAIN.encode_value(HOME, "the result", annotation), annotation) == HOME
    assert result_annotation(bare) is Any
    assert result_annotation(print) is Any
    with pytest.raises(NotAnnotated, match="the function does not say what it returns"):
        PLAIN.encode_value(HOME, "the result")


def test_hints_of_plain_functions_are_false_and_read_once() -> None:
    def plain(a: int, b: list[str], *c: Any, **d: Mapping[str, int]) -> None: ...

    assert not hints_of(plain)
    assert hints_of(plain) is hints_of(plain)
    assert not Hints(print)
    assert hints_of(many)


# -- libraries, where they are installed --


def test_attrs_classes() -> None:
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Item:
        name: str
        _hidden: int
        home: Address
        made: int = attrs.field(init=False, default=4)

    # The class is local to this test, so the annotations are given as objects.
    assert through(taking(list[Item]), [Item("a", 1, HOME)]) == ([[Item("a", 1, HOME)]], {})
    with pytest.raises(NotAnnotated, match="attrs class"):
        PLAIN.encode_call((Item("a", 1, HOME),), {}, "f", bare)


def test_pydantic_models() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        when: date
        color: Color
        price: Decimal

    class Outer(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        inner: Inner
        ref: str = pydantic.Field(alias="$ref")
        seen: set[int]

    class Only(pydantic.BaseModel):
        ref: str = pydantic.Field(alias="$date")

    outer = Outer(inner=Inner(when=date(2026, 1, 1), color=Color.RED, price=Decimal("1.10")), **{"$ref": "x"}, seen={1})
    assert through(taking(Outer), outer) == ([outer], {})
    assert through(taking(dict[str, Outer | None]), {"a": outer}) == ([{"a": outer}], {})
    only = Only(**{"$date": "2026-01-01"})
    assert through(taking(Only), only) == ([only], {})
    with pytest.raises(NotAnnotated, match="Pydantic"):
        PLAIN.encode_call((outer,), {}, "f", bare)
    with pytest.raises(NotSerialisable, match=r"comes back|cannot be rebuilt"):
        PLAIN.encode_call((outer,), {}, "f", taking(Inner))


def test_sqlalchemy_rows_are_refused() -> None:
    orm = pytest.importorskip("sqlalchemy.orm")

    class Base(orm.MappedAsDataclass, orm.DeclarativeBase): ...

    class User(Base):
        __tablename__ = "users"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)

    with pytest.raises(NotSerialisable, match=r"SQLAlchemy.*\n.*user\.id"):
        PLAIN.encode_call((User(id=1),), {}, "f", taking(User))
