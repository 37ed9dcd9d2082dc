"""What a queue can do about commands: programs of any language, run as jobs."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from . import _runtime
from ._by import caller

if TYPE_CHECKING:  # whoever enqueues no command does not load what knows them
    from ._command_keys import CommandKeys
    from ._draft import Draft
    from ._job import Job
    from ._within import Transaction


class Commanding:
    """The part of ``Queue`` that is about commands."""

    __slots__ = ()

    _transaction: Transaction | None

    def command(self, argv: Sequence[str], /, **keys: Unpack[CommandKeys]) -> Job[int]:
        """Store one run of a program as a job: ``jobs.command(["/opt/bin/publish.sh", "b1"], ok=(0, 3), nice=10)``.

        ``argv`` is the program, an absolute path or a bare name that a worker finds on its ``PATH``, and its arguments; no shell
        is used unless ``shell=True``. It runs in a private directory, the workspace, into which ``inputs`` are linked and out of
        which ``outputs`` are moved. ``params`` are values for ``{name}`` in all these texts, ``{workspace}`` is that directory;
        every other brace is left alone. The keywords are those of ``[tasks.NAME]`` in packhorse.toml. The result of the job is
        the exit status. Workers run only programs that they were allowed to run (``commands`` in the config file,
        ``--allow-commands``); until there is one the job waits, and says so. Job options go in ``using``; there is no time limit
        unless one is given.

        Raises, and stores nothing: ``BadOption`` for a keyword that is wrong and for paths that leave the workspace or lie within
        each other, ``BadArguments`` for a parameter that is used nowhere or does not fit its place, and what ``enqueue`` raises.
        """
        return self._store_one(self.draft_command(argv, **keys), caller())

    def acommand(self, argv: Sequence[str], /, **keys: Unpack[CommandKeys]) -> Coroutine[Any, Any, Job[int]]:
        """Do what ``command`` does, to be awaited; it is checked at once."""
        draft, by = self.draft_command(argv, **keys), caller()
        if self._transaction is not None:
            return self._astore_one(draft, by)
        return _runtime.aside(self._store_one, draft, by)

    def draft_command(self, argv: Sequence[str], /, **keys: Unpack[CommandKeys]) -> Draft[int]:
        """Return a command that is checked, with the options of ``using``, and not stored yet; a draft like any other.

        Raises what ``command`` raises for one that is wrong.
        """
        from ._command_draft import command_draft

        return command_draft(self, argv, keys, "command()")  # type: ignore[arg-type]  # only a Queue has this part

    # -- by name ------------------------------------------------------------------------------------------------------
    def _commanded(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, ask: bool) -> Draft[Any] | None:
        """Return a draft if this is the name of a command task. ``ask``: of one that only workers tell of, too."""
        from ._command_draft import named_draft

        return named_draft(self, name, args, kwargs, ask=ask)  # type: ignore[arg-type]  # only a Queue has this part

    async def _aenqueue_named(self, draft: Draft[Any], by: str) -> Job[Any]:
        """What a name means may have to be looked up in the store, so that is done beside the loop."""
        from ._command_draft import retold

        draft = await _runtime.aside(retold, self, draft)
        if self._transaction is not None:
            return await self._astore_one(draft, by)
        return await _runtime.aside(self._store_one, draft, by)

    @property
    def _writes_elsewhere(self) -> bool:
        """Whether the job store need not even be up: jobs go to an outbox."""
        return self._transaction is not None and self._transaction.is_outbox

    # -- what the queue itself does -----------------------------------------------------------------------------------
    def _store_one(self, draft: Draft[Any], by: str) -> Job[Any]:
        raise NotImplementedError

    async def _astore_one(self, draft: Draft[Any], by: str) -> Job[Any]:
        raise NotImplementedError
