-- Reads the annotations for editors, docs/meta: classes with their fields and functions.
-- It knows what these files use of LuaLS's language, no more.
--
-- all = { classes = { [name] = C }, globals = { [name] = F }, files = { [path] = its first
--         comment }, order = { C, alias or global function as they come, … } }
-- C = { name, parent, doc, raises, fields = { F, … }, functions = { F, … }, overloads,
--       by = { [name] = F }, file, line, section }
-- F = { name, type, optional, doc, raises, params = { P, … }, returns = { P, … }, async,
--       nodiscard, overloads, owner, colon, file, line, section }
-- P = { name, type, optional, doc }
local tree = dofile((arg[0]:match "^(.*)/" or ".") .. "/tree.lua")

local annotations = {}

-- ---- types -----------------------------------------------------------------

local OPEN, CLOSE = { ["("] = 1, ["{"] = 1, ["<"] = 1, ["["] = 1 },
  { [")"] = 1, ["}"] = 1, [">"] = 1, ["]"] = 1 }

-- Does a type go on behind the blank at `i`?
local function goes_on(text, i)
  local before, after = text:sub(1, i - 1), text:sub(i):match "^%s*(.*)$"
  return before:find "[|,:]$" or after:find "^|" or before == "async"
end

-- "fun(a: b): c what it is" -> the type, the rest
local function split_type(text)
  local depth, i = 0, 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == '"' then
      i = text:find('"', i + 1, true) or #text
    elseif OPEN[c] then
      depth = depth + 1
    elseif CLOSE[c] then
      depth = depth - 1
    elseif c == " " and depth == 0 and not goes_on(text, i) then
      break
    end
    i = i + 1
  end
  return text:sub(1, i - 1), text:sub(i + 1):match "^%s*(.*)$"
end

-- "name? type doc"
local function named(text)
  local name, mark, rest = text:match "^(%[?[%w_.\"]+%]?)(%??)%s+(.*)$"
  if not name then return { name = text, type = "any" } end
  local ty, doc = split_type(rest)
  return { name = name, optional = mark == "?", type = ty, doc = doc }
end

-- "type name doc"
local function returned(text)
  local ty, doc = split_type(text)
  local name, rest = doc:match "^([%a_][%w_]*)%s*(.*)$"
  if ty == "any" and doc:find "^%.%.%." then name, rest = "...", doc:sub(5) end
  return { type = ty, name = name, doc = rest or doc, whole = doc }
end

