-- The tables of the workloads on MySQL and MariaDB; fill_sqlite.sql makes the same.
DROP TABLE IF EXISTS lookup, mixed, fresh;
CREATE TABLE lookup (id INT PRIMARY KEY, val VARCHAR(100) NOT NULL);
INSERT INTO lookup SELECT seq, CONCAT('the value of row ', seq) FROM seq_1_to_10000;
CREATE TABLE mixed (
  id INT PRIMARY KEY, big BIGINT NOT NULL, ratio DOUBLE NOT NULL,
  name VARCHAR(100) NOT NULL, at DATETIME(6) NOT NULL, amount DECIMAL(12, 2),
  note VARCHAR(100));
INSERT INTO mixed
SELECT seq, seq * 4294967311, seq / 8.0, CONCAT('name ', seq, ' of the table'),
  TIMESTAMP '2026-01-01 00:00:00.000000' + INTERVAL seq * 1000123 MICROSECOND,
  CASE WHEN seq % 10 > 0 THEN seq % 100000 / 100 + 1 END,
  CASE WHEN seq % 3 = 0 THEN CONCAT('note ', seq) END
FROM seq_1_to_1000000;
CREATE TABLE fresh (
  id INT AUTO_INCREMENT PRIMARY KEY, grp INT NOT NULL, score DOUBLE NOT NULL,
  name VARCHAR(100) NOT NULL);
ANALYZE TABLE lookup, mixed;
