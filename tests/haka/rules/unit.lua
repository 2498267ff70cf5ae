-- The wrapper of unit tests: loads the file named by UNIT from the folder
-- UNIT_DIR and raises an error when one of its tests fails.

package.path = package.path .. ';' .. os.getenv('UNIT_DIR') .. '/?.lua'

local unit = require('smallunit')
local suites = {}

function assertError(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  if ok then error('no error raised', 2) end
  if not tostring(message):match(pattern) then error('other error: ' .. tostring(message), 2) end
end

function addTestSuite(...)
  for _, name in ipairs { ... } do suites[#suites + 1] = name end
end

print('UNIT TEST BEGIN')
require(os.getenv('UNIT'))
local failures = 0
for _, name in ipairs(suites) do failures = failures + unit.run(name) end
if failures > 0 then error(failures .. ' tests failed') end
print('UNIT TEST END')
