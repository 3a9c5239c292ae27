#!/usr/bin/env bash
# benches/fetch.sh [RUNS] [MIB]
#
# A verified download into the cache, which is synced, against `curl -o` and then `sha256sum`, which is not, from the
# same HTTPS server on loopback: seconds for each, the middle of RUNS (default 7), taken in turns, for MIB (default
# 600) MiB that do not compress. Besides, what it takes to find the file in the cache, by its times and by all of its
# bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh
# shellcheck source=benches/measure.sh
source benches/measure.sh
runs=${1:-7} mib=${2:-600}
[[ $runs =~ ^[1-9][0-9]*$ && $mib =~ ^[1-9][0-9]*$ ]] || fail "not two numbers: $runs $mib" "usage: benches/fetch.sh [RUNS] [MIB]"

step "build what fetches and what serves"
cargo build --quiet --locked --release -p imgraft-catalogue --example fetch
cargo build --quiet --locked --release -p imgraft-testkit --features site --example site
fetch=$target/release/examples/fetch
work=$(mktemp -d)
server=
cleanup() {
    # The server ends with its standard input.
    exec 3>&-
    [[ -z $server ]] || wait "$server" || true
    rm -rf "$work"
}
trap cleanup EXIT

step "serve $mib MiB"
mkdir "$work/site"
head -c "${mib}M" /dev/urandom >"$work/site/base.img"
sum=$(sha256sum "$work/site/base.img" | cut -d ' ' -f 1)
mkfifo "$work/input"
"$target/release/examples/site" "$work/site" <"$work/input" >"$work/output" &
server=$!
exec 3>"$work/input"
while [[ ! -s $work/output ]]; do
    kill -0 "$server" || fail "the server does not start" "run $target/release/examples/site FOLDER"
    sleep 0.1
done
read -r url authority <"$work/output"

declare -A walls
seconds() {
    local name=$1 begin
    shift
    begin=$EPOCHREALTIME
    "$@" >/dev/null
    walls[$name]+="$(seconds_since "$begin") "
}
curl_and_sum() {
    curl -s --fail --cacert "$authority" -o "$work/curl.img" "$url/base.img"
    echo "$sum  $work/curl.img" | sha256sum --check --quiet -
}
ours() { "$fetch" "$url/base.img" "sha256:$sum" "$work/cache" "$authority"; }

step "fetch it, $runs times each"
for ((run = 0; run < runs; run++)); do
    rm -rf "$work/cache" "$work/curl.img"
    sync -f "$work"
    seconds curl curl_and_sum
    rm -f "$work/curl.img"
    sync -f "$work"
    seconds fetch ours
    seconds cached ours
    rm -f "$work/cache/sha256/$sum.json"
    seconds read ours
done
for name in curl fetch cached read; do
    printf '%-14s %s s\n' "$name" "$(median "${walls[$name]}")"
done
target 'verified download against curl and sha256sum' "$(ratio "$(median "${walls[fetch]}")" "$(median "${walls[curl]}")")" at-most 1.2
say "$(machine)"
