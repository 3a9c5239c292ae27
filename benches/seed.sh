#!/usr/bin/env bash
# benches/seed.sh [RUNS]
#
# `imgraft seed iso` and `cloud-localds` as this binary has it, against the real cloud-localds: seconds for
# each, the middle of RUNS (default 21), taken in turns.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
runs=${1:-21}
[[ $runs =~ ^[1-9][0-9]*$ ]] || fail "not a number of runs: $runs" "usage: benches/seed.sh [RUNS]"
"$root/scripts/install-tools" judges

step "build imgraft"
cargo build --quiet --locked --release --manifest-path "$root/Cargo.toml" -p imgraft
imgraft=${CARGO_TARGET_DIR:-$root/target}/release/imgraft
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$imgraft" ours
printf '#cloud-config\nhostname: seeded\npackages: [nodejs, npm]\n' >user-data

# seconds COMMAND…
seconds() {
    local begin=$EPOCHREALTIME
    "$@" >/dev/null 2>&1
    local end=$EPOCHREALTIME
    echo $((${end/./} - ${begin/./}))
}
middle() { sort -n "$1" | sed -n "$(((runs + 1) / 2))p"; }

step "make seeds, $runs times each"
for ((run = 0; run < runs; run++)); do
    seconds cloud-localds theirs.iso user-data >>theirs-iso
    seconds ./ours seed iso --user-data user-data -o ours.iso >>ours-seed-iso
    seconds ./ours cloud-localds ours.iso user-data >>ours-cloud-localds
    seconds cloud-localds -f vfat theirs.img user-data >>theirs-vfat
    seconds ./ours seed vfat --user-data user-data -o ours.img >>ours-seed-vfat
done
report() {
    local ours theirs
    ours=$(middle "$2") theirs=$(middle "$3")
    say "$1: $((ours / 1000)).$(printf %03d $((ours % 1000))) ms, the real one $((theirs / 1000)).$(printf %03d $((theirs % 1000))) ms:" \
        "$((theirs / ours)) times as fast"
}
report "seed iso" ours-seed-iso theirs-iso
report "cloud-localds" ours-cloud-localds theirs-iso
report "seed vfat" ours-seed-vfat theirs-vfat
