-- The tables of the workloads; fill_postgres.sql makes the same.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
BEGIN;
CREATE TABLE lookup (id INTEGER PRIMARY KEY, val TEXT NOT NULL);
WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 10000)
INSERT INTO lookup SELECT i, 'the value of row ' || i FROM g;
CREATE TABLE mixed (
  id INTEGER PRIMARY KEY, big BIGINT NOT NULL, ratio DOUBLE PRECISION NOT NULL,
  name TEXT NOT NULL, flag BOOLEAN NOT NULL, at TIMESTAMPTZ NOT NULL,
  amount NUMERIC(12, 2), note TEXT);
WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 1000000)
INSERT INTO mixed
SELECT i, i * 4294967311, i / 8.0, 'name ' || i || ' of the table', i % 2 = 0,
  strftime('%Y-%m-%dT%H:%M:%S', 1767225600 + i * 1000123 / 1000000, 'unixepoch')
    || printf('.%06dZ', i * 1000123 % 1000000),
  CASE WHEN i % 10 > 0 THEN (i % 100000) / 100.0 + 1 END,
  CASE WHEN i % 3 = 0 THEN 'note ' || i END
FROM g;
CREATE TABLE items (
  id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, score DOUBLE PRECISION NOT NULL,
  name TEXT NOT NULL);
WITH RECURSIVE g(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM g WHERE i < 199999)
INSERT INTO items SELECT i, i % 2000, i / 2000 % 100, 'item number ' || i FROM g;
CREATE INDEX items_grp ON items (grp, id);
CREATE TABLE fresh (
  id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, score DOUBLE PRECISION NOT NULL,
  name TEXT NOT NULL, note TEXT DEFAULT 'none');
CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 10000)
INSERT INTO counters SELECT i, 0 FROM g;
CREATE TABLE walk (id INTEGER PRIMARY KEY, at TIMESTAMPTZ NOT NULL, title TEXT NOT NULL);
WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 1200000)
INSERT INTO walk
SELECT i, strftime('%Y-%m-%dT%H:%M:%S', 1767225600 + i / 3 * 1000123 / 1000000,
    'unixepoch') || printf('.%06dZ', i / 3 * 1000123 % 1000000),
  'title of number ' || i
FROM g;
CREATE INDEX walk_at ON walk (at, id);
COMMIT;
ANALYZE;
PRAGMA wal_checkpoint(TRUNCATE);
