--- Differences between definitions and a database, in lines for people and as data.
local output = require "perigee.cli.output"

local M = {}

local COLORS = { ["+"] = "green", ["-"] = "red", ["~"] = "yellow" }

local function place(at)
  if type(at) ~= "table" or not at.file then return nil end
  return ("%s:%s"):format(at.file, at.line or "?")
end

--- One change as data.
function M.describe(change)
  local d = require "perigee.schema.diff".describe(change)
  return {
    op = change.op, sign = d.sign, kind = d.kind, name = d.name, detail = d.detail,
    note = d.note, phase = change.phase, at = place(change.at), text = d.text,
  }
end

local function row_of(out, change)
  local d = M.describe(change)
  local text = d.name or ""
  if d.detail and d.detail ~= "" then text = text .. " " .. d.detail end
  local remarks = {}
  if d.note then remarks[#remarks + 1] = d.note end
  if d.at and not (d.note and d.note:find(d.at, 1, true)) then
    remarks[#remarks + 1] = d.at
  end
  local sign = out:paint(COLORS[d.sign] or "bold", d.sign or "~")
  return { sign .. " " .. (d.kind or change.op), output.safe(text),
    out:paint("dim", table.concat(remarks, ", ")) }
end

local JOURNAL = { perigee_migration = true, perigee_migration_step = true }

-- The journal is never compared: nobody has to be told.
local function without_journal(notes)
  local out = {}
  for _, n in ipairs(notes or {}) do
    if not JOURNAL[n.name] and not JOURNAL[n.on] then out[#out + 1] = n end
  end
  return out
end

--- What the notes say that is not compared, by kind and table, in lines.
function M.notes(notes)
  local counts, order = {}, {}
  for _, n in ipairs(without_journal(notes)) do
    local what = n.on and ("%s on %s"):format(n.kind, n.on)
      or ("%s %s"):format(n.kind, n.schema and n.schema .. "." .. n.name or n.name or "")
    if n.why then what = ("%s (%s)"):format(what, n.why) end
    if not counts[what] then
      counts[what] = 0
      order[#order + 1] = what
    end
    counts[what] = counts[what] + 1
  end
  local lines = {}
  for i, what in ipairs(order) do
    lines[i] = counts[what] > 1 and ("%d × %s"):format(counts[what], what) or what
    lines[i] = output.safe((lines[i]:gsub("%s+$", "")))
  end
  return lines
end

--- A result of diff as data.
function M.data(result)
  local out = { changes = {}, decisions = {}, notes = {}, problems = {} }
  for i, change in ipairs(result.changes or {}) do out.changes[i] = M.describe(change) end
  for i, d in ipairs(result.decisions or {}) do
    out.decisions[i] = { kind = d.kind, what = d.what, message = d.message,
      hints = d.hints or {} }
  end
  for i, n in ipairs(without_journal(result.notes)) do
    out.notes[i] = { kind = n.kind, name = n.name, schema = n.schema, on = n.on,
      why = n.why }
  end
  for i, p in ipairs(result.problems or {}) do
    out.problems[i] = { at = place(p.at), object = p.object, message = p.message }
  end
  return out
end

--- Shows what is not compared.
function M.show_notes(out, notes)
  local lines = M.notes(notes)
  if #lines == 0 then return end
  out:say("not compared:")
  for _, line in ipairs(lines) do out:say("  %s", line) end
end

--- Shows definitions that the database refuses, on standard error.
function M.show_problems(out, problems)
  for _, p in ipairs(problems or {}) do
    local at = place(p.at)
    out:warn("%s%s: %s", at and at .. ": " or "", output.safe(p.object or "definition"),
      output.safe(p.message))
  end
end

--- Shows decisions that a person has to make, on standard error.
function M.show_decisions(out, decisions)
  for _, d in ipairs(decisions or {}) do
    out:warn("%s", output.safe(d.message or d.what))
    for _, hint in ipairs(d.hints or {}) do
      io.stderr:write("  ", output.safe(hint), "\n")
    end
  end
end

--- Shows a result of diff.
function M.show(out, result)
  local rows = {}
  for i, change in ipairs(result.changes or {}) do rows[i] = row_of(out, change) end
  for _, line in ipairs(output.align(rows, { "l", "l", "l" }, "  ")) do
    out:say("%s", line)
  end
  M.show_notes(out, result.notes)
  M.show_problems(out, result.problems)
  M.show_decisions(out, result.decisions)
end

return M
