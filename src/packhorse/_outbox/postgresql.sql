-- Jobs on their way to a job store that is another database. Run this once, in the application's database; whoever enqueues
-- needs INSERT and SELECT on it, the relay SELECT, UPDATE and DELETE. Times are microseconds of this database's clock.
CREATE TABLE IF NOT EXISTS packhorse_outbox (
    n          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text   NOT NULL UNIQUE,
    namespace  text   NOT NULL,
    job        text   NOT NULL,
    made_at    bigint NOT NULL,
    sending_at bigint,
    tried_at   bigint,
    problem    text
);
