---@meta _
-- The loops that Perigee runs in.

---@class perigee
local perigee = {}

--- Whose loop runs the caller; or sets it.
---
--- With "nginx", "cqueues", "luv" or "copas" only that loop is asked from now on, in this Lua
--- state; with "auto" all that are loaded. With a table: the user's own loop.
---
--- Raises `usage` for a name or a field that is not known, and for a loop that the program has not loaded.
---@param which? perigee.host_name|perigee.adapter|perigee.small_adapter
---@param options? perigee.host_options of nginx
---@return "none"|"perigee"|"nginx"|"cqueues"|"luv"|"copas"|string name "none": calls block; "perigee": `perigee.run`
---@return string why one line that says how waiting is done
function perigee.host(which, options) end

---@alias perigee.host_name "auto"|"nginx"|"cqueues"|"luv"|"copas"

--- Options of nginx.
---@class perigee.host_options
---@field way? "hub"|"relay"|"auto" how nginx's loop watches the databases ("auto": the hub where the probe allows it)

--- A loop of one's own.
---@class perigee.adapter
---@field name? string ("user")
---@field running fun(): any the running task of the loop; nil outside of it
---@field park async fun(seconds: number) suspends the running task until `wake`, at most so long; may return earlier
---@field wake fun(task: any) resumes a task that is parked
---@field watch fun(fd: integer, turn: fun()) called once: lets the loop call `turn` whenever the descriptor is readable
---@field spawn fun(fn: async fun()) runs `fn()` in a new task of the loop

--- A loop of one's own that can wait for descriptors.
---@class perigee.small_adapter
---@field name? string ("user")
---@field running? fun(): any the running task of the loop; nil outside of it (any coroutine but the main one)
---@field wait async fun(fd: integer, events: "r", seconds: number) suspends the running task until the descriptor is readable, or so many seconds are over
---@field spawn fun(fn: async fun()) runs `fn()` in a new task of the loop
