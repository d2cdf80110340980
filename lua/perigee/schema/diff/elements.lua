--- The differences of what is no table: schemas, enums, views, objects.
local apply = require "perigee.schema.apply"
local equal = require "perigee.schema.diff.equal"
local match = require "perigee.schema.diff.match"

local M = {}

-- What it stands on, without the schema that is its own.
local function on_of(element)
  local prefix = element.schema and element.schema .. "."
  local on = element.on or ""
  return prefix and on:sub(1, #prefix) == prefix and on:sub(#prefix + 1) or on
end

local function key_of(element)
  return table.concat({ element.kind or "", element.schema or "", on_of(element),
    element.name }, "\0")
end

local function by_key(list)
  local out = {}
  for _, element in ipairs(list or {}) do out[key_of(element)] = element end
  return out
end

local function add(c, change)
  c.changes[#c.changes + 1] = change
end

local function unmanaged(c, kind, element)
  c.notes[#c.notes + 1] = { kind = kind, schema = element.schema, name = element.name,
    on = element.on, why = "is not in the definitions" }
end

-- May it be dropped for not being in the definitions?
local function is_ours(c, element)
  if c.manage == "all" then return true end
  local what = match.label(element.schema, element.name)
  return c.declared.drop[what] or type(c.manage) == "table" and c.manage[what] or false
end

-- The comment of what is there and stays.
local function compare_comment(c, kind, live, w, at)
  if live.comment == w.comment then return end
  add(c, { op = "set_comment", kind = kind, schema = w.schema, name = w.name, table = w.on,
    text = w.comment, was = live.comment, at = at })
end

-- ---- schemas ----------------------------------------------------------------

function M.schemas(c)
  local there = {}
  for _, name in ipairs(c.live.schemas or {}) do there[name] = true end
  for _, name in ipairs(c.wanted.schemas or {}) do
    if not there[name] then add(c, { op = "create_schema", name = name }) end
  end
end

-- ---- enums ------------------------------------------------------------------

local function positions(list)
  local out = {}
  for i, value in ipairs(list) do out[value] = i end
  return out
end

-- Values to add, each with its neighbour, when that is all there is to do; else nil.
local function added_values(live, wanted)
  local old, kept, out = positions(live), {}, {}
  for i, value in ipairs(wanted) do
    if old[value] then
      kept[#kept + 1] = value
    else
      out[#out + 1] = { value = value, after = wanted[i - 1], before = wanted[i + 1] }
    end
  end
  for i, value in ipairs(live) do
    if kept[i] ~= value then return nil end
  end
  for _, one in ipairs(out) do -- a neighbour that is there when it is this one's turn
    if one.after then one.before = nil else one.after = nil end
  end
  return out
end

-- Without any value before it, one goes before the first that is there already.
local function place_first(list, live)
  for i = #list, 1, -1 do
    if list[i].before then list[i].before = live[1] end
  end
  return list
end

local function compare_enum(c, live, wanted, at)
  if equal.data(live.values, wanted.values) then return end
  local values = added_values(live.values, wanted.values)
  if not values then
    add(c, { op = "set_enum_values", schema = wanted.schema, name = wanted.name,
      values = wanted.values, was = live.values, at = at })
    return
  end
  local before = live.values
  for _, one in ipairs(place_first(values, live.values)) do
    local op = { op = "add_enum_value", schema = wanted.schema, name = wanted.name,
      value = one.value, after = one.after, before = one.before, was = before, at = at }
    add(c, op)
    before = apply.with_value(before, op)
  end
end

function M.enums(c)
  local live, defined = by_key(c.live.enums), by_key(c.definitions.enums)
  local wanted = by_key(c.wanted.enums)
  for _, w in ipairs(c.wanted.enums or {}) do
    local l, at = live[key_of(w)], (defined[key_of(w)] or w).at
    if l then
      compare_enum(c, l, w, at)
      compare_comment(c, "enum", l, w, at)
    else
      add(c, { op = "create_enum", schema = w.schema, name = w.name, values = w.values,
        comment = w.comment, at = at })
    end
  end
  for _, l in ipairs(c.live.enums or {}) do
    if not wanted[key_of(l)] then
      if is_ours(c, l) then
        add(c, { op = "drop_enum", schema = l.schema, name = l.name, was = l.values })
      else
        unmanaged(c, "enum", l)
      end
    end
  end
end

-- ---- views ------------------------------------------------------------------

-- The live view that the definitions call by another name now.
local function renamed_view(live, w, definition)
  return definition.was and live[key_of { schema = w.schema, name = definition.was }]
end

function M.views(c)
  local live, defined = by_key(c.live.views), by_key(c.definitions.views)
  local taken = {}
  for _, w in ipairs(c.wanted.views or {}) do
    local definition = defined[key_of(w)] or w
    local l = live[key_of(w)]
    if not l then
      l = renamed_view(live, w, definition)
      if l then -- a view has nothing to lose
        add(c, { op = "drop_view", schema = l.schema, name = l.name, was = l })
        taken[l] = true
        l = nil
      end
    end
    if not l then
      add(c, { op = "create_view", view = definition, at = definition.at })
    else
      taken[l] = true
      if not equal.object(c.rules, l, w) then
        c.doubtful_views[match.label(w.schema, w.name)] = true
        add(c, { op = "replace_view", view = definition, was = l, at = definition.at })
      end
      compare_comment(c, w.materialized and "materialized_view" or "view", l, w, definition.at)
    end
  end
  for _, l in ipairs(c.live.views or {}) do
    if not taken[l] then
      if is_ours(c, l) then
        add(c, { op = "drop_view", schema = l.schema, name = l.name, was = l })
      else
        unmanaged(c, "view", l)
      end
    end
  end
end

-- ---- objects ----------------------------------------------------------------

-- What is on a managed table is managed with it.
local function is_managed_object(c, l)
  local owner = l.owned_by and l.owned_by:match "^(.*)%.[^.]*$"
  return l.on and (c.managed_tables[l.on] or c.managed_tables[match.label(l.schema, l.on)])
    or owner and c.managed_tables[owner] or is_ours(c, l)
end

-- The phase in which the object's table is dropped.
local function phase_of(c, l)
  for _, change in ipairs(c.changes) do
    if change.op == "drop_table" and match.is_on(l, change.schema, change.name) then
      return change.phase
    end
  end
end

function M.objects(c)
  local live, defined = by_key(c.live.objects), by_key(c.definitions.objects)
  local wanted = by_key(c.wanted.objects)
  for _, w in ipairs(c.wanted.objects or {}) do
    local l, definition = live[key_of(w)], defined[key_of(w)] or w
    if not l then
      add(c, { op = "create_object", object = definition, at = definition.at })
    elseif not equal.object(c.rules, l, w) then
      add(c, { op = "replace_object", object = definition, was = l, at = definition.at })
    else
      compare_comment(c, w.kind, l, w, definition.at)
    end
  end
  for _, l in ipairs(c.live.objects or {}) do
    if not wanted[key_of(l)] then
      if is_managed_object(c, l) then
        add(c, { op = "drop_object", kind = l.kind, schema = l.schema, name = l.name, on = l.on,
          was = l, phase = phase_of(c, l) })
      else
        unmanaged(c, l.kind, l)
      end
    end
  end
end

return M
