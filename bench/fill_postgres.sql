-- The tables of the workloads; fill_sqlite.sql makes the same.
DROP TABLE IF EXISTS lookup, mixed;
CREATE TABLE lookup (id int PRIMARY KEY, val text NOT NULL);
INSERT INTO lookup SELECT i, 'the value of row ' || i FROM generate_series(1, 10000) i;
CREATE TABLE mixed (
  id int PRIMARY KEY, big bigint NOT NULL, ratio float8 NOT NULL,
  name text NOT NULL, flag bool NOT NULL, at timestamptz NOT NULL,
  amount numeric(12, 2), note text);
INSERT INTO mixed
SELECT i, i * 4294967311, i / 8.0, 'name ' || i || ' of the table', i % 2 = 0,
  '2026-01-01T00:00:00Z'::timestamptz + i * interval '1000123 microseconds',
  CASE WHEN i % 10 > 0 THEN (i % 100000) / 100.0 + 1 END,
  CASE WHEN i % 3 = 0 THEN 'note ' || i END
FROM generate_series(1, 1000000) i;
VACUUM (FREEZE, ANALYZE) lookup, mixed;
CHECKPOINT;
