"""Which name a function has, and which function a name means.

A function is stored as ``module:qualname``. At enqueue that name must lead back to this very object; one rule, which
lambdas, nested and shadowed functions, inherited class methods, bound methods and mocks all fail.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ._names import is_given, is_path
from .errors import BadName, NotImportable

#: What ``@task`` returns has this attribute: looked for, so that nothing here imports ``_task``.
TASK_MARK = "_packhorse_task_"

Function = Callable[..., Any]

_MISSING = object()
_names: dict[int, tuple[weakref.ref[Any], str]] = {}
_declared: dict[str, weakref.ref[Any]] = {}


def task_name(fn: Function) -> str:
    """Return the name under which a worker finds this function. Raise ``NotImportable`` if it could not.

    Functions declared by ``@task(name=…)`` have that name. Found once per function object.
    """
    known = _names.get(id(fn))
    if known is not None and known[0]() is fn:
        return known[1]
    name = given_name(fn) or canonical(fn)
    _remember(fn, name)
    return name


def _remember(fn: Function, name: str) -> None:
    key = id(fn)
    try:
        _names[key] = (weakref.ref(fn, lambda _: _names.pop(key, None)), name)
    except TypeError:
        pass  # it cannot be referred to weakly: looked up each time


def given_name(fn: object) -> str | None:
    """Return the name that ``@task(name=…)`` gave it; None for anything else."""
    return fn.given_name if is_task(fn) else None  # type: ignore[attr-defined]


def is_task(fn: object) -> bool:
    """Tell whether this is what ``@task`` returns."""
    return getattr(type(fn), TASK_MARK, False) is True


def flatten(
    fn: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Function, tuple[Any, ...], dict[str, Any]]:
    """Take a ``functools.partial`` apart: return its function, and all arguments in the order of a call."""
    named = dict(kwargs)
    while isinstance(fn, functools.partial):
        args = (*fn.args, *args)
        named = {**fn.keywords, **named}
        fn = fn.func
    return fn, args, named


def unwrap(fn: Any) -> Any:
    """Return the function under ``@task``; anything else as it is."""
    while is_task(fn):
        fn = fn.__wrapped__
    return fn


def resolve(name: str) -> object:
    """Import the module of ``module:qualname`` and return what the name means there.

    For workers, and only for modules they were given. Raises ``NotImportable`` if there is no such module or name;
    other errors of the import pass through.
    """
    module, colon, qualname = name.partition(":")
    if not colon or not is_path(name):
        raise NotImportable(f"{name!r} is not the name of a function; it looks like package.module:function.")
    try:
        found = _walk(importlib.import_module(module), qualname)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise NotImportable(f"there is no module {error.name!r}, so {name!r} cannot be found.") from error
    if found is _MISSING:
        raise NotImportable(_missing(sys.modules[module], qualname))
    return found


def _walk(module: object, qualname: str) -> Any:
    found = module
    for part in qualname.split("."):
        found = getattr(found, part, _MISSING)
    return found


# -- names given as text -------------------------------------------------------------------------------------------------
def declare(name: str, fn: object) -> None:
    """Note a name that ``@task`` gave by hand, so that ``enqueue("billing.charge")`` knows it."""
    _declared[name] = weakref.ref(fn)


def declared(name: str) -> Any:
    """Return the task of this process that was declared under this name; None if there is none."""
    found = _declared.get(name)
    return found() if found is not None else None


def check_name(name: str) -> str:
    """Return the canonical form of a task named by text: ``"tasks:add"``, ``"tasks.add"`` or a name given by hand.

    Nothing is imported. If the module is loaded already, the function must be there (``NotImportable`` says what
    comes close). Raises ``BadName`` for text that can be no task's name.
    """
    if is_path(name):
        module, _, qualname = name.partition(":")
        loaded = sys.modules.get(module)
        if loaded is not None and _walk(loaded, qualname) is _MISSING and declared(name) is None:
            raise NotImportable(_missing(loaded, qualname) + " Not enqueued.")
        return name
    if declared(name) is not None:
        return name
    return _from_dots(name)


def _from_dots(name: str) -> str:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module, qualname = ".".join(parts[:cut]), ".".join(parts[cut:])
        loaded = sys.modules.get(module)
        if loaded is None:
            continue
        if _walk(loaded, qualname) is not _MISSING:
            return f"{module}:{qualname}"
        if _close(loaded, qualname):
            raise NotImportable(_missing(loaded, qualname) + " Not enqueued.")
    if is_given(name) or is_path(name.replace(".", ":", 1)):
        return name
    raise BadName(
        f'{name!r} is not a task name. It looks like "package.module:function", or 1 to 100 of a-z 0-9 _ . -.'
    )


def _close(module: object, qualname: str) -> list[str]:
    from difflib import get_close_matches

    names = [name for name in vars(module) if not name.startswith("_")] if hasattr(module, "__dict__") else []
    return get_close_matches(qualname.split(".")[0], names, 1)


def _missing(module: Any, qualname: str) -> str:
    close = _close(module, qualname)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{module.__name__} has no '{qualname}'{hint}"


# -- the identity rule ---------------------------------------------------------------------------------------------------
def canonical(fn: Function) -> str:
    """Return ``module:qualname`` if that leads back to this object, whatever ``@task`` calls it. Raises ``NotImportable``."""
    target = unwrap(fn)
    _refuse_kind(target)
    module, qualname = target.__module__, target.__qualname__
    if "<lambda>" in qualname:
        raise _no(target, f"it is a lambda{_where(target)}", "Write it as a function with def, at the top of a module.")
    if "<locals>" in qualname:
        outer = qualname.split(".<locals>")[0]
        raise _no(
            target,
            f"it is defined inside {outer}() and exists only while that runs",
            "Move it to the top of its module, and pass what it takes from around it as arguments.",
        )
    home = _home(target, module)
    found = _walk(sys.modules[module], qualname)
    if not _is_it(found, target):
        raise _no(target, *_shadowed(f"{home}:{qualname}", found, target))
    return f"{home}:{qualname}"


def _refuse_kind(target: Any) -> None:
    if _is_mock(target):
        raise _no(target, "it is a mock", "Enqueue the real function; packhorse.testing.memory() runs jobs in place.")
    if isinstance(target, type):
        raise _no(target, "it is a class", "Write a function that makes the object and works with it.")
    if not callable(target):
        raise NotImportable(f"enqueue() takes a function or a task's name, not {target!r}. Not enqueued.")
    if isinstance(target, types.MethodType) and not isinstance(target.__self__, type):
        raise _no(
            target,
            f"it is a method bound to a {type(target.__self__).__qualname__} object",
            "Write a function that takes an id, loads the object, and calls the method.",
        )
    if not isinstance(getattr(target, "__qualname__", None), str) or not isinstance(
        getattr(target, "__module__", None), str
    ):
        raise _no(
            target, f"it is a {type(target).__qualname__} object, which has no name of its own", "Enqueue a function."
        )


def _is_mock(target: Any) -> bool:
    kinds = (type(target), type(getattr(target, "__dict__", {}).get("mock")))
    return any(kind.__module__ == "unittest.mock" for kind in kinds)


def _home(target: Any, module: str) -> str:
    """Return the module's name as a worker can import it."""
    if module in ("__main__", "__mp_main__"):
        return _main_module(target, module)
    if module not in sys.modules:
        raise _no(target, f"its module {module!r} is not one that was imported", "Put it into a module.")
    return module


