-- Interactive sessions: lines typed by a person, run in the middle of a rule.
--
-- A line is tried as an expression first; lines that are not complete go on.
-- What runs is a request of its own with its own budget (`host.evaluate`), so
-- that it cannot yield: an iterator that has to wait for bytes raises an
-- error here.

local host, lib = ...

local scopes, complete, console = lib.scope, lib.complete, lib.console
local color, log = lib.color, lib.log.of('lua')
local pprint, hide_underscore = lib.pprint.pprint, lib.pprint.hide_underscore
local load, pcall, select, tostring = load, pcall, select, tostring
local getinfo, find, sub = debug.getinfo, string.find, string.sub
local has_terminal, read_line, evaluate = host.has_terminal, host.read_line, host.evaluate
local write = host.write

-- LuaJIT is not interrupted while it compiles.
local LONGEST = 128 * 1024

local interactive = {}

local function say(text)
  write(text .. '\n')
end

-- Prints a value as `‹head›‹pretty-print›`; further lines are indented by a
-- tab where the head ends with one.
function interactive.show(head, value, depth)
  local indent = find(head, '\t$') and '\t' or ''
  local first = true
  pprint(value, { indent = indent, depth = depth, hide = hide_underscore,
    out = function (text, more)
      if more ~= nil then text = text .. ' ' .. more end
      if first then
        first = false
        text = head .. sub(text, #indent + 1)
      end
      say(text)
    end })
end
local show = interactive.show

local function show_results(ok, ...)
  if not ok then return say(color.red .. tostring((...)) .. color.clear) end
  for i = 1, select('#', ...) do
    show('  #' .. i .. '\t', (select(i, ...)), 1)
  end
end

-- Runs inside the request: what is printed may be code of rules as well.
local function perform(chunk)
  show_results(pcall(chunk))
end

-- Runs a chunk and shows its results or its error.
function interactive.run(chunk)
  local ok, message = evaluate(perform, chunk)
  if ok == false then say(color.red .. tostring(message) .. color.clear) end
end

-- The chunk of a text, or nil, what is wrong, and whether more lines may help.
function interactive.compile(text, env)
  if #text > LONGEST then return nil, 'chunk is too long', false end
  local chunk, first = load('return ' .. text, '=stdin', 't', env)
  if chunk then return chunk end
  local message
  chunk, message = load(text, '=stdin', 't', env)
  if chunk then return chunk end
  local open = find(message, "near '<eof>'$") or find(first, "near '<eof>'$")
  return nil, message, open ~= nil
end
local compile = interactive.compile

-- Set by `stop()` of the console: the session is over.
local leaving = false

function console.stop()
  host.exit()
  leaving = true
end

-- Reads up to the end of a chunk; nil at the end of input.
local function read_chunk(session)
  local text = read_line(session.single, session.complete)
  while text do
    local chunk, message, open = compile(text, session.env)
    if chunk then return chunk, text end
    local more = open and read_line(session.multi, session.complete)
    if not more then return false, text, message end
    text = text .. '\n' .. more
  end
end

-- Answers lines until the input or a line that starts with `return` ends.
local function run_session(variables, single, multi)
  local env = variables:environment(console)
  local session = { single = single, multi = multi, env = env,
    complete = complete(env, function ()
      return { variables.places, variables.globals, console }
    end) }
  leaving = false
  while true do
    local chunk, text, message = read_chunk(session)
    if chunk == nil then return end
    if chunk then
      interactive.run(chunk)
      variables:commit()
      variables:refresh()
    else
      say(color.red .. message .. color.clear)
    end
    if leaving or find(text, '^%s*return%f[^%w_]') then
      leaving = false
      return
    end
  end
end

local function attended()
  if has_terminal() then return true end
  log.error('no input/output handler')
  return false
end
interactive.attended = attended

-- Opens a session that sees the variables of the function that calls.
function interactive.enter(single, multi, message)
  if not attended() then return end
  local caller = getinfo(2, 'Sf')
  local variables
  if caller and not scopes.is_library(caller) then
    variables = scopes.of_frame(scopes.height(2), caller.func)
  else
    variables = scopes.of_values({})
  end
  if message ~= nil then say(tostring(message)) end
  say('Hit ^D to end the interactive session')
  run_session(variables, tostring(single or '>  '), tostring(multi or '>> '))
end

-- An `eval` that opens a session on its arguments.
function interactive.rule(name)
  local single, multi = tostring(name) .. '>  ', tostring(name) .. '>> '
  return function (...)
    if not attended() then return end
    local inputs = { ... }
    say(color.green .. 'interactive rule:' .. color.clear)
    show('inputs = ', inputs, 2)
    say('Hit ^D to end the interactive session')
    run_session(scopes.of_values({ inputs = inputs }), single, multi)
  end
end

lib.haka.interactive_rule = interactive.rule

return interactive
