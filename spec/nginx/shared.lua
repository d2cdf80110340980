-- The specs that run inside nginx too: see run.lua, which starts it, and app.lua, which
-- runs them there.
local shared = {}

-- Some run in the content phase of a request, some in a timer.
shared.files = {
  { "spec/shared/calls_spec.lua", "content" },
  { "spec/shared/cancel_spec.lua", "content" },
  { "spec/shared/errors_spec.lua", "timer" },
  { "spec/shared/input_spec.lua", "content" },
  { "spec/shared/iteration_spec.lua", "content" },
  { "spec/shared/listen_spec.lua", "content" },
  { "spec/shared/open_spec.lua", "timer" },
  { "spec/shared/placeholders_spec.lua", "timer" },
  { "spec/shared/pool_spec.lua", "content" },
  { "spec/shared/soak_spec.lua", "content" },
  { "spec/shared/task_spec.lua", "content" },
  { "spec/shared/transaction_spec.lua", "content" },
  { "spec/tables/crud_spec.lua", "timer" },
  { "spec/tables/page_spec.lua", "timer" },
  { "spec/tables/upsert_spec.lua", "content" },
  { "spec/nginx/suite.lua", "content" },
  { "spec/nginx/suite.lua", "timer" },
}

-- What cannot hold there, beyond what holds in no host (spec/support/exceptions.lua):
-- [name of a spec or of a block around it] = why.
shared.skip = {
  ["in a foreign coroutine is usage and says what to do"] =
    "nginx: ngx_lua lets waits pass through coroutines",
  ["that are dropped go on, and are freed at their end"] =
    "nginx: ngx_lua keeps what an ended light thread refers to",
}

return shared
