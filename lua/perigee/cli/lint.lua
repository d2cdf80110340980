--- perigee lint: what could go wrong with migrations.
local command = require "perigee.cli.command"
local output = require "perigee.cli.output"

local M = {
  name = "lint",
  summary = "Look for what is dangerous in migrations.",
}

function M.define(parser)
  parser:description("Look at migrations before they run: what loses data, what locks a table "
    .. "for long, what old programs cannot live with. Where there is a database, it is "
    .. "asked. Status 3: there are errors. m:allow(rule, reason) in the file lets one pass.")
  parser:argument("RANGE", "REV or FROM..TO; default: what is pending, offline all.")
    :args "?":target "range"
  parser:flag("--offline", "Do not ask the database.")
  parser:flag("--strict", "Warnings are errors.")
  command.add_json(parser)
  command.add_quiet(parser)
end

local LETTERS = { error = { "E", "red" }, warning = { "W", "yellow" }, info = { "I", "blue" } }

local function row_of(out, f)
  local letter = LETTERS[f.level] or LETTERS.info
  return { tostring(f.line or ""), out:paint(letter[2], letter[1]), f.rule,
    output.safe(f.message or ""), f.hint and out:paint("dim", "[" .. output.safe(f.hint) .. "]") }
end

local function show(out, findings)
  local by_path, paths = {}, {}
  for _, f in ipairs(findings) do
    local path = f.path or f.migration or "?"
    if not by_path[path] then
      by_path[path] = {}
      paths[#paths + 1] = path
    end
    table.insert(by_path[path], row_of(out, f))
  end
  for _, path in ipairs(paths) do
    out:say("%s", out:paint("bold", path))
    for _, line in ipairs(output.align(by_path[path], { "r", "l", "l", "l", "l" }, "  ")) do
      out:say("%s", line)
    end
  end
end

M.run = command.runner(function(self, options)
  local result = self:migrations():lint(options.range, { offline = options.offline })
  local errors, warnings = result.errors or 0, result.warnings or 0
  if options.json then
    self.out:data {
      findings = result.findings, errors = errors, warnings = warnings, infos = result.infos,
      notes = #result.notes > 0 and result.notes or nil,
    }
  else
    show(self.out, result.findings)
    for _, note in ipairs(result.notes) do self.out:say("note: %s", output.safe(note)) end
    if #result.findings == 0 then
      self.out:say "no problem found"
    else
      self.out:say("%s, %s", output.plural(errors, "error"),
        output.plural(warnings, "warning"))
    end
  end
  if errors > 0 or options.strict and warnings > 0 then return command.LINT end
end)

return M
