-- `require('protocol/ip')`: addresses and networks of either family.

local _, lib = ...

return function ()
  return {
    addr = lib.address.ip.addr,
    network = lib.address.ip.network,
    inet_checksum = lib.checksum.new,
    inet_checksum_compute = lib.checksum.compute,
  }
end