--- The parts of a list, where a separator is in no bracket or string:
-- "a: fun(x, y), b" -> { "a: fun(x, y)", "b" }
function annotations.split(text, separator)
  local out, depth, from, quoted = {}, 0, 1, false
  for i = 1, #text + 1 do
    local c = text:sub(i, i)
    if c == '"' then quoted = not quoted end
    if OPEN[c] and not quoted then depth = depth + 1 end
    if CLOSE[c] and not quoted then depth = depth - 1 end
    if c == "" or c == separator and depth == 0 and not quoted then
      local part = text:sub(from, i - 1):match "^%s*(.-)%s*$"
      if part ~= "" then out[#out + 1] = part end
      from = i + 1
    end
  end
  return out
end

-- Of "async fun(self: T, a?: b, ...): c" the parameters, without self, and what is
-- returned; nil for what is no function.
function annotations.of_function(ty)
  local inside, rest = ty:gsub("^async ", ""):match "^fun%f[^%w](%b())(.*)$"
  if not inside then return nil end
  local params = {}
  for _, part in ipairs(annotations.split(inside:sub(2, -2), ",")) do
    local name, mark, t = part:match "^([%w_.]+)(%??)%s*:?%s*(.*)$"
    if name ~= "self" then
      params[#params + 1] = { name = name, optional = mark == "?", type = t }
    end
  end
  return params, annotations.split(rest:match "^:%s*(.*)$" or "", ",")
end

-- ---- blocks of comments ------------------------------------------------------

-- The text of a block, that of what it raises apart.
local function texts(lines)
  local doc, raises = {}, nil
  for _, line in ipairs(lines) do
    local into = line:match "^Raises (.*)$"
    if into then
      raises = { into }
    elseif raises then
      raises[#raises + 1] = line
    else
      doc[#doc + 1] = line
    end
  end
  return (table.concat(doc, "\n"):gsub("%s+$", "")), raises and table.concat(raises, " ")
end

local tags = {}

local function new_class(self, text)
  local name, parent = text:match "^([%w_.]+)[^:]*:%s*(.*)$"
  name = name or text:match "^[%w_.]+"
  local class = self.all.classes[name]
  if not class then
    class = { kind = "class", name = name, fields = {}, functions = {}, by = {},
      overloads = {}, file = self.file, line = self.line, section = self.section }
    self.all.classes[name] = class
    self.all.order[#self.all.order + 1] = class
  end
  class.parent = parent or class.parent
  if #self.lines > 0 then class.doc, class.raises = texts(self.lines) end
  self.lines, self.class = {}, class
end
tags.class = new_class

function tags.alias(self, text)
  local name, ty = text:match "^(%S+)%s*(.*)$"
  local doc = texts(self.lines)
  self.alias = { kind = "alias", name = name, type = ty, doc = doc, values = {},
    file = self.file, line = self.line, section = self.section }
  self.lines = {}
  self.all.order[#self.all.order + 1] = self.alias
  self.all.classes[name] = self.alias
end

function tags.field(self, text)
  local f = named(text)
  if f.name:find "^%[" and not f.name:find '"' then
    self.lines = {}
    return
  end
  if #self.lines > 0 then f.doc, f.raises = texts(self.lines) end
  self.lines = {}
  f.file, f.line = self.file, self.line
  f.params, f.results = annotations.of_function(f.type)
  f.async = f.type:find "^async" ~= nil
  local fields = self.class.fields
  fields[#fields + 1], self.class.by[f.name] = f, f
end

function tags.param(self, text)
  self.params[#self.params + 1] = named(text)
end
tags["return"] = function(self, text)
  self.returns[#self.returns + 1] = returned(text)
end
function tags.overload(self, text)
  local into = self.class and self.class.overloads or self.overloads
  into[#into + 1] = text
end
function tags.async(self) self.async = true end
function tags.nodiscard(self) self.nodiscard = true end
function tags.type(self, text) self.type = split_type(text) end

local function begin(self)
  self.lines, self.params, self.returns, self.overloads = {}, {}, {}, {}
  self.class, self.alias, self.async, self.nodiscard, self.type = nil, nil, nil, nil, nil
end

local function comment(self, line)
  local value, doc = line:match '^%-%-%-|%s*("[^"]*")%s*(.*)$'
  local tag, text = line:match "^%-%-%-@(%w+)%s*(.*)$"
  if value and self.alias then
    table.insert(self.alias.values, { value = value, doc = doc })
  elseif tag then
    if tags[tag] then tags[tag](self, text) end
  else
    self.lines[#self.lines + 1] = line:match "^%-%-%-%s?(.*)$"
  end
end

-- ---- code --------------------------------------------------------------------

local function new_function(self, path, args)
  local owner, mark, name = path:match "^([%w_]+)([.:])([%w_]+)$"
  local f = { name = name or path, params = self.params, returns = self.returns,
    async = self.async, nodiscard = self.nodiscard, overloads = self.overloads,
    colon = mark == ":", file = self.file, line = self.line, args = {},
    section = self.section, kind = "function" }
  for arg_name in args:gmatch "[%w_.]+" do table.insert(f.args, arg_name) end
  f.doc, f.raises = texts(self.lines)
  if not owner then
    self.all.globals[path] = f
    self.all.order[#self.all.order + 1] = f
    return
  end
  local class = assert(self.variables[owner], path)
  f.owner, class.by[f.name] = class, f
  table.insert(class.functions, f)
end

local function code(self, line)
  local path, args = line:match "^function%s+([%w_.:]+)%((.-)%)"
  local variable = line:match "^local%s+([%w_]+)%s*="
  local global, rest = line:match "^([%w_]+)%s*=%s*nil%s*(.*)$"
  if path then
    new_function(self, path, args)
  elseif variable then
    self.variables[variable] = self.class
  elseif global then
    local ty, doc = rest:match "^%-%-%-@type%s+(%S+)%s*(.*)$"
    self.all.globals[global] = { name = global, type = ty or self.class.name, doc = doc,
      file = self.file, line = self.line, kind = "value", section = self.section }
    table.insert(self.all.order, self.all.globals[global])
  end
end

-- The first comment of a file says what it is; others begin a section.
local function plain_comment(self, line)
  local section, text = line:match "^%-%- %-%-%-%- (.-) %-+$", line:match "^%-%- (.*)$"
  local files = self.all.files
  if section then
    self.section = section
  elseif text and not self.section then
    files[self.file] = (files[self.file] and files[self.file] .. " " or "") .. text
  end
end

--- Reads all files below root/dir.
function annotations.read(root, dir)
  local all = { classes = {}, globals = {}, order = {}, files = {} }
  for _, file in ipairs(tree.files(root, dir, "*.lua")) do
    local self = { all = all, file = file, variables = {} }
    begin(self)
    for n, line in tree.lines(tree.read(root .. "/" .. file)) do
      self.line = n
      if line:find "^%-%-%-" then
        comment(self, line)
      elseif line:find "^%-%-" then
        plain_comment(self, line)
      else
        code(self, line)
        begin(self)
      end
    end
  end
  return all
end

--- The fields of a class and of those that it is derived from, by name.
function annotations.fields(all, name)
  local out, class = {}, all.classes[name]
  while class do
    for _, f in ipairs(class.fields) do out[f.name] = out[f.name] or f end
    class = all.classes[class.parent]
  end
  return out
end

return annotations
