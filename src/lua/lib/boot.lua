-- First chunk: gives the other ones the engine as typed pointers.
--
-- The host hands addresses over once; from here on the library has cdata,
-- and rules, whose globals are sealed later, have neither.

local host = ...

local ffi = require('ffi')

-- Deliveries are long straight traces: all listeners of an event with the
-- library below them. The defaults are made for small loops.
require('jit').opt.start('maxtrace=8000', 'maxmcode=32768', 'maxrecord=30000', 'maxirconst=4000',
  'maxsnap=4000', 'loopunroll=40')
local write = host.write_to

host.ffi = ffi
ffi.cdef(host.declarations)

local at = host.addresses
host.addresses, host.declarations = nil, nil

host.engine = ffi.cast('void *', at.engine)
host.ops = ffi.cast('const wero_ops *', at.ops)
host.packets = ffi.cast('const wero_packet *', at.packets)
host.flows = ffi.cast('const wero_flow *', at.flows)
host.dns = ffi.cast('const wero_dns *', at.dns)
host.current = ffi.cast('const wero_current *', at.current)
host.store = ffi.cast('wero_store *', at.store)
host.buf_api = ffi.cast('const wero_buf_api *', at.buf_api)
host.regexps = ffi.cast('wero_regexps *', at.regexps)
host.regexp_api = ffi.cast('const wero_regexp_api *', at.regexp_api)
host.pattern_api = ffi.cast('const wero_pattern_api *', at.pattern_api)

-- Text for standard output, or a descriptor and text.
function host.write(first, second)
  if second == nil then return write(1, first) end
  return write(first, second)
end

return true
