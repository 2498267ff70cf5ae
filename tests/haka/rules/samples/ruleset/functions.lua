-- Globals that the other files use.

function getpayload(data)
  local bytes = {}
  for i = 1, #data do bytes[i] = string.char(data[i]) end
  return table.concat(bytes)
end

function contains(list, element) return list[element] == true end

function dict(list)
  local set = {}
  for _, element in ipairs(list) do set[element] = true end
  return set
end
