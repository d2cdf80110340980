---@meta _
-- Values that plain Lua does not have. `getmetatable(v) == perigee.array` tells one from the rest,
-- `tostring` shows it. Constructors copy their argument and raise `usage` when it does not fit.

--- NULL: the null pointer, which equals `ngx.null` and `cjson.null`.
---@class perigee.null: lightuserdata

--- DEFAULT, as the value of a column.
---@class perigee.default: userdata

--- What may be written in place of a column's value.
---@alias perigee.computed perigee.sql|perigee.default

--- What the function of `claim_one` returns to leave its row in the queue.
---@class perigee.retry: table

--- A piece of SQL with parameters, made by `perigee.sql`.
---@class perigee.sql: userdata

--- Conditions, made by `perigee.any_of`, `perigee.all_of` or `perigee.none_of`.
---@class perigee.group: userdata

--- Binary data.
---@class perigee.bytes: table
---@field value string

---@class perigee.bytes_type: table
---@overload fun(s: string): perigee.bytes

--- A value as a JSON document.
---@class perigee.json: table

---@class perigee.json_type: table
---@overload fun(v: any): perigee.json
local Json = {}

--- The JSON text of a value: what is in it is a string, a number, a boolean, `perigee.null`, or a
--- table with the keys 1 to n or with strings as keys.
---
--- Raises `usage` for NaN, infinities, functions, text that is not UTF-8, other tables, and tables
--- that contain themselves.
---@param v any
---@return string
---@nodiscard
function Json.encode(v) end

--- The value of a JSON text.
---
--- Raises `usage` for what is not JSON.
---@param text string
---@return any
---@nodiscard
function Json.decode(text) end

--- A document as JSON text.
---@class perigee.raw_json: table
---@field text string

---@class perigee.raw_json_type: table
---@overload fun(s: string): perigee.raw_json

--- A JSON object.
---@class perigee.json_object: table
---@field [string] any

---@class perigee.json_object_type: table
---@overload fun(t: table<string, any>): perigee.json_object

--- A JSON array.
---@class perigee.json_array: table
---@field [integer] any

---@class perigee.json_array_type: table
---@overload fun(t: any[]): perigee.json_array

--- An array; NULL in it is `perigee.null`.
---@class perigee.array: table
---@field [integer] any

---@class perigee.array_type: table
---@overload fun(t: any[]): perigee.array

--- A composite.
---@class perigee.record: table
---@field [string|integer] any

---@class perigee.record_type: table
---@overload fun(t: table): perigee.record

--- A range; nil is unbounded.
---@class perigee.range: table
---@field lower? any
---@field upper? any
---@field bounds? "[)"|"[]"|"(]"|"()" which of the ends are in it
---@field empty? boolean

---@class perigee.range_type: table
---@overload fun(lower: any, upper: any, bounds?: "[)"|"[]"|"(]"|"()"): perigee.range
---@overload fun(t: { lower?: any, upper?: any, bounds?: "[)"|"[]"|"(]"|"()", empty?: boolean }): perigee.range

--- A list of ranges.
---@class perigee.multirange: table
---@field [integer] perigee.range

---@class perigee.multirange_type: table
---@overload fun(t: perigee.range[]): perigee.multirange

--- Strings to strings or `perigee.null`.
---@class perigee.hstore: table
---@field [string] string|perigee.null

---@class perigee.hstore_type: table
---@overload fun(t: table<string, string|perigee.null>): perigee.hstore
