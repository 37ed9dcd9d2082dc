-- A pause may end by itself.

ALTER TABLE packhorse_lines ADD COLUMN paused_until INTEGER;
CREATE INDEX packhorse_lines_pauses ON packhorse_lines (ns, paused_until) WHERE paused_until IS NOT NULL;
