"""What callers have in their hands when they mean "my transaction": recognised, checked, and used as it is.

No library is imported here that the caller has not imported: objects are known by the names of their classes. Nothing here
commits or rolls back; a transaction is begun only where the library would begin it by itself at the first statement.
"""

from __future__ import annotations

from .acting import aacting, acheck, acting, check, usable
from .finding import handle_of
from .handle import Handle

__all__ = ["Handle", "aacting", "acheck", "acting", "check", "handle_of", "usable"]
