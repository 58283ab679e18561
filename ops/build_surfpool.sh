#!/usr/bin/env bash
# Builds the node of devstack/surfpool into .cache/surfpool, from exactly what its lock names.
# The lock leaves out where packages come from, as all of ours do: cargo's own registry is put in.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
target="$root/.cache/surfpool"
source="$target/source"

rm -rf "$source"
mkdir -p "$source/probe/src"
cp -r "$root/devstack/surfpool/." "$source"
cat >"$source/probe/Cargo.toml" <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
cfg-if = "1"

[workspace]
END
touch "$source/probe/src/lib.rs"
cargo generate-lockfile --quiet --manifest-path "$source/probe/Cargo.toml"
registry="$(grep --max-count=1 --only-matching 'registry+[^"]*' "$source/probe/Cargo.lock")"
sed -i "s|\"registry\"|\"$registry\"|" "$source/Cargo.lock"
cargo build --release --locked --manifest-path "$source/Cargo.toml" --target-dir "$target"
