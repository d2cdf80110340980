-- docs/guide/nginx.md tells the truth: its configuration and its application, as they
-- are there but for the paths, give an answer.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

-- The first block of a language.
local function block(text, language)
  return assert(text:match("\n```" .. language .. "[^\n]*\n(.-)\n```"), language)
end

bed.each_way(function(start, way)
  it("runs the guide's first server", function()
    local guide = nginx.read_file "docs/guide/nginx.md"
    local folder = helper.folder { ["app.lua"] = block(guide, "lua") }
    local root = nginx.sh "pwd"
    local build = helper.build:sub(1, 1) == "/" and helper.build or root .. "/" .. helper.build
    local port = http.free_port()
    local conf = block(guide, "nginx")
      :gsub("/srv/app", folder):gsub("/usr/local/share/lua/5%.1", root .. "/lua")
      :gsub("/usr/local/lib/x86_64%-linux%-gnu/lua/5%.1", build .. "/lua")
      :gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. port)
    conf = conf:gsub('require "app"',
      ('require("perigee").host("nginx", { way = %q }) %%0'):format(way), 1)
    local server = start {
      conf = conf, port = port, env = { DATABASE_URL = os.getenv "PERIGEE_TEST_POSTGRES" },
    }
    for _, answer in ipairs(server:all(http.times(20, "/"))) do
      assert.equal(200, answer.status)
      assert.equal("application/json", answer.headers["content-type"])
      assert.matches('"greeting":"hello!"', answer.body, 1, true)
      assert.matches('"version":"PostgreSQL', answer.body, 1, true)
    end
    assert.equal(2, #server:workers())
  end)
end)
