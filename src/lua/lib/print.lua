-- The global `print`: arguments separated by one space, through the host's
-- output so that prints, logs and alerts keep their order.

local host = ...

local tostring, select, concat = tostring, select, table.concat
local write = host.write

function print(...)
  local texts = {}
  for i = 1, select('#', ...) do
    texts[i] = tostring((select(i, ...)))
  end
  write(concat(texts, ' ') .. '\n')
end

return print
