#!/usr/bin/env bash
# Puts Debian's litecoind into .cache/litecoind without installing anything or needing root.
# Says what is missing where that cannot be: the node is then looked for on PATH.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="${MILLRACE_CACHE_DIR:-$root/.cache}/litecoind"
sums="$root/devstack/chains/litecoind.sha256"
if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$(sha256sum <"$sums")" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null || [ "$(dpkg --print-architecture)" != amd64 ]; then
    echo "litecoind is fetched on Debian (amd64) only: put one on PATH" >&2
    exit 1
fi

fetched="$(mktemp -d "$(mkdir -p "$(dirname "$folder")" && dirname "$folder")/litecoind.XXXXXX")"
trap 'rm -rf "$fetched"' EXIT
mkdir "$fetched/debs" "$fetched/tree"
cd "$fetched/debs"
packages="$(awk '{ sub(/_.*/, "", $2); print $2 }' "$sums")"
# apt checks what it fetches against Debian's signed lists.
# shellcheck disable=SC2086
apt-get download -qq $packages 2>/dev/null || { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq $packages; }
for file in *.deb; do
    if grep -qF "  $file" "$sums"; then
        grep -F "  $file" "$sums" | sha256sum --check --quiet
    elif [ "${file%%_*}" = litecoind ]; then
        echo "$file is not the recorded litecoind" >&2
        exit 1
    fi # a library that had a security update since is as good as apt says
    dpkg --extract "$file" ../tree
done
sha256sum <"$sums" >../tree/.stamp
rm -rf "$folder"
mv ../tree "$folder"
