"""A flow, by its id."""

from __future__ import annotations

from ._ids import new_id
from ._names import one_key


class Flow:
    """A set of jobs with an id, for ``after=``: ``jobs.using(after=Flow("import 7")).enqueue(report)``.

    ``id`` is any text without control characters of at most 500 bytes; without one the flow is new. Making one stores nothing: a
    flow is there as long as a job belongs to it. As text, where JSON is spoken, it is ``"flow:"`` and the id.
    Raises ``BadName``.
    """

    #: How options know a flow without importing this class.
    _packhorse_flow_ = True

    __slots__ = ("_id",)

    def __init__(self, id: str | None = None) -> None:
        self._id = new_id() if id is None else one_key(id, "Flow")

    @property
    def id(self) -> str:
        """Return the id."""
        return self._id

    def __eq__(self, other: object) -> bool:
        """Two of the same id are equal."""
        return isinstance(other, Flow) and other.id == self.id

    def __hash__(self) -> int:
        """Hash by id."""
        return hash(self.id)

    def __str__(self) -> str:
        """Return ``flow:`` and the id, which ``after=`` takes too."""
        return f"flow:{self._id}"

    def __repr__(self) -> str:
        """Show the id."""
        return f"<Flow {self._id}>"
