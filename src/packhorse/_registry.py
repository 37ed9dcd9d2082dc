"""Which functions a worker may run: those of the application it was given, by name, and nothing else."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from . import _declared, _identity
from ._catalogue import digest, entry, is_async
from ._importing import below, import_named, is_absence, modules_of, plugins
from ._names import is_path
from ._options import NONE, Options, Unset
from ._rebuild import Hints, hints_of, rebuilds_any, result_annotation
from ._tags import a_type
from .errors import NotImportable, NotLoadable, TaskNameTaken

#: So many unknown names are remembered, not to be looked for again.
MAX_UNKNOWN = 10_000

logger = logging.getLogger("packhorse.registry")


class Runnable:
    """A function that a worker may run, with all that is needed to run it."""

    __slots__ = ("_hints", "_returns", "fn", "is_async", "name", "options")

    def __init__(self, name: str, target: Callable[..., Any]) -> None:
        """Take a function, or what ``@task`` made of one, under its canonical name."""
        self.name = name
        self.fn: Callable[..., Any] = _identity.unwrap(target)
        self.is_async = is_async(self.fn)
        self.options: Options | None = target.options if _identity.is_task(target) else None  # type: ignore[attr-defined]
        self._hints: Hints | None | Unset = Unset.UNSET
        self._returns: Any = Unset.UNSET

    @property
    def hints(self) -> Hints | None:
        """Return what rebuilds its arguments, read at the first call; None if none holds a model."""
        if isinstance(self._hints, Unset):
            self._hints = hints_of(self.fn) if rebuilds_any(self.fn) else None
        return self._hints

    @property
    def returns(self) -> Any:
        """Return the annotation of its result, for ``Codec.encode_value``; ``Any`` if it has none."""
        if self._returns is Unset.UNSET:
            self._returns = result_annotation(self.fn)
        return self._returns


class Registry:
    """The tasks of an application.

    ``modules`` are those named; ``packages`` are packages of which everything below counts too, and is imported when it
    is first needed. A function belongs to the module that defines it; a leading ``_`` is never runnable.
    Raises ``TaskNameTaken`` if two functions claim one name.
    """

    def __init__(
        self,
        modules: Iterable[ModuleType] = (),
        packages: Iterable[str] = (),
        factories: Sequence[Any] = (),
        defaults: Options = NONE,
    ) -> None:
        """Read the names given by ``@task`` in these modules.

        ``factories`` make the App, and are no tasks; ``defaults`` are the App's options.
        """
        self._factories = factories
        self._limited = defaults.timeout is not Unset.UNSET
        self._modules: dict[str, ModuleType] = {}
        self._packages = tuple(packages)
        self._known: dict[str, Runnable] = {}
        self._unknown: set[str] = set()
        self._owners: dict[str, Any] = {}  #: name or alias given by hand → task
        self._all_imported = not self._packages
        self.problems: dict[str, str] = {}  #: modules below a package that cannot be imported, and why
        for module in modules:
            self.add(module)

    def add(self, module: ModuleType) -> None:
        """Count this module's functions in."""
        if module.__name__ in self._modules:
            return
        self._modules[module.__name__] = module
        self._unknown.clear()
        for target in list(vars(module).values()):
            if _identity.is_task(target):
                self._note_names(target)
        for name, owner in self._owners.items():
            if name.startswith(f"{module.__name__}:"):
                self._compare(name, owner, self._defined_in(module, name))

    def _note_names(self, target: Any) -> None:
        for name in (target.given_name, *target.aliases):
            if name is not None:
                self._compare(name, self._owners.setdefault(name, target), target)
                module = self._modules.get(name.partition(":")[0])
                if module is not None and is_path(name):
                    self._compare(name, self._defined_in(module, name), target)

    def _compare(self, name: str, first: Any, second: Any) -> None:
        if None not in (first, second) and _identity.unwrap(first) is not _identity.unwrap(second):
            raise _taken(name, first, second)

    # -- finding --
    def find(self, name: str) -> Runnable | None:
        """Return the task of this name, ``tasks:add`` or one given by hand, or None if it is none of this application's."""
        return self._known.get(name) or self._search(name)

    def _search(self, name: str) -> Runnable | None:
        if name in self._unknown:
            return None
        target = self._target(name)
        if target is None:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown.add(name)
            return None
        found = self._known[name] = Runnable(name, target)
        return found

    def _target(self, name: str) -> Any:
        if name in self._owners:
            return self._owners[name]
        if is_path(name):
            return self._defined(name)
        self._import_all()
        return self._owners.get(name) or self._dotted(name)

    def _dotted(self, name: str) -> Any:
        """Take ``tasks.add`` for ``tasks:add``, whichever dot it is."""
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            path = f"{'.'.join(parts[:cut])}:{'.'.join(parts[cut:])}"
            target = self._defined(path) if is_path(path) else None
            if target is not None:
                return target
        return None

    def _defined(self, path: str) -> Any:
        """Return the function that a module of this application defines under exactly this name."""
        module = self._module(path.partition(":")[0])
        return None if module is None else self._defined_in(module, path)

    def _defined_in(self, module: ModuleType, path: str) -> Any:
        parts = path.partition(":")[2].split(".")
        if any(part.startswith("_") for part in parts):
            return None
        target: Any = module
        for part in parts:
            target = getattr(target, part, None)
        return target if target is not None and self._belongs(target, path) else None

    def _belongs(self, target: Any, path: str) -> bool:
        return not any(target is each for each in self._factories) and _belongs(target, path)

    # -- importing what lies below packages --
    def _module(self, name: str) -> ModuleType | None:
        known = self._modules.get(name)
        if known is not None or name in self.problems:
            return known
        below_one = any(name.startswith(f"{package}.") for package in self._packages)
        # Importing __main__ would run the program.
        return self._import(name) if below_one and "__main__" not in name.split(".") else None

    def _import(self, name: str) -> ModuleType | None:
        try:
            module = import_named(name)
        except NotLoadable as error:
            if not is_absence(error, name):
                self.problems[name] = str(error)
                logger.warning("%s", error)
            return None
        self.add(module)
        return module

    def _import_all(self) -> None:
        """Import everything below the packages: only so can a name given by hand be found."""
        if self._all_imported:
            return
        self._all_imported = True
        for package in self._packages:
            for name in below(sys.modules[package]):
                self._module(name)

    def import_declaring(self) -> float:
        """Import what declares schedules below the packages; return when the newest source was changed, s (0: build by hand)."""
        for name in [name for package in self._packages for name in _declared.declaring(sys.modules[package])]:
            self._module(name)
        return 0.0 if os.environ.get("PACKHORSE_BUILD") else _declared.newest_change(self._modules.values())

    # -- telling --
    def names(self) -> list[str]:
        """Return the canonical names of all tasks of the modules imported so far."""
        return sorted(dict(self._runnables()))

    def meant(self, name: str) -> list[str]:
        """Return the canonical names of the tasks that a person may mean, looking at everything there is.

        One is an answer, several are a question, none is a mistake.
        """
        target = self._target(name)
        if target is not None:
            return [_identity.task_name(target)]
        self._import_all()
        return match_name(name, self.names())

    def _runnables(self) -> Iterator[tuple[str, Any]]:
        for module in list(self._modules.values()):
            for attribute, target in list(vars(module).items()):
                if attribute.startswith("_") or not callable(target):
                    continue
                given = _identity.given_name(target)
                path = f"{module.__name__}:{attribute}"
                if given is not None:
                    yield given, target
                elif self._belongs(target, path):
                    yield path, target

    def catalogue(self) -> dict[str, Any]:
        """Return what a worker publishes, as JSON data: tasks with signature, first line of their doc and options; modules,
        packages of which more may be imported later, modules that failed, and the build."""
        return {
            "tasks": {name: entry(name, target, limited=self._limited) for name, target in self._runnables()},
            "modules": sorted(self._modules),
            "packages": sorted(self._packages),
            "problems": dict(self.problems),
            "build": self.build(),
        }

    def build(self) -> str:
        """Return ``PACKHORSE_BUILD``, else 12 digits that change with the source of any module named."""
        given = os.environ.get("PACKHORSE_BUILD")
        return given or digest(sorted(self._modules.items()))


