local client = ipv4.network('192.168.10.0/24')
local server = ipv4.network('192.168.20.0/25')

local new_connection = haka.dissectors.tcp_connection.policies.new_connection

haka.policy {
  on = new_connection,
  name = 'default',
  action = { haka.policy.alert { severity = 'low' }, haka.policy.drop },
}

for name, port in pairs { http = 80, ssh = 22 } do
  haka.policy {
    on = new_connection,
    name = name,
    srcip = haka.policy.ipv4_in_network(client),
    dstip = haka.policy.ipv4_in_network(server),
    dstport = port,
    action = haka.policy.accept,
  }
end
