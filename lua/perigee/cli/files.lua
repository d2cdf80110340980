--- Files that commands write.
local M = {}

--- Is there a file or folder of this name?
function M.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

--- Writes a file that must not be there yet.
-- @treturn boolean true; or nil and the reason
function M.create(path, text)
  if M.exists(path) then return nil, path .. " is there already" end
  local f, why = io.open(path, "wb")
  if not f then return nil, why end
  local ok, problem = f:write(text)
  local closed, reason = f:close()
  if ok and closed then return true end
  return nil, problem or reason
end

return M
