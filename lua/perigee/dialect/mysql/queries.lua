--- What is asked of information_schema. Each takes the tables that are meant: the second
-- %s is empty, or a condition on the name of a table. The server opens what each condition on
-- a schema names: without one of them it reads all databases. What stands in /*M! … */ only
-- MariaDB reads, what stands in /*!80000 … */ only MySQL.
local M = {}

M.settings = [[SELECT database() AS name, version() AS version,
  @@collation_database AS collation, @@default_storage_engine AS engine]]

M.tables = [[SELECT t.table_name AS name, t.table_type AS kind, t.engine AS engine,
  t.table_collation AS collation, t.create_options AS options, t.table_comment AS comment
FROM information_schema.tables t WHERE t.table_schema = database()%s ORDER BY name]]

M.columns = [[SELECT t.table_name AS owner, t.column_name AS name, t.column_type AS type,
  t.is_nullable = 'YES' AS nullable, t.column_default AS deflt, t.extra AS extra,
  t.generation_expression AS expr, t.collation_name AS collation,
  t.column_comment AS comment /*!80003 , t.srs_id AS srid */
FROM information_schema.columns t WHERE t.table_schema = database()%s
ORDER BY t.table_name, t.ordinal_position]]

M.indexes = [[SELECT t.table_name AS owner, t.index_name AS name, t.non_unique AS many,
  t.column_name AS col, t.collation AS direction, t.sub_part AS part,
  t.index_type AS method, t.index_comment AS comment
  /*M!100600 , t.ignored = 'YES' AS hidden */
  /*!80013 , t.is_visible = 'NO' AS hidden, t.expression AS expr */
FROM information_schema.statistics t WHERE t.table_schema = database()%s
ORDER BY t.table_name, t.index_name, t.seq_in_index]]

M.foreign_keys = [[SELECT t.table_name AS owner, t.constraint_name AS name,
  t.column_name AS col, t.referenced_table_schema = database() AS is_near,
  t.referenced_table_schema AS ref_schema, t.referenced_table_name AS ref_table,
  t.referenced_column_name AS ref_col, r.update_rule AS on_update,
  r.delete_rule AS on_delete
FROM information_schema.key_column_usage t
JOIN information_schema.referential_constraints r
  ON r.constraint_schema = database() AND r.table_name = t.table_name
    AND r.constraint_name = t.constraint_name
WHERE t.table_schema = database()%s
ORDER BY t.table_name, t.constraint_name, t.ordinal_position]]

M.checks = [[SELECT t.table_name AS owner, t.constraint_name AS name, t.level AS level,
  t.check_clause AS expr
FROM information_schema.check_constraints t WHERE t.constraint_schema = database()%s
ORDER BY t.table_name, t.constraint_name]]

-- On MySQL a check is a constraint of its table, whatever it was written behind, and its name
-- is one of the database.
M.mysql_checks = [[SELECT t.table_name AS owner, t.constraint_name AS name,
  c.check_clause AS expr /*!80016 , t.enforced = 'NO' AS idle */
FROM information_schema.table_constraints t
JOIN information_schema.check_constraints c
  ON c.constraint_schema = database() AND c.constraint_name = t.constraint_name
WHERE t.constraint_schema = database() AND t.table_schema = database()
  AND t.constraint_type = 'CHECK'%s
ORDER BY t.table_name, t.constraint_name]]

M.views = [[SELECT table_name AS name, view_definition AS expr, check_option AS checked
FROM information_schema.views WHERE table_schema = database() ORDER BY name]]

M.triggers = [[SELECT trigger_name AS name, event_object_table AS owner,
  action_timing AS timing, event_manipulation AS event, action_statement AS body
FROM information_schema.triggers
WHERE event_object_schema = database() AND trigger_schema = database()
ORDER BY owner, timing, event, action_order]]

-- What has a SHOW CREATE of its own.
M.routines = [[SELECT lower(routine_type) AS kind, routine_name AS name
FROM information_schema.routines WHERE routine_schema = database()
UNION ALL
SELECT 'event', event_name FROM information_schema.events WHERE event_schema = database()
ORDER BY kind, name]]

return M
