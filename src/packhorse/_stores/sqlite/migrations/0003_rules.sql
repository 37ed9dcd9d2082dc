-- The waiting rules: what a job must hold, whom it must follow, how often such jobs start; unique keys and flows.

ALTER TABLE packhorse_namespaces ADD COLUMN last_place INTEGER NOT NULL DEFAULT 0;
ALTER TABLE packhorse_workers ADD COLUMN proved INTEGER NOT NULL DEFAULT 0;

-- A job with rules, a flow or a unique key, and one that others wait for. Such a job's own row says odd > 1.
-- state: that of the job when this row was last brought up to it, NULL: not yet.
-- stage: 0 ended; 1 neither waits for admit nor holds; 2 waits, and parents and flow have to be looked at; 3 a parent or the flow
--        is in the way; 4 it has no place yet; 5 it has one, but its queue is paused or served by nobody; 6 it stands in its
--        lines; 7 it holds what it must.
-- behind: mode and name of what kept it from being let go, when it was last looked at; NULL: look at it.
CREATE TABLE packhorse_rules (
    seq          INTEGER PRIMARY KEY,
    ns           INTEGER NOT NULL,
    queue        INTEGER NOT NULL,
    state        INTEGER,
    stage        INTEGER NOT NULL DEFAULT 1,
    place        INTEGER,
    behind       TEXT,
    holds        TEXT,
    after        TEXT,
    after_flow   TEXT,
    after_failed INTEGER NOT NULL DEFAULT 0,
    flow         TEXT,
    unique_key   TEXT,
    unique_until TEXT,
    unique_held  INTEGER NOT NULL DEFAULT 0,
    unique_end   INTEGER,
    parked       INTEGER NOT NULL DEFAULT 0,
    given_up     TEXT
);
CREATE INDEX packhorse_rules_waiting ON packhorse_rules (ns, stage, seq) WHERE stage IN (2, 3, 4, 5, 6);
CREATE INDEX packhorse_rules_queue ON packhorse_rules (ns, queue, stage, seq) WHERE stage IN (4, 5, 6);
CREATE INDEX packhorse_rules_behind ON packhorse_rules (ns, behind, place) WHERE stage = 6;
CREATE INDEX packhorse_rules_flow ON packhorse_rules (ns, flow, seq) WHERE flow IS NOT NULL;
CREATE INDEX packhorse_rules_follows ON packhorse_rules (ns, after_flow, seq) WHERE after_flow IS NOT NULL AND stage > 0;
CREATE UNIQUE INDEX packhorse_rules_key ON packhorse_rules (ns, unique_key) WHERE unique_held = 1;
CREATE INDEX packhorse_rules_given_up ON packhorse_rules (ns, given_up) WHERE given_up IS NOT NULL;

-- The names a job must hold, as long as it has not ended; stage and place are those of its row above.
CREATE TABLE packhorse_holds (
    seq   INTEGER NOT NULL,
    name  TEXT NOT NULL,
    mode  TEXT NOT NULL,
    ns    INTEGER NOT NULL,
    stage INTEGER NOT NULL DEFAULT 1,
    place INTEGER,
    PRIMARY KEY (seq, name)
) WITHOUT ROWID;
CREATE INDEX packhorse_holds_line ON packhorse_holds (ns, name, stage, mode, place);

-- Whom a job must follow, as long as it has not ended. By id: a parent may be stored after its child, when jobs move.
CREATE TABLE packhorse_edges (
    child  INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    ns     INTEGER NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (child, n)
) WITHOUT ROWID;
CREATE INDEX packhorse_edges_parent ON packhorse_edges (ns, parent, child);

-- The counters are those of a queue in packhorse_lines, of the members of a flow.
CREATE TABLE packhorse_flows (
    id          INTEGER PRIMARY KEY,
    ns          INTEGER NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    n_queued    INTEGER NOT NULL DEFAULT 0,
    n_running   INTEGER NOT NULL DEFAULT 0,
    n_scheduled INTEGER NOT NULL DEFAULT 0,
    n_retrying  INTEGER NOT NULL DEFAULT 0,
    n_blocked   INTEGER NOT NULL DEFAULT 0,
    n_succeeded INTEGER NOT NULL DEFAULT 0,
    n_failed    INTEGER NOT NULL DEFAULT 0,
    n_cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX packhorse_flows_name ON packhorse_flows (ns, name);
CREATE INDEX packhorse_flows_created ON packhorse_flows (ns, created_at, name);

CREATE TABLE packhorse_limits (
    ns      INTEGER NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    made_by TEXT NOT NULL,
    app     TEXT,
    set_at  INTEGER NOT NULL,
    PRIMARY KEY (ns, name)
) WITHOUT ROWID;

-- From when on nothing of a rate is used up; and when the next of those that wait for it has to be looked at.
CREATE TABLE packhorse_rates (
    ns    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    tat   INTEGER NOT NULL,
    wakes INTEGER,
    PRIMARY KEY (ns, name)
) WITHOUT ROWID;
CREATE INDEX packhorse_rates_wakes ON packhorse_rates (ns, wakes) WHERE wakes IS NOT NULL;

-- What the next admit has to look at: 1 those behind a name, 2 those that follow a job, 3 those that follow a flow; beyond this number.
CREATE TABLE packhorse_freed (
    ns   INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    what TEXT NOT NULL,
    upto INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (ns, kind, what)
) WITHOUT ROWID;

DROP VIEW packhorse_records;

-- As before, with the rules. The condition spares a plain job the look for them.
CREATE VIEW packhorse_records AS
SELECT j.seq, j.ns, j.id, k.task, q.name AS queue, j.state, j.payload, j.priority, j.rank, j.created_at,
       d.scheduled_at, d.due_at, nullif(j.started_at, -1152921504606846976) AS started_at,
       nullif(j.finished_at, -1152921504606846976) AS finished_at, d.expires_at, d.options,
       coalesce(d.crash_fails, 0) AS crash_fails, coalesce(d.suspect, 0) AS suspect,
       coalesce(d.failures, 0) AS failures, coalesce(d.crashes, 0) AS crashes, coalesce(d.losses, 0) AS losses,
       coalesce(d.snoozes, 0) AS snoozes, coalesce(d.generation, 0) AS generation, c.fence, c.token, c.worker,
       l.name AS line, d.tags, d.meta, j.made_by, d.parent,
       CASE j.result WHEN 0 THEN 'null' WHEN 1 THEN (SELECT t.result FROM packhorse_results t WHERE t.seq = j.seq) END AS result,
       d.result_until, d.error, d.reason, d.progress,
       d.cancel_at, d.cancel_by, j.kind, j.line AS line_id, k.queue AS queue_id, j.odd, d.cancel_reason, c.claim_no, j.claim,
       u.holds, u.after, u.after_flow, coalesce(u.after_failed, 0) AS after_failed, u.flow, u.unique_key, u.unique_until,
       coalesce(u.unique_held, 0) AS unique_held, u.unique_end, u.place,
       j.state = 6 AND coalesce(u.stage, 1) NOT IN (2, 3, 4, 5, 6) AS parked, u.given_up, u.seq IS NOT NULL AS ruled
  FROM packhorse_jobs j
  JOIN packhorse_kinds k ON k.id = j.kind
  JOIN packhorse_lines q ON q.id = k.queue
  JOIN packhorse_lines l ON l.id = j.line
  JOIN packhorse_claims c ON c.no = j.claim
  LEFT JOIN packhorse_details d ON d.seq = j.seq
  LEFT JOIN packhorse_rules u ON u.seq = iif(j.odd > 1, j.seq, NULL);
