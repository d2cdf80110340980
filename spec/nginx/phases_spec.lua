-- Each phase of nginx: those that may wait, those that cannot, and those before workers.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local nginx = require "spec.support.nginx"

-- Notes what a phase has found in a shared dictionary.
local NOTE = [[
  lua_shared_dict notes 1m;
  init_by_lua_block {
    local app = require "spec.nginx.app"
    function note(name)
      local ok, value = pcall(app.db.value, app.db, "select 41 + 1")
      value = ok and value or type(value) == "table" and value.kind .. " " .. value.message
        or value
      ngx.shared.notes:set(name, tostring(value))
      return value
    end
    note "init"
  }
  init_worker_by_lua_block { note "init_worker" }
]]

local NOTED = [[
  location /noted { content_by_lua_block {
    ngx.print(ngx.shared.notes:get(ngx.var.arg_name) or "nothing") } }
]]

local function noted(server, name)
  return nginx.wait_for(function()
    local text = server:body("/noted?name=" .. name)
    return text ~= "nothing" and text
  end, 3)
end

local LOCATIONS = NOTED .. [[
  location /rewrite { rewrite_by_lua_block { ngx.ctx.got = note "rewrite" }
    content_by_lua_block { ngx.print(ngx.ctx.got) } }
  location /access { access_by_lua_block { ngx.ctx.got = note "access" }
    content_by_lua_block { ngx.print(ngx.ctx.got) } }
  location /content { content_by_lua_block { ngx.print(note "content") } }
  location /set { set_by_lua_block $got { return (note "set") }
    content_by_lua_block { ngx.print "ok" } }
  location /filter { header_filter_by_lua_block { note "header_filter" }
    body_filter_by_lua_block { note "body_filter" } content_by_lua_block { ngx.print "ok" } }
  location /log { log_by_lua_block { note "log" } content_by_lua_block { ngx.print "ok" } }
]]

-- A certificate for localhost, in the folder.
local function certificate(folder)
  local out, ok = helper.sh(("openssl req -new -x509 -days 2 -nodes -newkey rsa:2048"
    .. " -subj /CN=localhost -keyout %s/key.pem -out %s/cert.pem"):format(folder, folder))
  assert.is_true(ok, out)
end

bed.each_way(function(start)
  it("waits in rewrite, access and content", function()
    local server = start { http = NOTE, locations = LOCATIONS }
    for _, name in ipairs { "rewrite", "access", "content" } do
      assert.equal("42", server:body("/" .. name))
    end
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("blocks in init and init_worker", function()
    local server = start { http = NOTE, locations = LOCATIONS }
    assert.equal("42", noted(server, "init"))
    assert.equal("42", noted(server, "init_worker"))
    assert.equal("42", server:body "/content")
  end)

  it("says what to do where a phase cannot wait", function()
    local server = start { http = NOTE, locations = LOCATIONS }
    server:body "/content" -- the connection is there: it is not that which is refused
    server:body "/set"
    server:body "/filter"
    server:body "/log"
    for _, name in ipairs { "set", "header_filter", "body_filter", "log" } do
      local text = noted(server, name)
      assert.matches("^usage ", text, name)
      assert.matches("ngx.timer.at", text, 1, true)
      assert.matches(name, text, 1, true)
    end
    assert.equal("42", server:body "/content")
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("waits while a certificate is chosen", function()
    local folder = helper.folder {}
    certificate(folder)
    local port = require "spec.support.http".free_port()
    local server = start {
      http = NOTE, locations = LOCATIONS,
      server = ([[listen 127.0.0.1:%d ssl; ssl_certificate %s/cert.pem;
        ssl_certificate_key %s/key.pem;
        ssl_certificate_by_lua_block { note "ssl_certificate" }]])
        :format(port, folder, folder),
    }
    local out = helper.sh(("printf 'GET /content HTTP/1.0\\r\\n\\r\\n' |"
      .. " openssl s_client -quiet -connect 127.0.0.1:%d 2>/dev/null"):format(port))
    assert.matches("42$", out)
    assert.equal("42", noted(server, "ssl_certificate"))
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("opens anew for each request when code is not cached", function()
    local db = bed.database()
    local server = start {
      http = "lua_code_cache off;",
      env = { PERIGEE_SPEC_NAME = "no cache" },
    }
    for i = 1, 25 do assert.equal(tostring(i + 1), server:body("/value?n=" .. i)) end
    local list = {}
    for i = 1, 10 do list[i] = "/sleep?s=0.02" end
    for _, answer in ipairs(server:all(list)) do assert.equal("slept", answer.body) end
    -- The relay ends when it had nothing to do for some seconds.
    assert.is_truthy(nginx.wait_for(function()
      return bed.backends(db, "no cache") == 0
    end, helper.patience(15)), "connections are left")
  end)
end)
