"""Importing what APP names, and saying in words what went wrong."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from types import ModuleType, TracebackType
from typing import Any

from .errors import NotLoadable


def import_named(name: str) -> ModuleType:
    """Import a module. Raise ``NotLoadable`` that names the import that failed, or the log file that cannot be written."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise NotLoadable(_explain(name, error)) from error


def is_absence(error: NotLoadable, name: str) -> bool:
    """Tell whether there simply is no module of this name."""
    return _names_itself(error.__cause__, name)


def _names_itself(error: BaseException | None, name: str) -> bool:
    return isinstance(error, ModuleNotFoundError) and bool(error.name) and f"{name}.".startswith(f"{error.name}.")


def modules_of(spec: str) -> list[str]:
    """Return the names of the modules that a module, a file or a pattern means; the file's directory becomes importable."""
    if spec.endswith(".py") or os.sep in spec:
        return [_module_of_file(spec)]
    if any(sign in spec for sign in "*?["):
        return _matching(spec)
    if not all(part.isidentifier() for part in spec.split(".")):
        raise NotLoadable(f"{spec!r} names no module. An application is a module, a package, a file or module:app.")
    return [spec]


def below(package: ModuleType) -> Iterator[str]:
    """Yield the names of all modules below a package, importing nothing but the packages on the way."""
    import pkgutil

    for info in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        if info.name.endswith(".__main__"):
            continue  # it would run the program
        yield info.name
        if info.ispkg:
            yield from _below_named(info.name)


def _below_named(name: str) -> Iterator[str]:
    try:
        package = import_named(name)
    except NotLoadable:
        return  # whoever imports it by its name is told why
    yield from below(package)


def plugins() -> list[tuple[str, str]]:
    """Return (distribution, spec) of the entry points ``packhorse.tasks``."""
    if not _any_plugin():
        return []
    import importlib.metadata

    found = importlib.metadata.entry_points(group="packhorse.tasks")
    return sorted((point.dist.name if point.dist else point.name, point.value) for point in found)


def _any_plugin() -> bool:
    """Look whether any installed distribution names the group: ``importlib.metadata`` alone takes longer to import than this."""
    for folder in dict.fromkeys(sys.path):
        if not os.path.isdir(folder):
            if os.path.isfile(folder):
                return True  # inside an archive only importlib.metadata can look
            continue
        with os.scandir(folder) as entries:
            infos = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
        for info in infos:
            try:
                with open(os.path.join(info, "entry_points.txt"), "rb") as file:
                    if b"[packhorse.tasks]" in file.read():
                        return True
            except OSError:
                continue  # it has none
    return False


# -- files and patterns --------------------------------------------------------------------------------------------------
def _module_of_file(path: str) -> str:
    file = os.path.abspath(path)
    if not os.path.isfile(file):
        raise NotLoadable(f"there is no file {path} (looked for {file}).")
    folder, stem = os.path.dirname(file), os.path.splitext(os.path.basename(file))[0]
    names = [] if stem == "__init__" else [stem]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        names.append(os.path.basename(folder))
        folder = os.path.dirname(folder)
    if not all(name.isidentifier() for name in names):
        raise NotLoadable(f"{path} has no name that Python can import ({'.'.join(reversed(names))}); rename it.")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = ".".join(reversed(names))
    _refuse_other_file(name, file)
    return name


def _refuse_other_file(name: str, file: str) -> None:
    import importlib.util

    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin and os.path.exists(spec.origin) and not os.path.samefile(spec.origin, file):
        raise NotLoadable(
            f"{file} would be imported as '{name}', but that is {spec.origin}, which comes first on sys.path. "
            f"Rename the file, or put its directory first in PYTHONPATH."
        )


def _matching(pattern: str) -> list[str]:
    first, *rest = pattern.split(".")
    found = _like(first, None, "")
    for part in rest:
        found = [name for parent in found for name in _children(parent, part)]
    if not found:
        raise NotLoadable(f"no module matches '{pattern}'. Searched {_searched()}.")
    return sorted(found)


def _children(parent: str, part: str) -> list[str]:
    path = getattr(import_named(parent), "__path__", None)
    if path is None:
        return []
    return _like(part, path, f"{parent}.")


def _like(pattern: str, path: Any, prefix: str) -> list[str]:
    import fnmatch
    import pkgutil

    names = [info.name for info in pkgutil.iter_modules(path)]
    return [prefix + name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _searched() -> str:
    shown = [entry or "." for entry in sys.path[:3]]
    return ", ".join(shown) + (f" and {len(sys.path) - 3} more" if len(sys.path) > 3 else "")


# -- messages ------------------------------------------------------------------------------------------------------------
def _explain(name: str, error: BaseException) -> str:
    denied = _denied_log(error)
    if denied is not None:
        return _denied_message(name, *denied)
    if _names_itself(error, name):
        return (
            f"there is no module '{getattr(error, 'name', name)}'. Searched {_searched()}.\n"
            f"  Start the worker in the directory that has it, or put that directory into PYTHONPATH."
        )
    what = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    return (
        f"importing '{name}' failed{_at(error)}: {what}\n  Try:  {os.path.basename(sys.executable)} -c 'import {name}'"
    )


def _at(error: BaseException) -> str:
    """Return the line of the user's code that failed; for a syntax error, the line with the mistake."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    import traceback

    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__ and not frame.filename.startswith("<")
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""


def _denied_log(error: BaseException) -> tuple[PermissionError, str] | None:
    """Return the refusal, and the class of the logging handler that met it, if that is what stopped an import."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, PermissionError) and (handler := _handler_of(seen.__traceback__)):
            return seen, handler
        seen = seen.__cause__ or seen.__context__
    return None


def _handler_of(trace: TracebackType | None) -> str | None:
    handler = None
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") in ("logging", "logging.handlers"):
            owner = trace.tb_frame.f_locals.get("self")
            handler = f"{type(owner).__module__}.{type(owner).__qualname__}" if owner is not None else handler
        trace = trace.tb_next
    return handler


def _denied_message(name: str, error: PermissionError, handler: str) -> str:
    file = str(error.filename or "")
    user = user_name()
    return (
        f"importing {name} failed in {handler}({file!r}): permission denied for user {user}\n"
        f"  running as {user} (uid {os.geteuid() if hasattr(os, 'geteuid') else '?'}){_owner(file)}\n"
        f"  Try:  sudo chown {user} {file}     or run as the user who may write it"
    )


def user_name() -> str:
    """Return the name of the user this process acts as."""
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, OSError):
        import getpass

        return getpass.getuser()


def _owner(file: str) -> str:
    told = [
        f"{word} is {text}"
        for word, path in (("file", file), ("directory", os.path.dirname(file) or "."))
        if (text := _mode(path))
    ]
    return "; " + "; ".join(told) if told else ""


def _mode(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{_person(status)} {stat.S_IMODE(status.st_mode):04o}"


def _person(status: Any) -> str:
    try:
        import grp
        import pwd

        return f"{pwd.getpwuid(status.st_uid).pw_name}:{grp.getgrgid(status.st_gid).gr_name}"
    except (ImportError, KeyError):
        return f"{status.st_uid}:{status.st_gid}"
