-- Runs test suites the way early luaunit did: global tables, methods whose
-- names begin with `test`, `setUp` before each. Found through LUA_PATH.

local unit = {}

-- Returns how many tests failed.
function unit.run(name)
  local suite, failures = _G[name], 0
  for test, fn in sorted_pairs(suite) do
    if test:match('^test') then
      if suite.setUp then suite:setUp() end
      local ok, message = pcall(fn, suite)
      print(name .. ':' .. test .. ' ' .. (ok and 'Ok' or 'Failed: ' .. tostring(message)))
      if not ok then failures = failures + 1 end
    end
  end
  return failures
end

return unit
