-- The first schema. Every table is ours by its prefix, so that the file may be the application's own.
-- docs/internals/sqlite.md says why each index is there.

CREATE TABLE packhorse_namespaces (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- A queue, or a side line of one (side_of). The n_ columns count the jobs of a queue by state, side lines included; but not
-- the queued ones that were stored after the job whose number is this: fewer than 256, which whoever reads adds.
INSERT INTO packhorse_meta (key, value) VALUES ('counted', 0);
CREATE TABLE packhorse_lines (
    id            INTEGER PRIMARY KEY,
    ns            INTEGER NOT NULL,
    name          TEXT NOT NULL,
    side_of       INTEGER,
    step          INTEGER NOT NULL DEFAULT 2592000000000,
    paused_at     INTEGER,
    paused_by     TEXT,
    paused_reason TEXT,
    n_queued      INTEGER NOT NULL DEFAULT 0,
    n_running     INTEGER NOT NULL DEFAULT 0,
    n_scheduled   INTEGER NOT NULL DEFAULT 0,
    n_retrying    INTEGER NOT NULL DEFAULT 0,
    n_blocked     INTEGER NOT NULL DEFAULT 0,
    n_succeeded   INTEGER NOT NULL DEFAULT 0,
    n_failed      INTEGER NOT NULL DEFAULT 0,
    n_cancelled   INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX packhorse_lines_name ON packhorse_lines (ns, name);
CREATE INDEX packhorse_lines_side ON packhorse_lines (side_of) WHERE side_of IS NOT NULL;

-- A task on a queue, once, so that a job names both by one small number.
CREATE TABLE packhorse_kinds (
    id    INTEGER PRIMARY KEY,
    ns    INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    task  TEXT NOT NULL
);
CREATE UNIQUE INDEX packhorse_kinds_name ON packhorse_kinds (queue, task);
CREATE INDEX packhorse_kinds_task ON packhorse_kinds (ns, task);

-- What every job has, kept narrow, and never of another size than at first: what changes later holds a number of the same
-- width from the beginning, so that claim and settle write it in place. -(1 << 60) stands for "no time".
-- state: 2 queued, 3 running, 4 scheduled, 5 retrying, 6 blocked, 7 succeeded, 8 failed, 9 cancelled (0 and 1 take no byte).
-- odd: 0 nothing in packhorse_details, never claimed; 1 details that a success leaves alone; 2 details of any kind;
--      3 the same, and it is never claimed ahead of a free slot.
-- result: 0 is the JSON text null, 1 says that it stands in packhorse_results.
CREATE TABLE packhorse_jobs (
    seq         INTEGER PRIMARY KEY,
    ns          INTEGER NOT NULL,
    id          TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    odd         INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    claim       INTEGER NOT NULL DEFAULT 16777216,
    started_at  INTEGER NOT NULL DEFAULT -1152921504606846976,
    finished_at INTEGER NOT NULL DEFAULT -1152921504606846976,
    result      INTEGER,
    made_by     TEXT,
    payload     TEXT NOT NULL
);
CREATE UNIQUE INDEX packhorse_jobs_id ON packhorse_jobs (ns, id);
CREATE INDEX packhorse_jobs_ready ON packhorse_jobs (line, priority, rank) WHERE state = 2;
CREATE INDEX packhorse_jobs_blocked ON packhorse_jobs (line) WHERE state = 6;
CREATE INDEX packhorse_jobs_resting ON packhorse_jobs (kind, state) WHERE state NOT IN (2, 3);

CREATE TABLE packhorse_results (
    seq    INTEGER PRIMARY KEY,
    result TEXT NOT NULL
);

-- What the jobs of one claim share, until their next. jobs counts those that name it; running those that run, which are
-- found by it: all from first to last, or the members (JSON) if those are not theirs alone. The newest row is never deleted,
-- since it keeps the numbers from being given twice; the first one is that of jobs that were never claimed.
CREATE TABLE packhorse_claims (
    no       INTEGER PRIMARY KEY,
    ns       INTEGER NOT NULL,
    worker   TEXT,
    token    TEXT,
    claim_no INTEGER,
    fence    INTEGER NOT NULL,
    jobs     INTEGER NOT NULL,
    running  INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    members  TEXT
);
INSERT INTO packhorse_claims VALUES (16777216, 0, NULL, NULL, NULL, 0, 1, 0, 0, 0, NULL);
CREATE INDEX packhorse_claims_running ON packhorse_claims (worker) WHERE running > 0;
CREATE INDEX packhorse_claims_unused ON packhorse_claims (jobs) WHERE jobs = 0;

-- What only some jobs have. waits_until is expires_at until the job ends, due_at is kept while scheduled or
-- retrying, drop_at is result_until as long as the result is there.
CREATE TABLE packhorse_details (
    seq          INTEGER PRIMARY KEY,
    ns           INTEGER NOT NULL,
    scheduled_at INTEGER,
    due_at       INTEGER,
    expires_at   INTEGER,
    waits_until  INTEGER,
    result_until INTEGER,
    drop_at      INTEGER,
    crash_fails  INTEGER NOT NULL DEFAULT 0,
    suspect      INTEGER NOT NULL DEFAULT 0,
    failures     INTEGER NOT NULL DEFAULT 0,
    crashes      INTEGER NOT NULL DEFAULT 0,
    losses       INTEGER NOT NULL DEFAULT 0,
    snoozes      INTEGER NOT NULL DEFAULT 0,
    generation   INTEGER NOT NULL DEFAULT 0,
    cancel_at    INTEGER,
    cancel_by    TEXT,
    cancel_reason TEXT,
    parent       TEXT,
    options      TEXT,
    tags         TEXT,
    meta         TEXT,
    error        TEXT,
    reason       TEXT,
    progress     TEXT
);
CREATE INDEX packhorse_details_due ON packhorse_details (ns, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX packhorse_details_waits ON packhorse_details (ns, waits_until) WHERE waits_until IS NOT NULL;
CREATE INDEX packhorse_details_drop ON packhorse_details (ns, drop_at) WHERE drop_at IS NOT NULL;

CREATE TABLE packhorse_attempts (
    n          INTEGER PRIMARY KEY,
    job        INTEGER NOT NULL,
    token      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    worker     TEXT,
    host       TEXT,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT NOT NULL,
    error      TEXT,
    reason     TEXT,
    usage      TEXT,
    late       TEXT
);
CREATE UNIQUE INDEX packhorse_attempts_job ON packhorse_attempts (job, token);

CREATE TABLE packhorse_logs (
    n       INTEGER PRIMARY KEY,
    job     INTEGER NOT NULL,
    token   TEXT NOT NULL,
    text    TEXT NOT NULL,
    dropped INTEGER NOT NULL
);
CREATE UNIQUE INDEX packhorse_logs_job ON packhorse_logs (job, token);

CREATE TABLE packhorse_workers (
    n          INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    ns         INTEGER NOT NULL,
    name       TEXT NOT NULL,
    host       TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    boot_id    TEXT NOT NULL,
    lock_path  TEXT,
    lock_inode INTEGER,
    queues     TEXT,
    slots      INTEGER NOT NULL,
    version    TEXT NOT NULL,
    catalogue  TEXT NOT NULL,
    info       TEXT NOT NULL,
    state      TEXT NOT NULL,
    beats      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
);
CREATE UNIQUE INDEX packhorse_workers_name ON packhorse_workers (ns, name) WHERE state <> 'dead';

-- The jobs that run, by the claims they belong to.
CREATE VIEW packhorse_running AS
SELECT j.seq, c.ns, j.id, j.kind, c.no, c.worker, c.token, c.claim_no
  FROM packhorse_claims c CROSS JOIN packhorse_jobs j ON j.seq BETWEEN c.first AND c.last
 WHERE c.running > 0 AND c.members IS NULL AND +j.claim = c.no AND +j.state = 3
UNION ALL
SELECT j.seq, c.ns, j.id, j.kind, c.no, c.worker, c.token, c.claim_no
  FROM packhorse_claims c CROSS JOIN json_each(c.members) AS e CROSS JOIN packhorse_jobs j ON j.seq = e.value
 WHERE c.running > 0 AND c.members IS NOT NULL AND +j.claim = c.no AND +j.state = 3;

-- One wide row per job, for everything that reads and is not in a hurry.
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
       d.cancel_at, d.cancel_by, j.kind, j.line AS line_id, k.queue AS queue_id, j.odd, d.cancel_reason, c.claim_no, j.claim
  FROM packhorse_jobs j
  JOIN packhorse_kinds k ON k.id = j.kind
  JOIN packhorse_lines q ON q.id = k.queue
  JOIN packhorse_lines l ON l.id = j.line
  JOIN packhorse_claims c ON c.no = j.claim
  LEFT JOIN packhorse_details d ON d.seq = j.seq;
