-- The debugger: stops rules at lines, at errors and at ^C, and answers
-- commands about what it finds.
--
-- While it is attached the host calls `on_event` for each line that runs, and
-- `format_error` asks it at each error; the JIT compiler is off. Frames of the
-- library are passed over and never shown. What commands print and evaluate
-- is in `debug_commands.lua`. Detached, nothing of this runs.

local host, lib = ...

local scopes, commands, interactive = lib.scope, lib.debug_commands, lib.interactive
local log = lib.log.of('debugger')
local format_error, on_errors = lib.pprint.format_error, lib.pprint.on_errors
local getinfo, pcall, xpcall, error, type = debug.getinfo, pcall, xpcall, error, type
local setmetatable, find, sub = setmetatable, string.find, string.sub
local create, resume, running, status =
  coroutine.create, coroutine.resume, coroutine.running, coroutine.status
local jit = require('jit')
local jit_on, jit_off, jit_flush, jit_status = jit.on, jit.off, jit.flush, jit.status
local is_library = scopes.is_library

-- What the watchdog's hook raises (src/lua/watchdog.rs): nothing to look at,
-- since it is raised again until the rule has ended.
local STOPPED = 'rule stopped: over its time or memory budget'

-- Events as lua_Debug numbers them.
local RETURN, LINE = 1, 2

local debugger = {}

local attached = false
-- The prompt is open, or about to be: what runs then is not debugged.
local busy = false
-- The compiler was on before.
local had_jit = false

-- When to stop next: nil, 'line' (the next line of a rule), 'depth' (the next
-- one not deeper than `target` in its coroutine) or 'return' (the line after
-- the frame at `target` has returned). `why` is the reason to give.
local mode, target, thread, why = nil, 0, nil, nil

-- The message at which it stopped last, until rules go on: errors are passed
-- on from call to call.
local told = nil

-- Frames of rules in the running coroutine.
local function depth()
  local frames, level = 0, 2
  while true do
    local info = getinfo(level, 'S')
    if not info then return frames end
    if not is_library(info) then frames = frames + 1 end
    level = level + 1
  end
end

-- By coroutine, the function and line of each of its frames, by depth.
local activations = setmetatable({}, { __mode = 'k' })

-- Whether a line begins. LuaJIT tells a line again when a call in it returns.
local function is_new(at, func, line)
  local frames = activations[running()]
  if not frames then
    frames = {}
    activations[running()] = frames
  end
  for i = at + 1, #frames do frames[i] = nil end
  local frame = frames[at]
  if frame and frame.func == func and frame.line == line then return false end
  for i = #frames + 1, at - 1 do frames[i] = {} end
  frames[at] = { func = func, line = line }
  return true
end

local function returned(at)
  local frames = activations[running()]
  for i = at, frames and #frames or 0 do frames[i] = nil end
end

-- LuaJIT runs no hook inside a hook, so that a runaway typed at the prompt
-- could not be stopped. An error that ends a coroutine leaves the hook, as
-- far as LuaJIT is concerned (lj_err.c, "coroutines inside hooks"); whoever
-- left it ends with the nil error (src/lua/line_hook.rs).
local function leave_hook()
  resume(create(error))
end

-- Stops here: asks for commands until rules are to go on.
local function stop(reason, is_error)
  mode, why = nil, nil
  host.broken()
  local order, at = commands.converse(reason, is_error)
  if not attached then return end
  if order == 'step' then
    mode = 'line'
  elseif order == 'next' then
    mode, target, thread = 'depth', at, running()
  elseif order == 'finish' then
    mode, target, thread = 'return', at, running()
  end
end

-- Whether `next` has come as far as it should: a coroutine that the line
-- resumes is passed over, one that has ended is not waited for.
local function is_next(at)
  if running() == thread then return at <= target end
  return status(thread) == 'dead'
end

local function reason_at(info, line, at, interrupted)
  if interrupted then return 'general break requested' end
  if mode == 'line' then return why or commands.STEP end
  if mode == 'depth' and is_next(at) then return commands.STEP end
  -- The frame was left by an error.
  if mode == 'return' and running() == thread and at < target then return commands.STEP end
  if commands.has_breakpoint(info.source, line) then return 'breakpoint' end
end

-- The host's hook. What it raises is the stop of a runaway rule.
local function hook(event, line, interrupted)
  if busy then return end
  -- The function that runs.
  local info = getinfo(2, 'Sf')
  if not info or is_library(info) then return end
  local at = depth()
  if event == RETURN then
    if mode == 'return' and running() == thread and at <= target then mode = 'line' end
    return returned(at)
  end
  if event ~= LINE or not is_new(at, info.func, line) then return end
  told = nil
  local reason = reason_at(info, line, at, interrupted)
  if not reason then return end
  busy = true
  leave_hook()
  local ok, message = pcall(stop, reason, false)
  busy = false
  error(not ok and message or nil, 0)
end

-- Stops here; nothing if no debugger is attached.
function debugger.breakpoint()
  if not attached or busy then return end
  busy = true
  local ok, message = pcall(stop, 'breakpoint', false)
  busy = false
  if not ok then error(message, 0) end
end

-- Called where an error is raised, with all frames still there.
local function on_error(message)
  -- Frames that an error leaves do not return.
  activations[running()] = nil
  if busy or type(message) ~= 'string' or find(message, STOPPED, 1, true) then return end
  if told and sub(message, 1, #told) == told then return end
  told = message
  busy = true
  pcall(stop, message, true)
  busy = false
end

-- The body of a streamed listener: an error ends its coroutine, and is looked
-- at before.
local function body(fn)
  return function (...)
    local ok, message = xpcall(fn, format_error, ...)
    if not ok then error(message, 0) end
  end
end

-- Attaches. With `break_now` it stops at the next line of a rule.
function debugger.start(break_now)
  if not attached then
    if not interactive.attended() then return end
    attached, told = true, nil
    had_jit = jit_status()
    jit_off()
    jit_flush()
    on_errors(on_error)
    host.coroutine_body = body
    host.hook_lines(hook)
    log.info('lua debugger activated')
  end
  if break_now then mode, why = 'line', 'general break requested' end
end

function debugger.stop()
  if not attached then return end
  attached, mode = false, nil
  host.hook_lines(nil)
  host.coroutine_body = nil
  on_errors(nil)
  if had_jit then jit_on() end
  log.info('lua debugger deactivated')
end

-- Runs what the host would call itself, so that the debugger sees errors.
function debugger.protect(fn)
  local ok, message = xpcall(fn, format_error)
  if not ok then error(message, 0) end
end

-- Runs a rule file, with the debugger from its first line on if that is wanted.
function debugger.load(chunk)
  if host.wants_debugger() then debugger.start(true) end
  debugger.protect(chunk)
end

return debugger
