-- A worker under valgrind: it reads and writes nothing that is not its own.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

local has_valgrind = nginx.sh "command -v valgrind" ~= ""

-- nginx frees its environment before the process ends, and a library that libpq brings in
-- reads it in its destructor: that is not ours.
local function complaints(text)
  local found = {}
  for block in text:gmatch "(Invalid [rwf]%l+.-)\n==%d+== \n" do
    if not block:find("_dl_call_fini", 1, true) then found[#found + 1] = block end
  end
  return table.concat(found, "\n\n")
end

bed.each_way(function(start)
  it("has no invalid read or write in mixed requests", function()
    if not has_valgrind then return pending "valgrind is not installed" end
    helper.watchdog(120)
    local db = bed.database()
    local log = helper.tmpname()
    local server = start {
      workers = 0, patience = 60,
      command = "valgrind --log-file=" .. log .. " --undef-value-errors=no",
      env = { PERIGEE_SPEC_SIZE = "6" },
    }
    local n = 0
    http.crowd {
      port = server.port, width = 12,
      next = function()
        n = n + 1
        if n > 200 then return nil end
        if n % 10 == 0 then return "/kill" end
        if n % 10 == 1 then return "/exit?name=x&at=wait" end
        if n % 10 == 2 then return "/kinds" end
        local abort = n % 2 == 0 and (n % 30) / 1000 or nil
        return { path = "/checked/work?n=" .. n, abort = abort }
      end,
      done = function(r) assert.is_nil(r.error) end,
    }
    assert.equal(bed.IDLE, bed.idle(server, 10))
    assert.equal("42", server:body "/value?n=41")
    server:stop(20)
    local text = nginx.read_file(log)
    os.remove(log)
    assert.matches("ERROR SUMMARY", text)
    assert.is_nil(text:match "Process terminating[^\n]*")
    assert.equal("", complaints(text .. "\n"))
    assert.equal(0, db:value "select count(*) from marks")
  end)
end)
