-- The debugger's prompt: frames, variables, source lines, breakpoints.
--
-- `converse` asks for commands until one of them lets the rules go on, and
-- answers how: 'continue', 'step', 'next' or 'finish'.

local host, lib = ...

local scopes, interactive, complete = lib.scope, lib.interactive, lib.complete
local console, color = lib.console, lib.color
local show, compile = interactive.show, interactive.compile
local getinfo, getlocal, getupvalue = debug.getinfo, debug.getlocal, debug.getupvalue
local ipairs, next, tonumber = ipairs, next, tonumber
local find, format, gmatch, match, sub =
  string.find, string.format, string.gmatch, string.match, string.sub
local max, sort = math.max, table.sort
local is_library, height = scopes.is_library, scopes.height
local read_line, read_file, write = host.read_line, host.read_file, host.write

local PROMPT = 'debug>  '
-- Lines that `list` shows.
local PAGE = 11

-- The reason of a stop that needs no announcement.
local commands = { STEP = 'step' }

local function say(text)
  write(text .. '\n')
end

local function complain(text)
  say(color.red .. text .. color.clear)
end

-- Breakpoints ------------------------------------------------------------------

-- Source of a chunk -> its lines with a breakpoint.
local breakpoints = {}

function commands.has_breakpoint(source, line)
  local lines = breakpoints[source]
  return lines ~= nil and lines[line] == true
end
local has_breakpoint = commands.has_breakpoint

-- Source text ------------------------------------------------------------------

