--- What the runtime of migrations tells while it works, in lines for people.
local perigee = require "perigee"
local output = require "perigee.cli.output"
local runner = require "perigee.runner"

local M = {}

local Events = {}
Events.__index = Events

local TICK = 0.25 -- seconds between two looks at a long step
local WHAT_WIDTH = 56

--- Events of a command.
-- @param out of cli/output.lua
-- @return an object; its field `handler` goes to perigee.migrations.open
function M.new(out)
  local self = setmetatable({ out = out }, Events)
  self.handler = function(e)
    local method = Events["on_" .. e.type]
    if method then method(self, e) end
  end
  return self
end

--- How people know a migration: when it was written, and its message.
-- @tparam table m name (of the file) and message
function M.title(m)
  local stamp, rest = (m.name or ""):match "^(%d+T?%d+)_(.*)$"
  local message = m.message
  if message == nil or message == "" then
    message = rest and rest:gsub("_", " ") or m.name or ""
  end
  return output.safe((stamp or m.id or "?") .. " " .. message)
end

-- ---- a long step -----------------------------------------------------------

local function show_running(self)
  local now = runner.now() - self.since
  if now < 2 * TICK then return end
  self.out:progress(("%s%s  %s"):format(self.running, self.details or "",
    output.elapsed(now)))
end

--- Shows how long something takes, on a terminal.
function Events:watch(text)
  self.running, self.details, self.since = text, nil, runner.now()
  if self.ticking or not self.out.live then return end
  self.ticking = true
  perigee.spawn(function()
    while self.running do
      show_running(self)
      perigee.sleep(TICK)
    end
    self.ticking = false
  end)
end

--- Nothing runs any more.
function Events:stop()
  self.running = nil
  self.out:clear()
end

-- ---- the events ------------------------------------------------------------

function Events:on_lock(e)
  if e.state == "waiting" then
    self.waited = true
    self.out:say("waiting for the lock%s …",
      e.holder and " of " .. output.safe(e.holder) or "")
    self:watch("waiting for the lock")
  elseif self.waited then
    self:stop()
    self.waited = false
    self.out:say("lock obtained")
  end
end

local VERBS = { down = "reverting ", finish = "finishing " }

function Events:on_migration(e)
  self:stop()
  self.out:say("%s", self.out:paint("bold", (VERBS[e.phase] or "") .. M.title(e)))
end

function Events:on_start(e)
  local place = e.n and e.steps and ("%d/%d "):format(e.n, e.steps) or ""
  self:watch("  " .. place .. (e.what or e.mode or ""))
end

local function pad(text, width)
  return text .. (" "):rep(width - output.width(text))
end

function Events:on_step(e)
  self:stop()
  local what = output.safe(e.what or "")
  if e.rows then what = ("%s: %s"):format(what, output.plural(e.rows, "row")) end
  self.out:say("  %s %s %s %s", e.n or "-", pad(e.mode or "tx", 5), pad(what, WHAT_WIDTH),
    self.out:paint("dim", ("%8s"):format(output.elapsed(e.elapsed or 0))))
end

function Events:on_progress(e)
  self.details = ": " .. output.plural(e.rows or 0, "row")
  if e.batches then
    self.details = self.details .. ", " .. output.plural(e.batches, "batch", "batches")
  end
end

function Events:on_retry(e)
  self:stop()
  self.out:say("  %s: %s; trying again in %s", output.safe(e.what or "lock"),
    output.safe(e.message or "not obtained"), output.elapsed(e.wait or 0))
end

function Events:on_blocked(e)
  for _, b in ipairs(e.blockers or {}) do
    self.out:say("  %sblocked by connection %s%s: %s", b.sure == false and "perhaps " or "",
      tostring(b.pid),
      b.age and (", %s in transaction"):format(output.elapsed(b.age)) or "",
      output.safe(b.query or ""):sub(1, 120))
  end
end

function Events:on_blocking(e)
  self.out:say("  %s: others wait until it is done: %s", output.safe(e.what or "-"),
    output.safe(e.message or ""))
end

function Events:on_edited(e)
  self.out:say("note: %s was edited after it had been applied; it does the same",
    output.safe(e.path or e.name))
end

local DONE = { up = "applied", down = "reverted", finish = "finished" }

function Events:on_done(e)
  self:stop()
  local text = DONE[e.phase] or e.state or "done"
  if e.finish_pending then text = text .. "; finish pending" end
  self.out:say("%s", self.out:paint("green", text))
end

return M