def _belongs(target: Any, path: str) -> bool:
    """Tell whether a function is one of the module's own, under the name it was defined with."""
    fn = _identity.unwrap(target)
    if isinstance(fn, type) or not callable(fn) or getattr(fn, "__module__", None) != path.partition(":")[0]:
        return False
    try:
        return _identity.canonical(fn) == path
    except NotImportable:
        return False


def _taken(name: str, first: Any, second: Any) -> TaskNameTaken:
    return TaskNameTaken(
        f"two functions claim the task name '{name}': {_place(first)} and {_place(second)}. The worker does not start, "
        f"since a job of that name could run either.\n  Rename one of them in @task(name=…) or its aliases."
    )


def _place(target: Any) -> str:
    from inspect import unwrap

    fn = unwrap(_identity.unwrap(target))
    code = getattr(fn, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{fn.__module__}:{fn.__qualname__}{where}"


def match_name(name: str, known: Iterable[str]) -> list[str]:
    """Return the canonical names that a person may mean: the very name, its dotted form, or the end of it.

    One match is an answer, several are a question, none is a mistake.
    """
    names = sorted(set(known))
    if name in names:
        return [name]
    dotted = name.replace(":", ".")
    same = [candidate for candidate in names if candidate.replace(":", ".") == dotted]
    return same or [candidate for candidate in names if f".{candidate.replace(':', '.')}".endswith(f".{dotted}")]


# -- loading APP ------------------------------------------------------------------------------------------------------
class Loaded(NamedTuple):
    """An application, imported."""

    app: Any  #: the ``App``, or None
    registry: Registry


def load(specs: Sequence[str], *, sys_path: Sequence[str] = ()) -> Loaded:
    """Import an application and return its App (if it has one) and its tasks.

    A spec is a module; a package, of which everything below counts, imported when first needed; a pattern such as
    ``pulp_*.app.tasks``; a file ``tasks.py``; or ``module:attr`` naming an ``App`` or a function that returns one. An App's own
    ``tasks`` are loaded too, and the plugins under the entry point ``packhorse.tasks``. Entries of ``sys_path`` that are missing
    go to the front. No specs: no tasks. Raises ``NotLoadable`` naming what failed, ``TaskNameTaken`` for a name with two owners.
    """
    sys.path[:0] = [entry for entry in sys_path if entry not in sys.path]
    loading = _Loading()
    for spec in specs:
        loading.take(spec)
    for spec in getattr(loading.app, "tasks", ()):
        loading.take(spec)
    for distribution, spec in plugins() if specs else ():
        loading.take_plugin(distribution, spec)
    defaults = getattr(loading.app, "options", NONE)
    registry = Registry(loading.modules.values(), loading.packages, loading.factories, defaults)
    return Loaded(loading.app, registry)


def is_app(thing: object) -> bool:
    """Tell whether this is an ``App``, without importing its module."""
    return getattr(type(thing), "_packhorse_app_", False) is True


class _Loading:
    """What has been imported so far."""

    def __init__(self) -> None:
        self.app: Any = None
        self.source = ""
        self.modules: dict[str, ModuleType] = {}
        self.packages: list[str] = []
        self.factories: list[Any] = []

    def take(self, spec: str) -> None:
        module, colon, attribute = spec.partition(":")
        if colon and not spec.endswith(".py"):
            self.take_attribute(import_named(module), attribute, spec)
            self.modules[module] = sys.modules[module]
            return
        for name in modules_of(spec):
            self.take_module(import_named(name), spec)

    def take_attribute(self, module: ModuleType, attribute: str, spec: str) -> None:
        found = _attribute_of(module, attribute)
        app = found if is_app(found) else _called(found, spec)
        if not is_app(app):
            raise NotLoadable(
                f"'{spec}' is {a_type(type(app))}, not an App or a function that returns one.{_hint(module, found)}"
            )
        if app is not found:
            self.factories.append(found)
        self.take_app(app, spec)

    def take_module(self, module: ModuleType, spec: str) -> None:
        self.modules[module.__name__] = module
        if hasattr(module, "__path__"):
            self.packages.append(module.__name__)
        for app in {id(value): value for value in vars(module).values() if is_app(value)}.values():
            self.take_app(app, spec)

    def take_app(self, app: Any, spec: str) -> None:
        if self.app is not None and self.app is not app:
            raise NotLoadable(
                f"there are two Apps, one in '{self.source}' and one in '{spec}'; a worker has one.\n"
                f"  Name the one you mean:  packhorse worker {spec.partition(':')[0]}:NAME"
            )
        self.app, self.source = app, spec

    def take_plugin(self, distribution: str, spec: str) -> None:
        try:
            self.take(spec)
        except NotLoadable as error:
            raise NotLoadable(f"the plugin {distribution} (entry point packhorse.tasks = {spec}): {error}") from error


def _attribute_of(module: ModuleType, attribute: str) -> Any:
    attribute = attribute.removesuffix("()")
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise NotLoadable(f"module '{module.__name__}' has no '{attribute}'{_apps_in(module)}")
        found = getattr(found, part)
    return found


def _called(factory: Any, spec: str) -> Any:
    if not callable(factory) or _identity.is_task(factory):
        return factory
    try:
        return factory()
    except Exception as error:
        raise NotLoadable(f"the factory '{spec}' failed: {type(error).__name__}: {error}") from error


def _apps_in(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if is_app(value)]
    return f"; its Apps are: {', '.join(names)}." if names else "."


def _hint(module: ModuleType, found: Any) -> str:
    return (
        f"\n  To run the tasks of the module, name just the module:  packhorse worker {module.__name__}"
        if callable(found)
        else ""
    )
