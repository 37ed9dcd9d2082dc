-- Schedules: the rules that make jobs, how far each has come, and what became of its last ticks.

-- One row for each namespace that has had schedules; the version counts what people and programs changed.
CREATE TABLE packhorse_books (
    ns      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    builds  TEXT NOT NULL
);

CREATE TABLE packhorse_schedules (
    n             INTEGER PRIMARY KEY,
    ns            INTEGER NOT NULL,
    id            TEXT NOT NULL,
    name          TEXT NOT NULL,
    spec          TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    watermark     INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    app           TEXT,
    build         TEXT,
    declared      TEXT,
    paused_at     INTEGER,
    paused_by     TEXT,
    paused_reason TEXT,
    edited_at     INTEGER,
    edited_by     TEXT,
    retired_at    INTEGER
);
CREATE UNIQUE INDEX packhorse_schedules_id ON packhorse_schedules (ns, id);
CREATE UNIQUE INDEX packhorse_schedules_name ON packhorse_schedules (ns, name);

CREATE TABLE packhorse_runs (
    schedule INTEGER NOT NULL,
    tick     INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    outcome  TEXT NOT NULL,
    job      TEXT,
    missed   INTEGER NOT NULL,
    PRIMARY KEY (schedule, tick)
) WITHOUT ROWID;
