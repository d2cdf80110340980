-- core.files, and what else the tools ask the machine.
local core = require "perigee.core"
local helper = require "spec.support.helper"

local files = core.files

describe("core.files", function()
  local root

  before_each(function()
    root = helper.tmpname()
    assert(files.make_directory(root .. "/a/b"))
  end)

  after_each(function()
    helper.sh("rm -rf '" .. root .. "'")
    helper.cleanup()
  end)

  local function touch(name)
    assert(io.open(root .. "/" .. name, "w")):close()
  end

  it("makes folders with their parents", function()
    assert.equal("directory", files.kind(root .. "/a/b"))
    assert.is_true(files.make_directory(root .. "/a/b"))
    assert.is_true(files.make_directory(root .. "/c//d/"))
    assert.equal("directory", files.kind(root .. "/c/d"))
    touch "file"
    assert.same({ nil, root .. "/file/x: Not a directory" },
      { files.make_directory(root .. "/file/x") })
    assert.same({ nil, root .. "/file: Not a directory" },
      { files.make_directory(root .. "/file") })
    assert.is_nil((files.make_directory ""))
    assert.matches("too long", select(2, files.make_directory(("x/"):rep(5000))))
  end)

  it("lists names in order", function()
    for _, name in ipairs { "z", "B", "10", "é", ".hidden", "9" } do touch(name) end
    assert.same({ ".hidden", "10", "9", "B", "a", "z", "é" }, files.list(root))
    assert.same({}, files.list(root .. "/a/b"))
    assert.same({ nil, root .. "/none: No such file or directory" },
      { files.list(root .. "/none") })
    assert.is_nil((files.list(root .. "/z")))
    for i = 1, 300 do touch(("a/%04d"):format(i)) end
    local list = files.list(root .. "/a")
    assert.same({ 301, "0001", "0300", "b" }, { #list, list[1], list[300], list[301] })
  end)

  it("tells what is there", function()
    touch "file"
    assert.equal("file", files.kind(root .. "/file"))
    assert.equal("other", files.kind "/dev/null")
    assert.is_nil(files.kind(root .. "/none"))
    assert.has_error(function() files.kind "a\0b" end)
  end)

  it("finds real paths", function()
    helper.sh(("ln -s a/b '%s/link'"):format(root))
    assert.equal(files.real(root) .. "/a/b", files.real(root .. "/./link"))
    assert.same({ nil, root .. "/none: No such file or directory" },
      { files.real(root .. "/none") })
  end)
end)

describe("the machine", function()
  it("has a host, a user and a time", function()
    assert.equal((helper.sh "uname -n":gsub("%s+$", "")), core.host_name())
    assert.equal((helper.sh "id -un":gsub("%s+$", "")), core.user_name())
    assert.is_true(math.abs(core.wall_time() - os.time()) < 5)
    assert.is_false(core.is_terminal(7))
    assert.is_boolean(core.is_terminal(1))
  end)

  it("makes checksums", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      core.sha256 "")
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      core.sha256 "abc")
    assert.equal(64, #core.sha256 "\0\255")
    assert.not_equal(core.sha256 "a\0b", core.sha256 "a\0c")
  end)
end)
