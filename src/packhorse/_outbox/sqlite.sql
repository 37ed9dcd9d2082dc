-- Jobs on their way to a job store that is another database. Run this once, in the application's own file. Times are
-- microseconds of this host's clock.
CREATE TABLE IF NOT EXISTS packhorse_outbox (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    namespace  TEXT    NOT NULL,
    job        TEXT    NOT NULL,
    made_at    INTEGER NOT NULL,
    sending_at INTEGER,
    tried_at   INTEGER,
    problem    TEXT
);
