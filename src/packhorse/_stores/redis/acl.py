"""The commands this store uses, and which of them the server denies to its user."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ...errors import StoreRefused

if TYPE_CHECKING:
    from .link import Link

#: Tries each command that a script uses on a key of no meaning, and tells which were denied.
_PROBE = """
local key, denied = KEYS[1] .. ':probe', {}
for _, words in ipairs(cjson.decode(ARGV[1])) do
  local parts = {}
  for place, word in ipairs(words) do parts[place] = word == 'KEY' and key .. words[1] or word end
  local answer = redis.pcall(unpack(parts))
  if type(answer) == 'table' and answer.err and (string.find(answer.err, "can't run this command", 1, true)
      or string.find(answer.err, 'NOPERM', 1, true) or string.find(answer.err, 'no permissions', 1, true)) then
    denied[#denied + 1] = words[1]
  end
  redis.pcall('DEL', key .. words[1])
end
return denied
"""


@cache
def commands() -> tuple[str, ...]:
    """Return the commands that a user of this store must be allowed, as an ACL names them."""
    lines = files(__package__ or "").joinpath("acl.txt").read_text("ascii").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def denied(link: Link, key: str, shown: str) -> StoreRefused | None:
    """Return the error that names the commands which the user may not run; None where it cannot be told."""
    import json

    try:
        found = link.ask("EVAL", _PROBE, 1, key, json.dumps(_samples()))
    except (RedisError, OSError):
        return None
    if not found:
        return None
    names = ", ".join(sorted(found))
    return StoreRefused(
        f"{shown}: the server's ACL does not let this user run {names} (NOPERM). Nothing was stored. "
        "docs/guides/redis.md has the line that makes a user who can do all that is needed."
    )


def _samples() -> list[list[str]]:
    """Return a harmless call of each command that the scripts use."""
    return [
        ["TIME"],
        *([name.upper(), "KEY", *_ARGUMENTS.get(name, ())] for name in commands() if name in _ARGUMENTS),
    ]


_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "del": (),
    "exists": (),
    "expire": ("10",),
    "hdel": ("a",),
    "hexists": ("a",),
    "hget": ("a",),
    "hgetall": (),
    "hincrby": ("a", "1"),
    "hkeys": (),
    "hlen": (),
    "hmget": ("a",),
    "hset": ("a", "1"),
    "hsetnx": ("a", "1"),
    "lpush": ("a",),
    "lrange": ("0", "0"),
    "ltrim": ("0", "0"),
    "rpush": ("a",),
    "sadd": ("a",),
    "sismember": ("a",),
    "smembers": (),
    "srandmember": ("1",),
    "srem": ("a",),
    "zadd": ("1", "a"),
    "zcard": (),
    "zcount": ("0", "1"),
    "zrange": ("0", "0"),
    "zrangebyscore": ("0", "1"),
    "zrank": ("a",),
    "zrem": ("a",),
    "zremrangebyrank": ("0", "0"),
    "zremrangebyscore": ("0", "1"),
    "zrevrange": ("0", "0"),
    "zrevrangebyscore": ("1", "0"),
    "zrevrank": ("a",),
    "zscore": ("a",),
}
