#!/bin/sh
# Checks that library and programs compile, without a warning, with no cargo
# feature and with each alone, and that none brings a runtime for tasks.
set -eu
cargo=${CARGO:-cargo}

names=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z][a-z0-9_-]*\) = .*/\1/p' Cargo.toml)
said=$(mktemp)
trap 'rm -f "$said"' EXIT

check() {
  echo "features: ${1:-none}"
  # Quiet, cargo says nothing but what is wrong.
  $cargo check --quiet --lib --bins --no-default-features --features "$1" 2>"$said" && [ ! -s "$said" ] || {
    cat "$said" >&2
    exit 1
  }
}

check ""
for name in $names; do
  [ "$name" = default ] || check "$name"
done

if $cargo tree --edges no-dev --all-features --prefix none | grep -E '^(tokio|async-std|smol) '; then
  echo "a runtime came with the library" >&2
  exit 1
fi