local function split(text)
  local lines = {}
  for line in gmatch(text .. '\n', '([^\n]*)\n') do
    lines[#lines + 1] = match(line, '^(.-)\r?$')
  end
  return lines
end

-- The lines of a chunk, read when they are first shown, or nil.
local sources = {}

local function lines_of(source)
  local lines = sources[source]
  if lines == nil then
    local first = sub(source, 1, 1)
    local text = source
    if first == '@' then text = read_file(sub(source, 2)) end
    if first == '=' then text = nil end
    lines = text and split(text) or false
    sources[source] = lines
  end
  return lines or nil
end

local function show_line(frame, number)
  local lines = lines_of(frame.source)
  local text = lines and lines[number]
  if not text then return false end
  local marked = has_breakpoint(frame.source, number)
  if number == frame.line then
    say(format('%s%4d%s %s%s', color.green, number, marked and '#>' or '=>', text, color.clear))
  else
    say(format('%4d%s  %s', number, marked and '#' or ':', text))
  end
  return true
end

local function show_current(frame)
  if not show_line(frame, frame.line) then say(format('%4d=> (no source)', frame.line)) end
end

-- Frames -----------------------------------------------------------------------

-- The frames of rules in the running coroutine, innermost first.
local function frames_here()
  local frames, level = {}, 2
  while true do
    local info = getinfo(level, 'Slnf')
    if not info then break end
    local library = is_library(info)
    -- What the library calls a function is nothing that its author knows.
    if library and frames[1] and frames[#frames].level == level - 1 then
      frames[#frames].name = nil
    end
    if not library then
      frames[#frames + 1] = { level = level, func = info.func, source = info.source,
        short = info.short_src, line = info.currentline, what = info.what, name = info.name,
        defined = info.linedefined }
    end
    level = level + 1
  end
  for _, frame in ipairs(frames) do frame.height = level - frame.level end
  return frames
end

local function place_of(frame)
  if frame.what == 'main' then return 'in main chunk' end
  if frame.name then return format("in function '%s'", frame.name) end
  return format('in function <%s:%d>', frame.short, frame.defined)
end

local function show_frame(session, index)
  local frame = session.frames[index + 1]
  local mark = index == session.at and format(' =>%d', index) or format('  #%d', index)
  say(format('%s\t%s:%d: %s', mark, frame.short, frame.line, place_of(frame)))
end

local function show_backtrace(session)
  say('Backtrace')
  for index = 0, #session.frames - 1 do show_frame(session, index) end
end

-- Variables of the selected frame, read when they are first needed.
local function scope_of(session)
  local frame = session.frames[session.at + 1]
  if not frame.scope then frame.scope = scopes.of_frame(frame.height, frame.func) end
  return frame.scope
end

-- What a session's code runs in: the variables of whatever frame is selected.
local function environment(session)
  return scope_of(session):environment(console)
end

local function show_rows(title, rows, wanted)
  say(title)
  for i, row in ipairs(rows) do
    if wanted == nil or wanted == i then
      show(format('  #%d\t%s = ', i, row.name), row.value, wanted and 1 or 0)
    end
  end
end

-- All slots of the frame: locals and what is in between.
local function slots_of(frame)
  local level = height(1) - frame.height + 1
  local rows = {}
  while true do
    local name, value = getlocal(level, #rows + 1)
    if not name then return rows end
    rows[#rows + 1] = { name = name, value = value }
  end
end

local function upvalues_of(func)
  local rows = {}
  while true do
    local name, value = getupvalue(func, #rows + 1)
    if not name then return rows end
    rows[#rows + 1] = { name = name, value = value }
  end
end

-- Commands ---------------------------------------------------------------------

-- The number that a command was given; nil if none, false if it is no number.
local function number_of(text)
  if text == '' then return nil end
  local number = tonumber(text)
  if number and number % 1 == 0 and number >= 0 then return number end
  complain(format("invalid number '%s'", text))
  return false
end

local run = {}

function run.bt(session)
  show_backtrace(session)
end

function run.frame(session, text)
  local number = number_of(text)
  if number == false then return end
  if number and not session.frames[number + 1] then
    return complain(format("no frame '%d'", number))
  end
  session.at = number or session.at
  session.listed = nil
  show_frame(session, session.at)
  show_current(session.frames[session.at + 1])
end

function run.stack(session, text)
  local number = number_of(text)
  if number == false then return end
  local rows = slots_of(session.frames[session.at + 1])
  show_rows(format('Stack (size=%d)', #rows), rows, number)
end

run['local'] = function (session, text)
  local number = number_of(text)
  if number == false then return end
  local named = {}
  for _, row in ipairs(slots_of(session.frames[session.at + 1])) do
    if sub(row.name, 1, 1) ~= '(' then named[#named + 1] = row end
  end
  show_rows('Locals', named, number)
end

function run.upvalue(session, text)
  local number = number_of(text)
  if number == false then return end
  show_rows('Up-values', upvalues_of(session.frames[session.at + 1].func), number)
end

function run.print(session, text)
  local scope = scope_of(session)
  scope:refresh()
  local chunk, message = compile(text, environment(session))
  if not chunk then return complain(message) end
  interactive.run(chunk)
  scope:commit()
end

function run.list(session, text)
  local frame = session.frames[session.at + 1]
  local first = session.listed or frame.line - 5
  if text == '+' then
    first = session.listed and first + PAGE or frame.line + 6
  elseif text == '-' then
    first = first - PAGE
  elseif text == '' then
    first = frame.line - 5
  else
    local number = number_of(text)
    if not number then return end
    first = number - 5
  end
  local lines = lines_of(frame.source)
  if not lines then return complain(format("no source for '%s'", frame.short)) end
  first = max(1, first)
  session.listed = first
  for number = first, first + PAGE - 1 do show_line(frame, number) end
end

-- What a breakpoint command means: `12`, `other.lua:12` or the current line.
local function target_of(session, text)
  local frame = session.frames[session.at + 1]
  if text == '' then return frame.source, frame.line, frame.short end
  local file, line = match(text, '^(.+):(%d+)$')
  if file then
    if not find(file, '/', 1, true) then
      file = (match(frame.source, '^@(.*/)') or '') .. file
    end
    return '@' .. file, tonumber(line), file
  end
  local number = number_of(text)
  if number then return frame.source, number, frame.short end
end

run['break'] = function (session, text)
  local source, line, short = target_of(session, text)
  if not source then return end
  local lines = lines_of(source)
  if not lines or not lines[line] then
    return complain(format("no line %d in '%s'", line, short))
  end
  breakpoints[source] = breakpoints[source] or {}
  breakpoints[source][line] = true
  say(format("breakpoint added at '%s:%d'", short, line))
end

function run.removebreak(session, text)
  local source, line, short = target_of(session, text)
  if not source then return end
  if not has_breakpoint(source, line) then
    return complain(format("not breakpoint at '%s:%d'", short, line))
  end
  breakpoints[source][line] = nil
  say(format("breakpoint removed from '%s:%d'", short, line))
end

function run.next() return 'next' end
function run.step() return 'step' end
function run.finish() return 'finish' end
run['continue'] = function () return 'continue' end

local HELP = {
  { 'bt', 'backtrace' },
  { 'frame [N], f', 'select a frame' },
  { 'stack [N]', 'all slots of the frame, or one of them' },
  { 'local [N]', 'local variables, or one of them' },
  { 'upvalue [N]', 'variables of enclosing functions, or one of them' },
  { 'print E, p', 'evaluate an expression or statement in the frame' },
  { 'list [+|-|N], l', 'source lines: around the current one, further ones, around N' },
  { 'break [N|FILE:N], b', 'set a breakpoint' },
  { 'removebreak [N|FILE:N], rb', 'remove a breakpoint' },
  { 'next, n', 'go to the next line of this function' },
  { 'step, s', 'go to the next line, also of a called function' },
  { 'finish', 'go on until this function returns' },
  { 'continue, c', 'go on' },
  { 'help', 'this list' },
}

function run.help()
  for _, row in ipairs(HELP) do say(format('  %-28s%s', row[1], row[2])) end
  say('An empty line repeats the last command; ^D goes on.')
end

local SHORT = { f = 'frame', p = 'print', l = 'list', b = 'break', rb = 'removebreak',
  n = 'next', s = 'step', c = 'continue' }

-- Commands that need no frame.
local ALWAYS = { continue = true, help = true, next = true, step = true, finish = true }

local function execute(session, line)
  local name, text = match(line, '^%s*(%S+)%s*(.-)%s*$')
  local command = SHORT[name] or name
  local action = run[command]
  if not action then return complain(format("invalid command '%s'", name)) end
  if not session.frames[1] and not ALWAYS[command] then return complain('no frame of a rule') end
  local order = action(session, text)
  return order
end

-- Names of commands first, then those in the frame.
local function completer(session)
  local names = {}
  for name in next, run do names[#names + 1] = name end
  sort(names)
  return function (text)
    if find(text, '^%s*%S*$') then
      local word, found = match(text, '%S*$'), {}
      for _, name in ipairs(names) do
        if sub(name, 1, #word) == word then found[#found + 1] = name end
      end
      return #text - #word, found
    end
    if not session.frames[1] then return #text, {} end
    local scope = scope_of(session)
    local at, found = complete(environment(session), function ()
      return { scope.places, scope.globals, console }
    end)(text)
    return at, found
  end
end

local function announce(session, reason, is_error)
  if reason ~= commands.STEP then
    say('entering debugger: ' .. (match(reason, '^(.-)\nstack traceback:') or reason))
    say(format('thread: %d', host.thread))
    if is_error then show_backtrace(session) end
  end
  if session.frames[1] then show_current(session.frames[1]) end
end

-- Repeated by an empty line, also at the next stop.
local last = nil

-- Asks until the rules are to go on. Answers how, and the number of frames.
function commands.converse(reason, is_error)
  local session = { frames = frames_here(), at = 0 }
  announce(session, reason, is_error)
  local words = completer(session)
  while true do
    local line = read_line(PROMPT, words)
    if not line then
      say('continue')
      return 'continue', #session.frames
    end
    if find(line, '^%s*$') then line = last else last = line end
    local order = line and execute(session, line)
    if order then return order, #session.frames end
  end
end

return commands
