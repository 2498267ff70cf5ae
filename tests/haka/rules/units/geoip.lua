-- Countries of addresses.

local ipv4 = require('protocol/ipv4')
local geoip = require('misc/geoip')

TestGeoip = {}

function TestGeoip:test_country()
  local database = geoip.open(os.getenv('DATABASE'))
  assert(database:country(ipv4.addr('8.8.8.8')) == 'US')
  assert(database:country('8.8.8.8') == 'US')
  assert(database:country(ipv4.addr('10.0.0.1')) == nil)
  assertError('cannot initialize geoip', geoip.open, '/nonexistent')
  assertError('cannot initialize geoip', geoip.open, os.getenv('UNIT_DIR') .. '/geoip.lua')
end

addTestSuite('TestGeoip')
