--- When two texts that the server wrote differently mean the same.
local M = {}

-- Defaults that give the same value, by one of their forms. The server keeps the form
-- that was written.
local ALIASES = {
  ["current_timestamp"] = "now()", ["transaction_timestamp()"] = "now()",
  ["(now())::timestamp with time zone"] = "now()",
  ["('now'::text)::timestamp with time zone"] = "now()",
  ["(now())::date"] = "current_date", ["(current_timestamp)::date"] = "current_date",
  ["('now'::text)::date"] = "current_date",
  ["(now())::timestamp without time zone"] = "localtimestamp",
  ["(current_timestamp)::timestamp without time zone"] = "localtimestamp",
  ["('now'::text)::timestamp without time zone"] = "localtimestamp",
  ["(now())::time without time zone"] = "localtime",
  ["(current_timestamp)::time without time zone"] = "localtime",
  ["('now'::text)::time without time zone"] = "localtime",
  ["(now())::time with time zone"] = "current_time",
  ["(current_timestamp)::time with time zone"] = "current_time",
  ["user"] = "current_user", ["\"current_user\"()"] = "current_user",
  ["current_role"] = "current_user", ["\"session_user\"()"] = "session_user",
}

local function main_form(sql)
  if sql:find "['\"]" and not sql:find "^%('now'::text%)" and not sql:find '^"%a+_user"%(%)$' then
    return sql
  end
  local low = sql:lower()
  return ALIASES[low] or low
end

--- Do two defaults of live trees mean the same? now() and CURRENT_TIMESTAMP do. One that
-- was frozen when it was created ('now') is like any other.
-- @tparam table a { sql =, frozen = }
-- @tparam table b
function M.same_default(a, b)
  if a == nil or b == nil then return a == b end
  if a.frozen or b.frozen then return true end
  return a.sql == b.sql or main_form(a.sql) == main_form(b.sql)
end

--- Expressions come from the same server: equal texts are equal.
function M.same_text(a, b) return a == b end

local function same_list(a, b)
  if #(a or {}) ~= #(b or {}) then return false end
  for i = 1, #(a or {}) do
    if a[i] ~= b[i] then return false end
  end
  return true
end

--- Are two types of live trees the same? The values of enums are compared as enums.
function M.same_type(a, b)
  return a.raw == b.raw and a.enum == b.enum and a.schema == b.schema and a.name == b.name
    and (a.array or 0) == (b.array or 0) and same_list(a.args, b.args)
end

return M
