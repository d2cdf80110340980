-- The documentation tells the truth: its Lua examples run, its links lead
-- somewhere, and docs/api has every name that users can meet.
--
-- A Lua block of README.md, docs/guide and docs/api is run, with `perigee` and
-- an open `db`; those of a page in order on one database. Words behind ```lua
-- say where: "fragment" nowhere, "sqlite", "postgres" and "mysql" only there, "5.4" on
-- Lua 5.4 and later; "definitions" in the sandbox of perigee.schema.
local helper = require "spec.support.helper"
local perigee = require "perigee"
local core = require "perigee.core"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function pages(where)
  local list = {}
  local out = helper.sh("find " .. where .. " -name '*.md' | sort")
  for path in out:gmatch "[^\n]+" do list[#list + 1] = path end
  return list
end

-- The blocks of a page: { line =, words = { [word] = true }, code = }.
local function blocks(path)
  local list, block, n = {}, nil, 0
  for line in (read(path) .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    local info = line:match "^```(.*)$"
    if info and block then
      block.code = table.concat(block, "\n")
      list[#list + 1] = block.words.lua and block or nil
      block = nil
    elseif info then
      block = { line = n, words = {} }
      for word in info:gmatch "%S+" do block.words[word] = true end
    elseif block then
      block[#block + 1] = line
    end
  end
  return list
end

local is_54 = _VERSION >= "Lua 5.4"

local function is_for(block, database)
  local words = block.words
  if words.fragment or words["5.4"] and not is_54 then return false end
  if words.sqlite or words.postgres or words.mysql then return words[database] or false end
  return true
end

-- print of the examples: as print, but nothing is shown.
local function quiet(...)
  for i = 1, select("#", ...) do tostring((select(i, ...))) end
end

-- Error messages have the line of the page.
local function code_of(block)
  return ("\n"):rep(block.line) .. block.code
end

local function compile(block, path, env)
  local name = ("@%s:%d"):format(path, block.line)
  local code = code_of(block)
  if not setfenv then return assert(load(code, name, "t", env)) end
  return setfenv(assert(loadstring(code, name)), env)
end

local function run_page(path, db, database)
  for _, block in ipairs(blocks(path)) do
    if is_for(block, database) and block.words.definitions then
      perigee.schema.parse(code_of(block), { name = path })
    elseif is_for(block, database) then
      local env = setmetatable({ perigee = perigee, db = db, print = quiet },
        { __index = _G })
      compile(block, path, env)()
    end
  end
end

local function has_examples(path, database)
  for _, block in ipairs(blocks(path)) do
    if is_for(block, database) then return true end
  end
  return false
end

local all_pages = pages "README.md docs/guide docs/api"

describe("the Lua examples", function()
  helper.for_each_db(function(name, open)
    before_each(function() helper.translate_scripts(false) end) -- they run as they stand

    for _, path in ipairs(all_pages) do
      if has_examples(path, name) then
        it("of " .. path .. " run", function()
          run_page(path, open { max_size = 4 }, name)
        end)
      end
    end
  end, { "sqlite", "postgres", "mysql" })

  it("are found", function()
    assert.is_true(has_examples("README.md", "sqlite"))
    assert.is_true(has_examples("docs/guide/queries.md", "sqlite"))
    assert.is_false(has_examples("docs/guide/types.md", "sqlite"))
  end)
end)

describe("the links", function()
  -- As GitHub makes the names of headings.
  local function anchors(path)
    local set = {}
    for heading in ("\n" .. read(path)):gmatch "\n#+ ([^\n]+)" do
      local name = heading:lower():gsub("[^%w%s_-]", ""):gsub("%s", "-")
      set[name] = true
    end
    return set
  end

  local function check_link(page, link)
    if link:find "^%a+:" then return nil end
    local path, anchor = link:match "^([^#]*)#?(.*)$"
    local target = page
    if path ~= "" then
      target = (page:match "^(.*/)" or "") .. path
      local file = io.open(target)
      if not file then return "there is no " .. target end
      file:close()
    end
    if anchor ~= "" and not anchors(target)[anchor] then
      return ("%s has no heading #%s"):format(target, anchor)
    end
  end

  it("lead somewhere", function()
    for _, page in ipairs(pages "README.md docs") do
      for link in read(page):gmatch "%]%(([^)%s]+)%)" do
        assert.is_nil(check_link(page, link), page .. ": " .. link)
      end
    end
  end)

  it("of specs in databases.md are to files", function()
    local n = 0
    for line in read "docs/guide/databases.md":gmatch "[^\n]+" do
      for name in (line:match "^| .* |([^|]+)|$" or ""):gmatch "`(%w+/[%w_]+)`" do
        n = n + 1
        local file = io.open("spec/" .. name .. "_spec.lua")
        assert.is_truthy(file, name)
        file:close()
      end
    end
    assert.is_true(n > 40, n .. " names")
  end)

  it("of docs/README.md lead to every page", function()
    local index = read "docs/README.md"
    for _, page in ipairs(pages "docs/guide docs/api docs/internals") do
      local link = "](" .. page:match "^docs/(.*)$" .. ")"
      assert.is_truthy(index:find(link, 1, true), page .. " is not in the index")
    end
  end)
end)

describe("docs/api", function()
  -- Every word in code: between backticks, and in blocks.
  local words = {}
  for _, path in ipairs(pages "docs/api") do
    local text = read(path)
    for code in text:gmatch "`([^`\n]+)`" do
      for word in code:gmatch "[%a_][%w_]*" do words[word] = true end
    end
  end

  local function mentions(names, what)
    local n = 0
    for name in pairs(names) do
      n = n + 1
      assert.is_true(words[name] or false, ("%s %s is not in docs/api"):format(what, name))
    end
    assert.is_true(n > 0, "there is no " .. what)
  end

  -- The names in an error that says "allowed are a, b, c".
  local function allowed(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    local names = {}
    for name in tostring(err):match "allowed [ai][rs]e? (.*)$":gmatch "[%a_][%w_]*" do
      names[name] = true
    end
    return names
  end

  local db
  before_each(function() db = helper.open "sqlite::memory:" end)
  after_each(function()
    db = nil
    helper.cleanup()
  end)

  it("has every name of the module", function()
    mentions(perigee, "function")
  end)

  it("has every option of open", function()
    mentions(allowed(perigee.open, "sqlite::memory:", { tpyo = 1 }), "option")
  end)

  it("has every option of a call", function()
    mentions(allowed(db.query, db, "select 1", {}, { tpyo = 1 }), "option")
    mentions(allowed(db.transaction, db, print, { tpyo = 1 }), "option")
    mentions(allowed(db.close, db, { tpyo = 1 }), "option")
  end)

  it("has every verb", function()
    mentions(core.db_methods, "verb")
    mentions(core.exec_methods, "verb")
    mentions(core.task_methods, "method")
    mentions(core.stream_methods, "method")
  end)

  it("has every field of stats(), info() and driver()", function()
    mentions(db:stats(), "field")
    mentions(db:connection(function(conn) return conn:info() end), "field")
    mentions(db:driver(), "field")
    mentions(db:driver().features, "feature")
  end)

  it("has every kind of error", function()
    local kinds = {}
    local list = read "src/base/error.c":match "kinds%[PRG_K_COUNT_%] = (%b{})"
    for kind in list:gmatch '"([%a_]+)"' do kinds[kind] = true end
    mentions(kinds, "kind")
  end)
end)
