--- Words that a name has to be quoted for. The list of PostgreSQL is that of its own
-- pg_get_keywords(), the reserved ones; SQLite takes many of its keywords as names.
local M = {}

local function set(text)
  local out = {}
  for word in text:gmatch "%S+" do out[word] = true end
  return out
end

local POSTGRES = set [[all analyse analyze and any array as asc asymmetric authorization binary
  both case cast check collate collation column concurrently constraint create cross
  current_catalog current_date current_role current_schema current_time current_timestamp
  current_user default deferrable desc distinct do else end except false fetch for foreign
  freeze from full grant group having ilike in initially inner intersect into is isnull join
  lateral leading left like limit localtime localtimestamp natural not notnull null offset on
  only or order outer overlaps placing primary references returning right select session_user
  similar some symmetric table tablesample then to trailing true union unique user using
  variadic verbose when where window with]]

local MYSQL = set [[all alter and as asc before between by call case change check column
  condition constraint create cross cursor database databases default delete desc describe
  distinct div drop each else exists explain false fetch for force foreign from function
  generated get grant group groups having if ignore in index inner insert interval into is join
  key keys kill lead leave left like limit lines load lock match mod natural not null of on
  option or order out outer over partition primary procedure range rank read references
  release rename repeat replace require restrict return right row rows schema schemas select
  separator set show signal sql starting system table terminated then to trigger true undo
  union unique unlock update usage use using values when where while window with write]]

local SQLITE = set [[add all alter and as autoincrement between case check collate commit
  constraint create default deferrable delete distinct drop else escape except exists foreign
  from group having in index insert intersect into is isnull join limit not notnull null on or
  order primary references returning select set table then to transaction union unique update
  using values when where]]

local BY_DATABASE = { postgres = POSTGRES, mysql = MYSQL, sqlite = SQLITE }

--- Has the name to be quoted because it is a word of the language?
-- @tparam string name
-- @tparam string database
function M.is_reserved(name, database)
  return BY_DATABASE[database][name:lower()] ~= nil
end

return M
