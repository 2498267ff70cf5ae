-- Terminal colours: ANSI sequences, or empty strings when stdout is no terminal.

local host = ...

local sequences = {
  clear = 0, bold = 1, black = 30, red = 31, green = 32,
  yellow = 33, blue = 34, magenta = 35, cyan = 36, white = 37,
}

local terminal = host.isatty()
local color = {}
for name, code in pairs(sequences) do
  color[name] = terminal and string.format('\27[%dm', code) or ''
end

return color
