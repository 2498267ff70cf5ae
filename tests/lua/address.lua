-- needs: address
-- Addresses and networks: text, order, containment, criteria.

local host, lib, test = ...

local address = lib.address
local v4, v6, ip = address.ipv4, address.ipv6, address.ip
local equal, raises = test.equal, test.raises
local tests = {}

function tests.dotted_text_numbers_and_bytes_make_the_same_address()
  local addr = v4.addr('192.168.1.2')
  equal(tostring(addr), '192.168.1.2')
  equal(addr.packed, 3232235778)
  assert(addr == v4.addr(3232235778) and addr == v4.addr(192, 168, 1, 2))
  equal(v4.addr('255.255.255.255').packed, 4294967295)
  assert(v4.addr(-1) == v4.addr('255.255.255.255'))
end

function tests.bad_ipv4_text_is_refused()
  for _, text in ipairs { '', '1.2.3', '256.1.1.1', '1.2.3.4.5', 'a.b.c.d', '1.2.3.4 ', '::1' } do
    raises('invalid IPv4 address format', v4.addr, text)
  end
  raises('invalid IPv4 address format', v4.addr, 1, 2, 3, 256)
  raises('invalid IPv4 address format', v4.addr, nil)
end

function tests.texts_are_put_together_without_tostring()
  local addr, net = v4.addr('10.0.0.7'), v6.network('2001:db8::/32')
  equal('from ' .. addr .. ' port ' .. 80, 'from 10.0.0.7 port 80')
  equal(addr .. net, '10.0.0.72001:db8::/32')
  equal('in ' .. net, 'in 2001:db8::/32')
  raises('attempt to concatenate a nil value', function () return addr .. nil end)
  raises('attempt to concatenate a table value', function () return {} .. net end)
end

function tests.ipv6_text_follows_rfc_5952()
  local cases = {
    ['2001:DB8:0:0:1:0:0:1'] = '2001:db8::1:0:0:1',
    ['2001:db8:0:1:1:1:1:1'] = '2001:db8:0:1:1:1:1:1',
    ['0:0:0:0:0:0:0:0'] = '::',
    ['::1'] = '::1',
    ['fe80::'] = 'fe80::',
    ['1:0:0:0:2:0:0:0'] = '1::2:0:0:0',
    ['::ffff:192.0.2.1'] = '::ffff:192.0.2.1',
    ['64:ff9b::192.0.2.33'] = '64:ff9b::c000:221',
  }
  for text, shown in pairs(cases) do equal(tostring(v6.addr(text)), shown) end
  for _, text in ipairs { '', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '::1::',
    '1:2:3:4:5:6:7::8', 'fe80::1%eth0', '12345::', '1.2.3.4', '::1.2.3' } do
    raises('invalid IPv6 address format', v6.addr, text)
  end
end

function tests.families_are_ordered_and_never_equal()
  assert(ip.addr('1.2.3.4') ~= ip.addr('::ffff:1.2.3.4'))
  assert(ip.addr('255.255.255.255') < ip.addr('::'))
  assert(ip.addr('9.0.0.0') < ip.addr('10.0.0.0') and ip.addr('9.0.0.0') <= ip.addr('9.0.0.0'))
  assert(ip.addr('8000::') > ip.addr('7fff:ffff::'))
end

function tests.comparison_with_other_values_is_false()
  local addr = v4.addr('1.2.3.4')
  assert(addr ~= nil and not (addr == nil))
  assert(addr ~= '1.2.3.4' and addr ~= 16909060 and addr ~= {} and addr ~= true)
  raises("Error in comparison, expected 'addr' got 'number'", function () return addr < 5 end)
end

function tests.addresses_are_immutable()
  local addr = v4.addr('1.2.3.4')
  assert(not pcall(function () addr.low = 5 end))
  raises('This variable is immutable', function () addr.packed = 5 end)
  raises("unknown field 'x'", function () return addr.x end)
  equal(tostring(addr), '1.2.3.4')
end

function tests.networks_contain_their_own_family()
  assert(v4.network('10.0.0.0/8'):contains(v4.addr('10.255.0.1')))
  assert(not v4.network('10.0.0.0/8'):contains(v4.addr('11.0.0.1')))
  assert(v4.network('0.0.0.0/0'):contains(v4.addr('255.1.2.3')))
  assert(not v4.network('0.0.0.0/0'):contains(v6.addr('::')))
  assert(v4.network('10.1.2.3/32'):contains(v4.addr('10.1.2.3')))
  assert(not v4.network('10.1.2.3/32'):contains(v4.addr('10.1.2.2')))
  assert(ip.network('2001:db8::/33'):contains(ip.addr('2001:db8:7fff::1')))
  assert(not ip.network('2001:db8::/33'):contains(ip.addr('2001:db8:8000::1')))
  assert(ip.network('::/0'):contains(ip.addr('ff02::1')))
  assert(not ip.network('::1/128'):contains(ip.addr('::')))
  assert(ip.network('1:2:3:4::/64'):contains(ip.addr('1:2:3:4:ffff::')))
  assert(not ip.network('1:2:3:4::/65'):contains(ip.addr('1:2:3:4:8000::')))
end

-- Haka shows an address that was given apart as it was given.
function tests.host_bits_do_not_count()
  equal(tostring(v4.network('10.1.2.3/8')), '10.0.0.0/8')
  local network = v4.network(v4.addr('192.168.5.6'), 22)
  equal(tostring(network), '192.168.5.6/22')
  assert(network:contains(v4.addr('192.168.7.255')))
  equal(network.mask, 22)
  assert(network.net == v4.addr('192.168.4.0'))
  raises('This variable is immutable', function () network.mask = 3 end)
end

function tests.bad_networks_are_refused()
  for _, text in ipairs { '10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '::/8' } do
    raises('invalid IPv4 network address format', v4.network, text)
  end
  raises('Invalid IPv4 addresss network format', v4.network, v4.addr('1.2.3.4'), 33)
  raises('Invalid IPv4 addresss network format', v4.network, 5, 5)
  raises('invalid IP network address format', ip.network, '::/129')
end

local function chosen(criterion, value)
  local seen = false
  local policy = lib.policy.new('test')
  policy:insert('one', { ip = criterion }, function () seen = true end)
  policy:apply { ctx = {}, values = { ip = value } }
  return seen
end

function tests.criteria_know_addresses()
  assert(chosen(v4.addr('1.2.3.4'), v4.addr('1.2.3.4')))
  assert(not chosen(v4.addr('1.2.3.4'), v4.addr('1.2.3.5')))
  assert(not chosen(v4.addr('1.2.3.4'), nil))
  assert(chosen(lib.policy.set { v4.addr('1.2.3.4'), v6.addr('::1') }, v6.addr('::1')))
  assert(chosen(lib.policy.range(v4.addr('1.0.0.0'), v4.addr('1.9.0.0')), v4.addr('1.2.3.4')))
  assert(chosen(lib.policy.in_network(ip.network('::/0')), v6.addr('::1')))
  assert(chosen(lib.policy.ipv4_in_network(v4.network('1.0.0.0/8')), v4.addr('1.2.3.4')))
  assert(not chosen(lib.policy.in_network(v4.network('1.0.0.0/8')), nil))
  assert(not chosen(lib.policy.in_network(v4.network('1.0.0.0/8')), v6.addr('::1')))
end

return tests
