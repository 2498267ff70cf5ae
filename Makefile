# Everything a developer does; `make` alone lists it.

CARGO ?= cargo
DEMO := target/demo
# Folders with a capture; the rule is in them, or beside them under their name.
CASES := sample/hello-packet sample/scan-alerts rules/http/sql-injection sample/dns-sinkhole sample/tls-block-list

.PHONY: help demo test live check features bench bench-inline fuzz captures needs

help:
	@echo "make demo      replay sample rules on sample captures"
	@echo "make test      run all tests, count them"
	@echo "make live      run the tests on live traffic, the slow ones too (as root)"
	@echo "make check     format, lints, documentation, features, tests"
	@echo "make features  compile without cargo features, and with each alone"
	@echo "make bench-inline  measure the gateway, as ratios to accepting everything (as root)"
	@echo "make bench     measure, as ratios to a bare libpcap loop"
	@echo "make fuzz      run the fuzz bodies on random input"
	@echo "make captures  write the captures of the tests and samples anew"

# What a fresh Debian with Rust, gcc and make lacks, as program:package:
# tshark judges what Wero writes, the rest is for live traffic in namespaces.
# /usr/include/pcap.h is for the peer of the benchmarks.
PROGRAMS := tshark:tshark ip:iproute2 iptables:iptables nft:nftables curl:curl openssl:openssl \
  nginx:nginx-light dig:bind9-dnsutils dnsmasq:dnsmasq-base iperf3:iperf3 wrk:wrk ethtool:ethtool \
  conntrack:conntrack python3:python3

# Services that come with packages are not started.
POLICY := /usr/sbin/policy-rc.d

needs:
	@missing=; PATH="$$PATH:/usr/sbin:/sbin"; \
	[ -e /usr/include/pcap.h ] || missing="$$missing libpcap-dev"; \
	for one in $(PROGRAMS); do \
	  command -v $${one%:*} >/dev/null || missing="$$missing $${one#*:}"; \
	done; \
	[ -z "$$missing" ] || { \
	  echo "installing$$missing"; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  trap '[ -z "$$own" ] || $$sudo rm -f $(POLICY)' EXIT; trap 'exit 130' INT TERM; \
	  [ -e $(POLICY) ] || { own=yes; printf '#!/bin/sh\nexit 101\n' | $$sudo tee $(POLICY) && $$sudo chmod +x $(POLICY); } >/dev/null 2>&1; \
	  { $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; } \
	    >/dev/null 2>&1 || echo "could not install$$missing: what needs them fails or is skipped"; \
	}

demo:
	@$(CARGO) build --quiet --bin wero
	@mkdir -p $(DEMO)
	@set -e; for case in $(CASES); do \
	  rule=$$case/rule.lua; [ -e $$rule ] || rule=$$case.lua; \
	  passed=$(DEMO)/$$(basename $$case).pcap; \
	  echo "== wero replay -o $$passed $$rule $$case/input.pcap"; \
	  target/debug/wero replay -o $$passed $$rule $$case/input.pcap; \
	  echo "packets that passed: $$passed"; \
	  echo; \
	done

test: needs
	@tests/counts.sh $(CARGO) test --no-fail-fast

live: needs
	@tests/counts.sh $(CARGO) test --test live -- --include-ignored

check: needs
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet
	$(MAKE) --no-print-directory features test

features:
	@CARGO="$(CARGO)" tests/features.sh

# `make bench WHAT="http memory"` runs a part (http, httprule, dns, dnsrule, tls, states, scale, regexp, grammar, sessions, memory).
bench: needs
	$(CARGO) bench --quiet --bench throughput -- $(WHAT)

# `make bench-inline ROUNDS=9`: the gateway against a loop that accepts all, as root.
ROUNDS ?= 5
bench-inline: needs
	$(CARGO) build --quiet --release --bin wero --example accept_all
	tests/bench/inline/run.sh target/release/wero target/release/examples/accept_all $(ROUNDS)

# SECONDS for each body; what crashes is saved in fuzz/corpus.
SECONDS ?= 60
fuzz:
	$(CARGO) run --quiet --release --example fuzz -- $(SECONDS)

captures:
	$(CARGO) run --quiet --example generate
