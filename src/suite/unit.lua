-- Tests written in Lua, in the manner of early luaunit: assertions are
-- globals, suites are global tables `Test...` with methods `test...`.
--
-- chunk(file) gives rules' globals the assertions and returns `load()`, which
-- runs the file and answers the list of its tests, and `run(place)`, which
-- runs one of them and answers nil or what failed.

local file = ...

local type, tostring, error, pcall, select = type, tostring, error, pcall, select
local pairs, rawequal, getmetatable = pairs, rawequal, getmetatable
local format, match, concat, sort = string.format, string.match, table.concat, table.sort
local getinfo, dofile, sorted_pairs, G = debug.getinfo, dofile, sorted_pairs, _G

-- How deep tables are compared and shown.
local MAX_DEPTH = 16

-- Values -----------------------------------------------------------------------

local function shown(value, depth)
  if type(value) == 'string' then return format('%q', value) end
  if type(value) ~= 'table' or getmetatable(value) ~= nil then return tostring(value) end
  if depth == 0 then return '{...}' end
  local parts = {}
  for key, field in sorted_pairs(value) do
    parts[#parts + 1] = format('[%s] = %s', shown(key, 0), shown(field, depth - 1))
  end
  return '{' .. concat(parts, ', ') .. '}'
end

local function show(value)
  return shown(value, 4)
end

local function is_plain(value)
  return type(value) == 'table' and getmetatable(value) == nil
end

-- By content for plain tables, else by `==`.
local function same(one, other, depth)
  if rawequal(one, other) or one == other then return true end
  if not (is_plain(one) and is_plain(other)) or depth == 0 then return false end
  for key, value in pairs(one) do
    if not same(value, other[key], depth - 1) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return true
end

-- Assertions -------------------------------------------------------------------

local assertions = {}

function assertions.assertEquals(found, expected)
  if not same(found, expected, MAX_DEPTH) then
    error(format('expected: %s, found: %s', show(expected), show(found)), 2)
  end
end

function assertions.assertNotEquals(found, unexpected)
  if same(found, unexpected, MAX_DEPTH) then
    error(format('not expected: %s', show(found)), 2)
  end
end

function assertions.assertTrue(value)
  if not value then error(format('expected: true, found: %s', show(value)), 2) end
end

function assertions.assertFalse(value)
  if value then error(format('expected: false, found: %s', show(value)), 2) end
end

function assertions.assertNil(value)
  if value ~= nil then error(format('expected: nil, found: %s', show(value)), 2) end
end

function assertions.assertNotNil(value)
  if value == nil then error('nil was not expected', 2) end
end

function assertions.assertAlmostEquals(found, expected, margin)
  local number = type(found) == 'number' and type(expected) == 'number'
  local away = number and (found > expected and found - expected or expected - found)
  if not away or not (away <= (margin or 1e-9)) then
    error(format('expected: about %s, found: %s', show(expected), show(found)), 2)
  end
end

function assertions.assertMatch(text, pattern)
  if type(text) ~= 'string' or not match(text, pattern) then
    error(format('expected: a match of %s, found: %s', show(pattern), show(text)), 2)
  end
end

-- `assertError(pattern, fn, ...)`: fails with a message that the Lua pattern
-- finds. Without a pattern, as in luaunit, any error will do.
function assertions.assertError(pattern, fn, ...)
  local ok, message
  if type(pattern) == 'function' then
    ok, message = pcall(pattern, fn, ...)
    pattern = nil
  else
    ok, message = pcall(fn, ...)
  end
  if ok then error('an error was expected, none was raised', 2) end
  if pattern and not match(tostring(message), pattern) then
    error(format('expected: an error matching %s, found: %s', show(pattern), show(message)), 2)
  end
end

for _, name in pairs { 'number', 'string', 'table', 'function', 'boolean', 'userdata' } do
  local capital = name:sub(1, 1):upper() .. name:sub(2)
  local function assertion(value)
    if type(value) ~= name then
      error(format('expected: a %s, found: %s', name, show(value)), 2)
    end
  end
  assertions['assert' .. capital], assertions['assertIs' .. capital] = assertion, assertion
end

-- Suites -----------------------------------------------------------------------

local named = {}

-- Haka's wrapper ran these suites and no others.
function assertions.addTestSuite(...)
  for i = 1, select('#', ...) do named[#named + 1] = (select(i, ...)) end
end

for name, assertion in pairs(assertions) do G[name] = assertion end
package.preload.luaunit = function () return assertions end

local own = {}
for key in pairs(G) do own[key] = true end

local function is_test(name, value)
  return type(name) == 'string' and type(value) == 'function' and match(name, '^[tT]est') ~= nil
end

local tests = {}

-- In the order in which they are written.
local function add(prefix, suite, functions)
  local found = {}
  for name, fn in pairs(functions) do
    if is_test(name, fn) then
      found[#found + 1] = { name = prefix .. name, fn = fn, suite = suite,
        line = getinfo(fn, 'S').linedefined }
    end
  end
  sort(found, function (a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.name < b.name
  end)
  for i = 1, #found do tests[#tests + 1] = found[i] end
end

local function add_suite(name)
  local suite = G[name]
  if type(suite) ~= 'table' then
    error(format("addTestSuite: there is no table '%s'", tostring(name)), 0)
  end
  add(name .. '.', suite, suite)
end

local function load()
  local returned = dofile(file)
  if #named > 0 then
    for i = 1, #named do add_suite(named[i]) end
  else
    local functions = {}
    for name, value in sorted_pairs(G) do
      if not own[name] then
        if type(value) == 'table' and type(name) == 'string' and match(name, '^[tT]est') then
          add_suite(name)
        end
        functions[name] = value
      end
    end
    add('', nil, functions)
  end
  if type(returned) == 'table' then add('', returned, returned) end
  local names = {}
  for i = 1, #tests do names[i] = tests[i].name end
  return names
end

local function optional(suite, ...)
  if not suite then return true end
  for i = 1, select('#', ...) do
    local fn = suite[(select(i, ...))]
    if type(fn) == 'function' then return pcall(fn, suite) end
  end
  return true
end

local function run(place)
  local test = tests[place]
  local ok, message = optional(test.suite, 'setUp', 'SetUp', 'setup')
  if ok then ok, message = pcall(test.fn, test.suite) end
  local cleared, problem = optional(test.suite, 'tearDown', 'TearDown', 'teardown')
  if not ok then return message == nil and 'aborted' or tostring(message) end
  if not cleared then return 'tearDown: ' .. tostring(problem) end
end

return { load = load, run = run }
