-- A host for tests: records what the library asks of it.

local LEVELS = { fatal = 0, error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

local host = {
  ffi = require('ffi'),
  mode = 'normal',
  profile = 'wero',
  passthrough = false,
  thread = 0,

  level = LEVELS.info,   -- what log_enabled lets through
  logs = {},             -- 'level section: message'
  levels_set = {},       -- 'level section'
  written = '',
  alerts = {},           -- {id =, record =, update = bool}
  hooks = {},            -- kinds of native events, in order
  policies_changed = {},
  exited = false,
}

local names = {}
for name, level in pairs(LEVELS) do names[level] = name end

function host.log(level, section, message)
  host.logs[#host.logs + 1] = string.format('%s %s: %s', names[level], section, message)
end

function host.log_enabled(level)
  return level <= host.level
end

function host.set_log_level(level, section)
  host.levels_set[#host.levels_set + 1] = level .. ' ' .. tostring(section)
end

function host.write(text)
  host.written = host.written .. text
end

function host.isatty()
  return false
end

function host.alert(id, record)
  local number = id or #host.alerts + 1
  host.alerts[#host.alerts + 1] = { id = number, record = record, update = id ~= nil }
  return number
end

function host.now()
  return 1390236283, 1961000
end

function host.time_text(secs)
  return 'time ' .. secs
end

function host.hooked(kind)
  host.hooks[#host.hooks + 1] = kind
end

function host.policy_changed(policy)
  host.policies_changed[#host.policies_changed + 1] = policy.name
end

function host.exit()
  host.exited = true
end

-- Forgets what was logged so far (loading registers dissectors).
function host.forget()
  host.logs, host.written = {}, ''
end

function host.debug()
  host.level = LEVELS.debug
end

return host
