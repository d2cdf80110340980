--- Verbs on many records: insert_many, upsert_many, update_many, delete_many.
-- C reads the list once into a plan of steps, each one statement (lbulk.c). One
-- step is atomic by itself; several, or one in a transaction of the caller's, run
-- in a block of their own: all of the list is written, or nothing.
local core = require "perigee.core"
local copier = require "perigee.copier"
local wait = require "perigee.wait"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local crud = core.crud
local run_step = wait.leaf(crud.bulk_run)
local fetch_step = wait.leaf(crud.bulk_fetch)
local probe_step = wait.leaf(crud.bulk_probe)
local read_value = wait.leaf(core.verbs.value)

-- Columns that tell of an upsert.
local CREATED, MARK = "perigee:created", "perigee:mark"

local M = {}

-- ---- options ---------------------------------------------------------------

local function names_of(set)
  local names = {}
  for k in pairs(set) do names[#names + 1] = k end
  table.sort(names)
  return table.concat(names, ", ")
end

-- What C reads for the plan, and the options of each of its statements.
local function read_options(opts, allowed)
  if opts == nil then return {}, {} end
  if type(opts) ~= "table" then
    usage("the options must be a table, not %s", type(opts))
  end
  local own, call = {}, {}
  local strict = allowed.missing and opts.missing
  if strict and strict ~= "error" and strict ~= "report" then
    usage("missing: must be \"error\" or \"report\", not %s", tostring(strict))
  end
  for k, v in pairs(opts) do
    local where = allowed[k]
    if not where then
      usage("unknown option %q: allowed are %s", tostring(k), names_of(allowed))
    end
    (where == "own" and own or call)[k] = v
  end
  if call.rows ~= nil and call.rows ~= "record" then
    usage("rows = %q: only \"record\" is possible here", tostring(call.rows))
  end
  if own.returning == false and (call.class ~= nil or call.rows ~= nil) then
    usage("rows and class are for rows, and with returning = false there are none")
  end
  return own, call
end

local INSERT = { returning = "own", timeout = "call", class = "call", rows = "call" }
local UPSERT = {
  on = "own", set = "own",
  returning = "own", timeout = "call", class = "call", rows = "call",
}
local UPDATE = { on = "own", missing = "own", timeout = "call" }
local DELETE = { timeout = "call" }

-- ---- running ---------------------------------------------------------------

-- What a call keeps while it runs. The handle is copied: another task may give it
-- newer knowledge of the table meanwhile, and the plan is made for this one.
local function new_job(x, h, mode, list, opts)
  local own, call = read_options(opts[1], opts[2])
  local entry = h[8]
  own.whole = opts.whole
  -- Can RETURNING tell what an upsert has inserted?
  own.created = mode == "upsert" and entry.one_statement
  local rows_wanted = own.whole or own.returning ~= false
  local job = {
    x = x, h = { h[1], h[2], h[3], h[4] }, name = h.name,
    own = own, call = call, rows_wanted = rows_wanted, tells = own.created,
    marks = own.created and entry.steps and not entry.apart,
    apart = rows_wanted and entry.apart,
    auto = entry.auto, increment = entry.increment,
  }
  -- Which key a record ran into is said with its row.
  if job.marks and not rows_wanted and entry.pk then own.returning = { entry.pk[1] } end
  job.plan, job.n, job.steps = crud.bulk_plan(x, job.h, mode, list, own)
  return job
end

-- Runs `fn(job)`: alone when its one statement cannot leave half of its work, else in
-- a block.
local function run(job, alone, fn)
  local function finish(ok, ...)
    crud.bulk_free(job.plan)
    if not ok then error((...), 0) end
    return ...
  end
  if alone and job.steps == 1 and not transaction.in_transaction(job.x) then
    return finish(pcall(fn, job))
  end
  if not job.owned then crud.bulk_own(job.plan) end
  return finish(pcall(transaction.transaction, job.x, function(tx)
    job.x = tx
    return fn(job)
  end))
end

local function run_count(job)
  local count = 0
  for i = 1, job.steps do
    count = count + run_step(job.x, job.h, job.plan, i, job.call)
  end
  return count
end

-- ---- by COPY ---------------------------------------------------------------

local COPY_ROWS = 5000 -- from so many on it is faster than a statement with lists
local COPY_GROUPS = 8  -- each is a COPY of its own, of three round trips

-- The columns of the plan's groups when COPY stores just what the statements would: plain
-- values for columns that take them, into a table without rules and policies.
local function copy_groups(job, entry)
  if job.rows_wanted or job.n < COPY_ROWS or not entry.copies
    or not core.driver(job.x).features.copy then
    return nil
  end
  local groups = {}
  for k = 1, COPY_GROUPS + 1 do
    local n, columns, plain = crud.bulk_group(job.plan, k)
    if not n then return groups end
    if not plain then return nil end
    for _, name in ipairs(columns) do
      -- An INSERT refuses a value for it, which COPY takes.
      if entry.by_name[name].always then return nil end
    end
    groups[k] = columns
  end
  return nil
end

local function run_copy(job)
  local count = 0
  for k, columns in ipairs(job.groups) do
    count = count + copier.group(job.x, job.h, columns, job.plan, k, job.call.timeout)
  end
  return count
end

local function raise_foreign(job)
  error(core.new_error("unique",
    "the key of a record belongs to a row outside of the handle's scope", {
      table = job.name,
      detail = "nothing was written",
    }), 0)
end

-- A list of rows that says and prints as the one that a statement gave.
local function like(rows, into, tells)
  local from = getmetatable(rows)
  local meta = {}
  for k, v in pairs(from) do meta[k] = v end
  if from.columns then
    meta.columns = {}
    for _, name in ipairs(from.columns) do
      local ours = tells and (name == CREATED or name == MARK)
      if not ours then meta.columns[#meta.columns + 1] = name end
    end
  end
  return setmetatable(into, meta)
end

-- A trigger has kept rows back, and which ones nobody tells: what there is, in the
-- order of the steps.
local function append(job, i, rows, out, created)
  local _, fresh = crud.bulk_step(job.plan, i)
  for _, row in ipairs(rows) do
    out[#out + 1] = row
    if created and job.tells then
      created[#out] = fresh or rawget(row, CREATED) == true
      rawset(row, CREATED, nil)
    end
  end
end

-- Inserts and then reads the rows again, by their keys. Those that the database makes for
-- one statement follow each other.
local function insert_apart(job, i)
  local first = run_step(job.x, job.h, job.plan, i, job.call).last_id
  local n, increment = crud.bulk_step(job.plan, i), 1
  if n > 1 and first and job.increment then
    increment = read_value(job.x, job.increment)
  end
  local rows = fetch_step(job.x, job.h, job.plan, i, job.call, job.auto, first, increment)
  if #rows ~= n then
    error(core.new_error("unsupported", ("%s: of %d rows that were inserted %d are found by "
      .. "their keys: does a trigger change them? (returning = false does not look)"):format(
        job.name, n, #rows), { table = job.name }), 0)
  end
  return rows
end

local REFUSED = {} -- a record ran into a row that is not written

-- The rows of all steps in the order of the records. `created`: a list to be
-- filled in, or nil.
local function run_rows(job, created)
  local parts, out, put = {}, {}, crud.bulk_place
  for i = 1, job.steps do
    local rows = job.apart and insert_apart(job, i)
      or run_step(job.x, job.h, job.plan, i, job.call)
    if #rows ~= crud.bulk_step(job.plan, i) then
      if created and job.h[3] then raise_foreign(job) end
      put = nil
    end
    parts[i] = rows
  end
  if job.steps == 1 and not created then return parts[1] end
  for i = 1, job.steps do
    if put then
      if put(job.plan, i, parts[i], out, created) then error(REFUSED, 0) end
    else
      append(job, i, parts[i], out, created)
    end
  end
  return like(parts[1], out, job.tells)
end

-- Which keys of step `i` have no row: true or false in `into` at their places.
local function find_absent(job, i, into)
  local o = { timeout = job.call.timeout, rows = "array" }
  crud.bulk_absent(job.plan, i, probe_step(job.x, job.h, job.plan, i, o), into)
end

-- ---- the verbs -------------------------------------------------------------

--- Inserts many rows: all or none. What a record does not name has its default.
-- @tparam {table,...} list of records
-- @tparam[opt] table opts returning (false: count; a list of columns), timeout, class
-- @tparam[opt] boolean whole all columns are returned, whatever `returning` says
-- @treturn {table,...} the rows as stored, in the order of the list
function M.insert_many(x, h, list, opts, whole)
  local job = new_job(x, h, "insert", list, { opts, INSERT, whole = whole })
  if job.n == 0 then return job.rows_wanted and {} or 0 end
  job.groups = copy_groups(job, h[8])
  if job.groups then
    crud.bulk_own(job.plan)
    job.owned, job.steps = true, #job.groups
    return run(job, true, run_copy)
  end
  return run(job, not job.apart, job.rows_wanted and run_rows or run_count)
end

local function upsert_rows(job)
  local created = {}
  if not job.tells then -- then the keys are looked up before
    for i = 1, job.steps do
      local _, fresh = crud.bulk_step(job.plan, i)
      if not fresh then find_absent(job, i, created) end
    end
  end
  return run_rows(job, created), created
end

local function upsert_marked(job)
  local ok, rows, created = pcall(run, job, false, upsert_rows)
  if not ok then
    if rows == REFUSED then return nil end
    error(rows, 0)
  end
  if not job.rows_wanted then return #rows end
  return rows, created
end

local function upsert_count(job)
  local count = run_count(job)
  if job.h[3] and count ~= job.n then raise_foreign(job) end
  return count
end

--- Inserts many rows, or updates those whose key is there: all or none.
-- @tparam {table,...} list of records
-- @tparam[opt] table opts on (columns of a unique key, default the primary key), set
-- (columns that an existing row gets, default all that a record names), returning,
-- timeout, class
-- @tparam[opt] boolean whole all columns are returned, whatever `returning` says
-- @treturn {table,...} the rows as stored, in the order of the list
-- @treturn {boolean,...} for each whether it was inserted
-- Gives nil, and has written nothing, where a statement says no more of a conflict than
-- that it was with another key, or with a row out of reach.
function M.upsert_many(x, h, list, opts, whole)
  local job = new_job(x, h, "upsert", list, { opts, UPSERT, whole = whole })
  if job.marks and job.n > 0 then return upsert_marked(job) end
  if not job.rows_wanted then
    if job.n == 0 then return 0 end
    return run(job, not h[3], upsert_count)
  end
  if job.n == 0 then return {}, {} end
  return run(job, job.tells and not h[3], upsert_rows)
end

-- The keys as they were given: what others do to the list later does not count.
local function copy_keys(list, names)
  local keys = {}
  for k = 1, #names do
    local name, column = names[k], {}
    for i = 1, #list do column[i] = rawget(list[i], name) end
    keys[k] = column
  end
  return keys
end

local function key_at(keys, names, i)
  if #names == 1 then return keys[1][i] end
  local key = {}
  for k = 1, #names do key[names[k]] = keys[k][i] end
  return key
end

local function raise_missing(job, names, missing)
  local key = missing[1]
  local parts = {}
  for k = 1, #names do
    local value = key
    if #names > 1 then value = key[names[k]] end
    parts[k] = tostring(value)
  end
  error(core.new_error("not_found", ("no row with (%s) = (%s)%s"):format(
    table.concat(names, ", "), table.concat(parts, ", "),
    #missing > 1 and (", nor %d more of the list"):format(#missing - 1) or ""),
    { table = job.name }), 0)
end

local function update_all(job)
  local count, absent = 0, {}
  for i = 1, job.steps do
    local n = crud.bulk_step(job.plan, i)
    local done = run_step(job.x, job.h, job.plan, i, job.call)
    count = count + done
    if done < n then find_absent(job, i, absent) end
  end
  local missing = {}
  if next(absent) ~= nil then
    for i = 1, job.n do
      if absent[i] then missing[#missing + 1] = key_at(job.keys, job.names, i) end
    end
  end
  if job.strict and missing[1] ~= nil then raise_missing(job, job.names, missing) end
  return count, missing
end

--- The columns of the key that records are found by.
-- @param on nil, a column or a list of them, that was checked
function M.key_names(h, on)
  if type(on) == "string" then return { on } end
  local names = {}
  for i, name in ipairs(on or h.pk) do names[i] = name end
  return names
end

--- Updates many rows, each with its own values: all or none. What a record does not
-- name stays as it is.
-- @tparam {table,...} list of records: the key, and the columns to set
-- @tparam[opt] table opts on (columns of a unique key, default the primary key),
-- missing = "error" (raise not_found when a row is not there), timeout
-- @treturn integer how many rows were there
-- @treturn table the keys that have no row, as they were given
function M.update_many(x, h, list, opts)
  local job = new_job(x, h, "update", list, { opts, UPDATE })
  if job.n == 0 then return 0, {} end
  job.strict = job.own.missing == "error"
  job.names = M.key_names(h, job.own.on)
  job.keys = copy_keys(list, job.names)
  return run(job, false, update_all)
end

-- ---- checks ----------------------------------------------------------------

-- The number of records of a list that a verb would take.
local function check(x, h, mode, list, opts)
  local job = new_job(x, h, mode, list, opts)
  crud.bulk_free(job.plan)
  return job.n
end

--- Raises what upsert_many would, before anything is written.
function M.check_upsert(x, h, list, opts)
  return check(x, h, "upsert", list, { opts, UPSERT })
end

--- The same for the options of update_many.
function M.check_update(x, h, opts)
  return check(x, h, "update", {}, { opts, UPDATE })
end

--- The same for delete_many; the number of keys.
function M.check_delete(x, h, list, opts)
  return check(x, h, "delete", list, { opts, DELETE })
end

-- ---- deleting --------------------------------------------------------------

--- Deletes the rows with these keys: all or none.
-- @tparam table list of keys: scalars, lists or tables by name (a row is fine)
-- @tparam[opt] table opts timeout
-- @treturn integer how many rows were there
function M.delete_many(x, h, list, opts)
  local job = new_job(x, h, "delete", list, { opts, DELETE })
  if job.n == 0 then return 0 end
  return run(job, true, run_count)
end

return M
