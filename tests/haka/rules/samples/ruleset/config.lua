require('functions')

require('ipv4/dissector')
require('ipv4/security')
require('ipv4/compliance')

require('tcp/dissector')
require('tcp/security')
require('tcp/rules')
