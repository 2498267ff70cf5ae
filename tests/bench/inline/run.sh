#!/bin/bash
# Measures the inline gateway between namespaces, against a loop that accepts
# every packet. Run by `make bench-inline`, as root.
#   usage: run.sh WERO ACCEPT_ALL [ROUNDS [WORK...]]
# Configurations take turns within a round; prints medians, and ratios to the
# accept-all loop of the same round. Needs iperf3, wrk, nginx, python3.
set -u
wero=$(realpath "$1") accept=$(realpath "$2") rounds=${3:-5}; shift 2; [ $# -gt 0 ] && shift
works=${*:-bulk keep-alive new-connections round-trip}
here=$(cd "$(dirname "$0")" && pwd)
ns=wero-bench-$$ folder=$(mktemp -d) seconds=${SECONDS_EACH:-2}
c=$ns-c g=$ns-g s=$ns-s
mkdir -p "$folder/www" "$folder/temp"

finish() {
  jobs -p | xargs -r kill 2>/dev/null
  for n in $c $g $s; do ip netns pids $n 2>/dev/null | xargs -r kill -9 2>/dev/null; ip netns del $n 2>/dev/null; done
  rm -rf "$folder"
}
trap finish EXIT

for n in $c $g $s; do ip netns add $n || exit 1; ip -n $n link set lo up; done
ip link add c0 netns $c type veth peer name g0 netns $g
ip link add s0 netns $s type veth peer name g1 netns $g
ip -n $c addr add 10.78.1.2/24 dev c0; ip -n $g addr add 10.78.1.1/24 dev g0
ip -n $s addr add 10.78.2.2/24 dev s0; ip -n $g addr add 10.78.2.1/24 dev g1
for at in "$c c0" "$g g0" "$g g1" "$s s0"; do set -- $at; ip -n $1 link set $2 up; done
ip -n $c route add default via 10.78.1.1; ip -n $s route add default via 10.78.2.1
ip netns exec $g sysctl -qw net.ipv4.ip_forward=1
ip netns exec $c sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range="1024 65000"

head -c 1024 /dev/zero | tr '\0' x > "$folder/www/1k"
cat > "$folder/nginx.conf" <<CONF
user root; worker_processes 1; daemon off; pid $folder/pid; error_log $folder/errors crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path $folder/temp;
  server { listen 10.78.2.2:80 backlog=4096; root $folder/www; } }
CONF
ip netns exec $s nginx -p "$folder" -c "$folder/nginx.conf" 2>/dev/null &
ip netns exec $s iperf3 -s >/dev/null 2>&1 &
ip netns exec $s python3 "$here/ping.py" serve 10.78.2.2 7000 &
sleep 1

work() { # the measured value
  case $1 in
  bulk) ip netns exec $c iperf3 -c 10.78.2.2 -t $seconds -P 8 -J | python3 -c 'import json,sys; print(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]/1e9)' ;;
  keep-alive) ip netns exec $c wrk -t1 -c32 -d${seconds}s http://10.78.2.2/1k | awk '/Requests\/sec/{print $2}' ;;
  new-connections) ip netns exec $c wrk -t1 -c32 -d${seconds}s -H 'Connection: close' http://10.78.2.2/1k | awk '/Requests\/sec/{print $2}' ;;
  round-trip) ip netns exec $c python3 "$here/ping.py" ask 10.78.2.2 7000 4000 | awk '{print $1}' ;;
  esac
}
cpu() { sed 's/.*) //' /proc/$1/stat | awk '{print ($12 + $13) * 10000}'; } # microseconds
packets() { ip netns exec $g awk '{n += $8} END {print n + 0}' /proc/net/netfilter/nfnetlink_queue; }

measure() { # round configuration command...
  local round=$1 name=$2; shift 2
  ip netns exec $g "$@" > "$folder/out" 2> "$folder/err" & local pid=$!
  for _ in $(seq 100); do grep -q ready "$folder/err" && break; sleep 0.1; done
  ip netns exec $g iptables -A FORWARD -j NFQUEUE --queue-num 0
  local memory; memory=$(awk '/VmRSS/{print $2}' /proc/$pid/status)
  for w in $works; do
    local c0 p0 c1 p1 value
    c0=$(cpu $pid) p0=$(packets); value=$(work $w); c1=$(cpu $pid) p1=$(packets)
    echo "$round $w $name ${value:-0} $((c1 - c0)) $((p1 - p0)) $memory" >> "$folder/results"
  done
  ip netns exec $g iptables -F FORWARD
  kill -INT $pid 2>/dev/null; sleep 0.2; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
}

for round in $(seq "$rounds"); do
  measure $round accept-all "$accept" 0
  for rule in nothing data uri; do
    measure $round "wero, $rule" "$wero" run "$here/$rule.lua" -q 0 --stats 0s
  done
done
python3 "$here/table.py" "$folder/results"
