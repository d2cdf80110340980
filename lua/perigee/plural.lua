--- English plurals of table names.
local M = {}

local PLURALS = {
  person = "people", man = "men", woman = "women", child = "children",
  mouse = "mice", goose = "geese", tooth = "teeth", foot = "feet", ox = "oxen",
  datum = "data", medium = "media", criterion = "criteria", phenomenon = "phenomena",
  matrix = "matrices", vertex = "vertices", quiz = "quizzes",
  leaf = "leaves", life = "lives", knife = "knives", wife = "wives", half = "halves",
  shelf = "shelves", wolf = "wolves", thief = "thieves", loaf = "loaves",
  self = "selves", calf = "calves", elf = "elves",
  hero = "heroes", potato = "potatoes", tomato = "tomatoes", echo = "echoes",
  veto = "vetoes",
  alias = "aliases", atlas = "atlases", bias = "biases", canvas = "canvases",
  gas = "gases", lens = "lenses", iris = "irises",
}

-- One or many, they are the same.
for word in ([[sheep fish deer series species news information equipment money rice
  feedback metadata software hardware staff]]):gmatch "%S+" do
  PLURALS[word] = word
end

local IS_PLURAL = {}
for _, plural in pairs(PLURALS) do IS_PLURAL[plural] = true end

-- Endings, the first that fits: what is taken off and what is put on.
local ENDINGS = {
  { "ss$", "sses" }, { "us$", "uses" }, { "sis$", "ses" }, { "s$", "s" },
  { "x$", "xes" }, { "z$", "zes" }, { "ch$", "ches" }, { "sh$", "shes" },
  { "([^aeiou])y$", "%1ies" }, { "$", "s" },
}

local function plural_of(word)
  if PLURALS[word] then return PLURALS[word] end
  if IS_PLURAL[word] then return word end
  for _, e in ipairs(ENDINGS) do
    local result, n = word:gsub(e[1], e[2], 1)
    if n > 0 then return result end
  end
  return word
end

--- The plural of the last word of a name, as its letters are: "user_account" gives
-- "user_accounts", "Person" "People", "albums" itself.
-- @tparam string name
-- @treturn string
function M.plural(name)
  local before, word = name:match "^(.-)(%u?%l+)$"
  if not word then
    before, word = name:match "^(.-)(%u+)$"
    if not word then return name end
    return before .. plural_of(word:lower()):upper()
  end
  local result = plural_of(word:lower())
  if word:find "^%u" then result = result:gsub("^%l", string.upper) end
  return before .. result
end

return M
