--- Who keeps a statement waiting. What holds the lock of a table is known to
-- performance_schema only, which is switched off on most MariaDB servers; then the
-- transactions that are open are told, one of which it is.
local M = {}

-- trx_started is a time of the server's zone, whatever that of the session.
local AGE = [[CAST(timestampdiff(SECOND, t.trx_started,
    convert_tz(now(), @@session.time_zone, 'SYSTEM')) AS double)]]

local HOLDERS = [[SELECT DISTINCT o.processlist_id AS pid, o.processlist_info AS query,
  o.processlist_user AS user_name, o.processlist_command AS state,
  ]] .. AGE .. [[ AS age
FROM performance_schema.metadata_locks w
JOIN performance_schema.threads me
  ON me.thread_id = w.owner_thread_id AND me.processlist_id = ?
JOIN performance_schema.metadata_locks h ON h.lock_status = 'GRANTED'
  AND h.object_type = w.object_type AND h.object_schema = w.object_schema
  AND h.object_name = w.object_name AND h.owner_thread_id <> w.owner_thread_id
JOIN performance_schema.threads o ON o.thread_id = h.owner_thread_id
LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = o.processlist_id
WHERE w.lock_status = 'PENDING' ORDER BY age DESC]]

local OPEN = [[SELECT t.trx_mysql_thread_id AS pid, coalesce(t.trx_query, p.info) AS query,
  p.user AS user_name, p.command AS state, ]] .. AGE .. [[ AS age
FROM information_schema.innodb_trx t
JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> ? ORDER BY age DESC, pid]]

local WAITS = [[SELECT EXISTS (SELECT 1 FROM information_schema.processlist p
    WHERE p.id = ? AND p.state LIKE 'Waiting for%lock%')
  OR EXISTS (SELECT 1 FROM information_schema.innodb_trx t
    WHERE t.trx_mysql_thread_id = ? AND t.trx_state = 'LOCK WAIT')]]

local function list_of(rows, sure)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = { pid = tonumber(row.pid), query = row.query, age = tonumber(row.age),
      state = row.state, user_name = row.user_name, sure = sure }
  end
  return #list > 0 and list or nil
end

--- Who a waiting connection waits for, oldest transaction first.
-- @param x another connection
-- @tparam number pid of the connection that waits
-- @treturn {table,...} { pid =, query =, age = seconds of its transaction, user_name =,
-- state =, sure = false where it is only one of those that are open }, or nil when it does
-- not wait
function M.blockers(x, pid)
  local ok, rows = pcall(x.query, x, HOLDERS, { pid })
  local holders = ok and list_of(rows, true)
  if holders then return holders end
  if tonumber(x:value(WAITS, { pid, pid })) ~= 1 then return nil end
  return list_of(x:query(OPEN, { pid }), false)
end

return M
