# Everything a developer does; `make` alone lists it.

CARGO ?= cargo
DEMO := target/demo
# Folders with a capture; the rule is in them, or beside them under their name.
CASES := sample/hello-packet sample/scan-alerts rules/http/sql-injection sample/dns-sinkhole sample/tls-block-list

.PHONY: help demo test check bench fuzz captures needs

help:
	@echo "make demo      replay sample rules on sample captures"
	@echo "make test      run all tests, count them"
	@echo "make check     format, lints, documentation, tests"
	@echo "make bench     measure, as ratios to a bare libpcap loop"
	@echo "make fuzz      run the fuzz bodies on random input"
	@echo "make captures  write the captures of the tests and samples anew"

# What a fresh Debian with Rust, gcc and make lacks: libpcap for the peer of
# the benchmarks, tshark to judge what Wero writes.
needs:
	@missing=; \
	[ -e /usr/include/pcap.h ] || missing="$$missing libpcap-dev"; \
	command -v tshark >/dev/null || missing="$$missing tshark"; \
	[ -z "$$missing" ] || { \
	  echo "installing$$missing"; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  { $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; } \
	    >/dev/null 2>&1 || echo "could not install$$missing: what needs them fails or is skipped"; \
	}

demo: needs
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

check: needs
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet
	$(MAKE) --no-print-directory test

# `make bench WHAT="http memory"` runs a part (http, httprule, dns, dnsrule, tls, states, scale, regexp, grammar, sessions, memory).
bench: needs
	$(CARGO) bench --quiet --bench throughput -- $(WHAT)

# SECONDS for each body; what crashes is saved in fuzz/corpus.
SECONDS ?= 60
fuzz:
	$(CARGO) run --quiet --release --example fuzz -- $(SECONDS)

captures:
	$(CARGO) run --quiet --example generate
