-- The log as rules see it: haka.log, haka.log_section, haka.setloglevel.
--
-- A message is formatted only when its level is enabled. Lines, columns and
-- colours are the host's.

local host, lib = ...

local type, pairs, tostring, setmetatable = type, pairs, tostring, setmetatable
local pcall, error = pcall, error
local format = string.format
local log_enabled, write = host.log_enabled, host.log
local check_error = lib.check.error

-- Sections are shared by all states of the process; this is the cap.
local MAX_SECTIONS = 256

local LEVELS = { fatal = 0, error = 1, warning = 2, info = 3, debug = 4 }

-- What haka.setloglevel accepts and how the host spells it.
local LEVEL_NAMES = {
  fatal = 'fatal', error = 'error', warning = 'warn', warn = 'warn',
  info = 'info', debug = 'debug', trace = 'trace', default = 'default',
}

-- `changes` counts those of levels: what asks often keeps the answer.
local log = { levels = LEVELS, changes = 0 }

local sections, section_count = {}, 0

-- Makes a section known without a Lua logger for it (modules of the host).
-- Returns false when there are already as many as there may be.
function log.declare(name)
  if sections[name] then return true end
  if section_count >= MAX_SECTIONS then return false end
  section_count = section_count + 1
  sections[name] = true
  return true
end

for _, name in pairs{
  'core', 'packet', 'time', 'states', 'remote', 'external',
  'lua', 'event', 'dissector', 'grammar', 'pcre', 'capture',
} do
  log.declare(name)
end

-- A wrong format is an error of the line that logs.
local function logger(level, section)
  return function (message, ...)
    if not log_enabled(level, section) then return end
    local ok, text = pcall(format, message, ...)
    if not ok then error(text, 2) end
    write(level, section, text)
  end
end

-- A table of the five functions, itself callable as `info` (by a tail call,
-- so that level 2 is the same line either way).
local function loggers(section)
  local functions = {}
  for name, level in pairs(LEVELS) do functions[name] = logger(level, section) end
  local info = functions.info
  return setmetatable(functions, {
    __call = function (_, message, ...) return info(message, ...) end,
  })
end

-- For library code: one section's functions without the cap's error.
function log.of(section)
  log.declare(section)
  return loggers(section)
end

function log.log_section(name)
  if type(name) ~= 'string' then check_error('invalid section name') end
  if not log.declare(name) then check_error('too many log section') end
  return loggers(name)
end

function log.setloglevel(level, section)
  local name = LEVEL_NAMES[level]
  if not name then check_error(format('invalid log level: %s', tostring(level))) end
  if section ~= nil then
    if not sections[section] then check_error('invalid section name') end
  elseif name == 'default' then
    check_error('invalid default log level')
  end
  host.set_log_level(name, section)
  log.changes = log.changes + 1
end

log.log = loggers('external')

return log
