"""Everything in a job store's SQLite file that is said twice, or must hold together: recomputed from the rows, and compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

STATES = ("queued", "running", "scheduled", "retrying", "blocked", "succeeded", "failed", "cancelled")
#: The claim of jobs that were never claimed.
NEVER = 16777216
#: Fewer than this are not in the sums; twice, since a process may die between a job and the sum.
UNCOUNTED = 2 * 256

#: name → a query whose every row is something wrong.
RULES = {
    "jobs without all that they name": """
        SELECT j.seq FROM packhorse_jobs j
          LEFT JOIN packhorse_kinds k ON k.id = j.kind LEFT JOIN packhorse_lines l ON l.id = j.line
          LEFT JOIN packhorse_claims c ON c.no = j.claim LEFT JOIN packhorse_namespaces n ON n.id = j.ns
         WHERE k.id IS NULL OR l.id IS NULL OR c.no IS NULL OR n.id IS NULL OR k.ns <> j.ns OR l.ns <> j.ns
            OR (c.no > 16777216 AND c.ns <> j.ns) OR coalesce(l.side_of, l.id) <> k.queue""",
    "jobs that no reader sees": "SELECT seq FROM packhorse_jobs EXCEPT SELECT seq FROM packhorse_records",
    "claims that do not count their jobs right": """
        SELECT c.no, c.jobs, c.running, count(j.seq), count(j.seq) FILTER (WHERE j.state = 3)
          FROM packhorse_claims c LEFT JOIN packhorse_jobs j ON j.claim = c.no
         WHERE c.no > 16777216
         GROUP BY c.no HAVING (c.jobs, c.running) <> (count(j.seq), count(j.seq) FILTER (WHERE j.state = 3))""",
    "running jobs that are not found by their claim": """
        SELECT seq FROM packhorse_jobs WHERE state = 3 EXCEPT SELECT seq FROM packhorse_running""",
    "jobs found as running more than once": "SELECT seq FROM packhorse_running GROUP BY seq HAVING count(*) > 1",
    "jobs found as running that are not": """
        SELECT seq FROM packhorse_running EXCEPT SELECT seq FROM packhorse_jobs WHERE state = 3""",
    "jobs that run for nobody": "SELECT seq FROM packhorse_running WHERE worker IS NULL OR token IS NULL OR claim_no IS NULL",
    "waiting jobs of a claim that look as if they were never claimed": """
        SELECT seq FROM packhorse_jobs WHERE claim <> 16777216 AND odd < 2 AND state IN (2, 4, 5, 6)""",
    "jobs with details that a claim does not expect": """
        SELECT j.seq FROM packhorse_jobs j JOIN packhorse_details d ON d.seq = j.seq
         WHERE j.state BETWEEN 2 AND 6
           AND (j.odd = 0 OR (j.odd = 1 AND (d.expires_at IS NOT NULL OR d.failures + d.crashes + d.losses + d.snoozes
                + d.generation > 0 OR d.cancel_at IS NOT NULL OR d.error IS NOT NULL OR d.reason IS NOT NULL
                OR d.result_until IS NOT NULL)) OR (j.odd < 3 AND (d.crash_fails OR d.suspect)))""",
    "odd jobs without a reason to be": """
        SELECT seq FROM packhorse_jobs j WHERE state BETWEEN 2 AND 6 AND odd = 3
           AND NOT EXISTS (SELECT 1 FROM packhorse_details d WHERE d.seq = j.seq AND (d.crash_fails OR d.suspect))
           AND NOT EXISTS (SELECT 1 FROM packhorse_rules u WHERE u.seq = j.seq AND u.holds IS NOT NULL)""",
    "what belongs to no job": """
        SELECT 'details', seq FROM packhorse_details WHERE seq NOT IN (SELECT seq FROM packhorse_jobs)
        UNION ALL SELECT 'results', seq FROM packhorse_results WHERE seq NOT IN (SELECT seq FROM packhorse_jobs WHERE result = 1)
        UNION ALL SELECT 'attempts', job FROM packhorse_attempts WHERE job NOT IN (SELECT seq FROM packhorse_jobs)
        UNION ALL SELECT 'logs', job FROM packhorse_logs WHERE job NOT IN (SELECT seq FROM packhorse_jobs)""",
    "results that are not there": """
        SELECT seq FROM packhorse_jobs WHERE result = 1 AND seq NOT IN (SELECT seq FROM packhorse_results)""",
    "details of another namespace": """
        SELECT j.seq FROM packhorse_jobs j JOIN packhorse_details d ON d.seq = j.seq WHERE d.ns <> j.ns""",
    "jobs that are due and will not be": """
        SELECT j.seq FROM packhorse_jobs j LEFT JOIN packhorse_details d ON d.seq = j.seq
         WHERE (j.state IN (4, 5)) <> (d.due_at IS NOT NULL)""",
    "jobs that wait for another time than they say": """
        SELECT j.seq FROM packhorse_jobs j JOIN packhorse_details d ON d.seq = j.seq
         WHERE d.waits_until IS NOT CASE WHEN j.state < 7 THEN d.expires_at END""",
    "ended jobs without an end, or the other way round": """
        SELECT seq FROM packhorse_jobs WHERE (state >= 7) <> (finished_at > -1152921504606846976)""",
    "side lines that count": f"""
        SELECT id FROM packhorse_lines WHERE side_of IS NOT NULL AND ({" OR ".join(f"n_{state} <> 0" for state in STATES)})""",
    "jobs whose rules nobody would look for": """
        SELECT u.seq FROM packhorse_rules u LEFT JOIN packhorse_jobs j ON j.seq = u.seq
         WHERE j.seq IS NULL OR j.ns <> u.ns OR j.odd < 2 OR (u.holds IS NOT NULL AND j.state < 7 AND j.odd < 3)""",
    "rules that were not brought up to their jobs": """
        SELECT u.seq, u.state, j.state FROM packhorse_rules u JOIN packhorse_jobs j ON j.seq = u.seq
         WHERE u.state IS NULL OR (u.state <> j.state AND NOT (u.flow IS NULL AND u.state IN (2, 3) AND j.state IN (2, 3)))""",
    "jobs at a stage where they cannot be": """
        SELECT u.seq, u.stage, j.state FROM packhorse_rules u JOIN packhorse_jobs j ON j.seq = u.seq
         WHERE CASE WHEN j.state >= 7 THEN u.stage <> 0
                    WHEN coalesce(u.holds, u.after, u.after_flow) IS NULL THEN u.stage <> 1
                    WHEN j.state IN (2, 3) THEN u.stage <> 7
                    WHEN j.state = 6 AND NOT u.parked THEN u.stage NOT IN (2, 3, 4, 5, 6)
                    ELSE u.stage <> 1 END
            OR (u.parked AND j.state <> 6) OR (u.place IS NULL AND u.stage IN (5, 6)) OR (u.place IS NOT NULL AND u.stage = 4)
            OR (u.behind IS NOT NULL AND u.stage <> 6)""",
    "names that are not those of the job": """
        SELECT seq, name, mode, stage, place FROM packhorse_holds
        EXCEPT SELECT u.seq, e.value ->> 1, e.value ->> 0, u.stage, u.place FROM packhorse_rules u, json_each(u.holds) e
                WHERE u.stage > 0""",
    "names that are not there": """
        SELECT u.seq, e.value ->> 1 FROM packhorse_rules u, json_each(u.holds) e WHERE u.stage > 0
        EXCEPT SELECT seq, name FROM packhorse_holds""",
    "parents that are not those of the job": """
        SELECT child, n, parent FROM packhorse_edges
        EXCEPT SELECT u.seq, e.key, e.value FROM packhorse_rules u, json_each(u.after) e WHERE u.stage > 0""",
    "parents that are not there": """
        SELECT u.seq, e.key, e.value FROM packhorse_rules u, json_each(u.after) e WHERE u.stage > 0
        EXCEPT SELECT child, n, parent FROM packhorse_edges""",
    "parents whose end would be passed over": """
        SELECT j.seq FROM packhorse_edges e JOIN packhorse_jobs j ON j.ns = e.ns AND j.id = e.parent
         WHERE j.odd < 2 OR NOT EXISTS (SELECT 1 FROM packhorse_rules u WHERE u.seq = j.seq)""",
    "keys of jobs that have ended": """
        SELECT seq FROM packhorse_rules WHERE unique_held AND stage = 0 AND unique_until NOT IN ('time', 'flow')""",
    "two who have what one reserves": """
        SELECT h.name FROM packhorse_holds h JOIN packhorse_holds o ON o.ns = h.ns AND o.name = h.name AND o.seq <> h.seq
         WHERE h.mode = 'x' AND h.stage = 7 AND o.stage = 7""",
    "places that will be given again": """
        SELECT u.seq FROM packhorse_rules u JOIN packhorse_namespaces n ON n.id = u.ns WHERE u.place > n.last_place""",
    "more jobs counted than there are": f"""
        SELECT value FROM packhorse_meta
         WHERE key = 'counted' AND (value > (SELECT coalesce(max(seq), 0) FROM packhorse_jobs)
           OR (SELECT count(*) FROM packhorse_jobs WHERE seq > value) >= {UNCOUNTED})""",
}  # fmt: skip

_COUNTED = f"""
SELECT l.id, l.name, n_queued + (SELECT count(*) FROM packhorse_jobs j JOIN packhorse_kinds k ON k.id = j.kind
                                  WHERE k.queue = l.id AND j.seq > (SELECT value FROM packhorse_meta WHERE key = 'counted')),
       {", ".join(f"n_{state}" for state in STATES[1:])}
  FROM packhorse_lines l WHERE side_of IS NULL"""
_THERE = f"""
SELECT k.queue, {", ".join(f"count(*) FILTER (WHERE j.state = {number})" for number in range(2, 2 + len(STATES)))}
  FROM packhorse_jobs j JOIN packhorse_kinds k ON k.id = j.kind GROUP BY k.queue"""
_FLOWS = f"SELECT ns, name, {', '.join(f'n_{state}' for state in STATES)} FROM packhorse_flows"
_MEMBERS = f"""
SELECT j.ns, u.flow, {", ".join(f"count(*) FILTER (WHERE j.state = {number})" for number in range(2, 2 + len(STATES)))}
  FROM packhorse_rules u JOIN packhorse_jobs j ON j.seq = u.seq WHERE u.flow IS NOT NULL GROUP BY j.ns, u.flow"""


def problems(db: sqlite3.Connection, *, whole: bool = True) -> list[str]:
    """Return what is wrong in one state of the file; ``whole``: also by SQLite's own check."""
    db.execute("BEGIN")
    try:
        return list(_problems(db, whole))
    finally:
        db.execute("ROLLBACK")


def _problems(db: sqlite3.Connection, whole: bool) -> Iterator[str]:
    if whole:
        yield from (row[0] for row in db.execute("PRAGMA integrity_check").fetchall() if row[0] != "ok")
    for name, query in RULES.items():
        found = db.execute(query).fetchmany(5)
        if found:
            yield f"{name}: {found}"
    there = {queue: tuple(counts) for queue, *counts in db.execute(_THERE)}
    for id, name, *counts in db.execute(_COUNTED).fetchall():
        actual = there.get(id, (0,) * len(STATES))
        if tuple(counts) != actual:
            yield f"queue {name} ({id}) counts {counts}, has {actual}"
    differences = set(db.execute(_FLOWS).fetchall()) ^ set(db.execute(_MEMBERS).fetchall())
    if differences:
        yield f"flows that do not count their members right: {differences}"