def _main_module(target: Any, module: str) -> str:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    name = target.__name__
    if spec is None:
        script = str(getattr(sys.modules.get(module), "__file__", "<stdin>"))
        where = "an interactive session" if script.startswith("<") else "the script you started"
        raise _no(
            target,
            f"it is defined in {where} (__main__)",
            f"Move it to a module, e.g. {name}s.py, and enqueue {name}s.{name}.",
        )
    if spec.name.endswith(".__main__") or spec.name == "__main__":
        raise _no(target, f"it is defined in {spec.name}, which only runs", "Move it to another module of the package.")
    return str(spec.name)


def _is_it(found: Any, target: Any) -> bool:
    """Tell whether a name led back to the function. Class methods are bound anew each time, so they are compared by ``==``."""
    found = unwrap(found)
    return found is target or (isinstance(found, types.MethodType) and found == target)


def _shadowed(name: str, found: Any, target: Any) -> tuple[str, str]:
    if found is _MISSING:
        return f"there is no {name!r} any more", "Keep it under the name it was defined with."
    if isinstance(target, types.MethodType):
        return (
            f"it is inherited: {name!r} is the method of another class than {target.__self__!r}",
            "Write a function that calls it.",
        )
    if isinstance(found, types.FunctionType) and getattr(found, "__wrapped__", None) is target:
        return f"{name!r} is a decorated version of it", "Enqueue that one."
    return (
        f"{name!r} is something else now: {found!r:.80}",
        "Give the two different names, or use functools.wraps in the decorator.",
    )


def _where(target: Any) -> str:
    code = getattr(target, "__code__", None)
    return f" (line {code.co_firstlineno} of {code.co_filename})" if code else ""


def _no(target: Any, why: str, remedy: str) -> NotImportable:
    name = getattr(target, "__name__", None)
    shown = repr(name) if isinstance(name, str) and not _is_mock(target) else f"{target!r:.80}"
    return NotImportable(f"a worker cannot find {shown} again: {why}. Not enqueued.\n  {remedy}")
