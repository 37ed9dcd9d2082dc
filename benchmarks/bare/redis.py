"""Bare Redis: a stream with one group; settle and claim go in one pipeline, single rows by EVALSHA."""

from __future__ import annotations

import os
from typing import Any

import redis

from benchmarks.bare import BULK, PAYLOAD

STREAM, GROUP = "packhorse-bare", "everyone"
_ADD = "return redis.call('XADD', KEYS[1], '*', 'payload', ARGV[1])"


class BareStore:
    """One stream in the database of the URL."""

    batch = 200
    processes = 2

    def __init__(self, url: str) -> None:
        place = url.partition("?")[0].replace("valkey", "redis", 1)
        self.client: Any = redis.Redis.from_url(place)  # its own annotations mix answers of two colours
        self.script = self.client.script_load(_ADD)
        try:
            self.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def about(self) -> str:
        server = self.client.info("server")
        kept = self.client.config_get("append*")
        durability = f"AOF {kept['appendfsync']}" if kept["appendonly"] == "yes" else "no AOF"
        return f"Redis {server['redis_version']}, {durability}"

    def one(self, count: int) -> None:
        for _ in range(count):
            self.client.evalsha(self.script, 1, STREAM, PAYLOAD)

    def bulk(self, count: int) -> None:
        for _ in range(0, count, BULK):
            pipeline = self.client.pipeline(transaction=False)
            for _ in range(BULK):
                pipeline.xadd(STREAM, {"payload": PAYLOAD})
            pipeline.execute()

    def drain(self, batch: int) -> int:
        done: list[bytes] = []
        count, consumer = 0, str(os.getpid())
        while True:
            pipeline = self.client.pipeline(transaction=False)
            if done:
                pipeline.xack(STREAM, GROUP, *done)
                pipeline.xdel(STREAM, *done)
            pipeline.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=batch)
            streams = pipeline.execute()[-1]
            if not streams:
                return count
            done = [id for id, _ in _rows(streams)]
            count += len(done)

    def server_cpu(self) -> float:
        used = self.client.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def close(self) -> None:
        self.client.close()

    def drop(self) -> None:
        self.client.xtrim(STREAM, maxlen=0, approximate=False)


def _rows(streams: Any) -> Any:
    """Return the entries of the one stream that was read, whichever protocol the answer came in."""
    return streams[0][1] if isinstance(streams, list) else next(iter(streams.values()))[0]
