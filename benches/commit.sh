#!/usr/bin/env bash
# benches/commit.sh [--runs N] [--slow-runs N] [--base IMAGE] [--binary IMGRAFT] [--json FILE] [--no-convert]
#
# What it costs to put a file of 110 MB into a stock cloud image in its place, on one machine in one run: by
# `imgraft customize`, not compressing and compressing, and by `virt-customize`. The floor is `cp` of the file
# and `sync`. Prints wall time (the median of N interleaved runs; 5, and 1 for virt-customize), peak memory, by
# how much the image grew, and the ratios against what imgraft has to reach. A missed target is printed and is no
# failure; an image that `qemu-img check` finds wrong, or that has another file in it, is one.
#
# Then benches/convert.sh runs, on the same image: what it costs to commit to another file in another container.
#
# Every run starts with warm caches, with nothing left to be written and with a copy of the base, which is not
# counted, nor is the first start of virt-customize's appliance. imgraft syncs before it ends; virt-customize's
# sync is counted. Its peak memory is the sum over its processes, sampled five times a second.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

runs=5 slow_runs=1 base='' imgraft='' json='' convert=1
while [[ $# -gt 0 ]]; do
    [[ $1 != --no-convert ]] || { convert='' && shift && continue; }
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/commit.sh"
    case $1 in
        --runs) runs=$2 ;;
        --slow-runs) slow_runs=$2 ;;
        --base) base=$(realpath "$2") ;;
        --binary) imgraft=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/commit.sh" ;;
    esac
    shift 2
done

if ((slow_runs > 0)) || ! has qemu-img || [[ ! -x /usr/bin/time ]]; then scripts/install-tools build bench; fi
[[ -n $imgraft ]] || build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$target/bench-commit
mkdir -p "$work"
image=$work/my.img
# shellcheck disable=SC2317  # reached by the trap
remove_outputs() { rm -f "$image" "$work"/{floor.bin,peak,out}; }
trap remove_outputs EXIT
trap 'exit 130' INT TERM

payload=$work/autonoe
make_payload "$payload"

# The ways. Each but the floor changes $image.
timed=(/usr/bin/time -f %M -o "$work/peak")
run_floor() { cp "$payload" "$work/floor.bin" && sync "$work/floor.bin"; }
run_none() { "${timed[@]}" "$imgraft" customize "$image" --put "$payload:/usr/local/bin/autonoe:0755" --compress none; }
run_compressed() { "${timed[@]}" "$imgraft" customize "$image" --put "$payload:/usr/local/bin/autonoe:0755"; }
# A second edit finds room that the first one freed.
run_again() { run_none; }
run_virt-customize() {
    virt-customize --quiet --no-network -a "$image" --copy-in "$payload:/usr/local/bin" --chmod 0755:/usr/local/bin/autonoe && sync "$image"
}

declare -A walls peaks grown
# measure NAME: adds a wall time, keeps the largest peak in KiB and by how much the image grew
measure() {
    local name=$1 started peak=0 before wall
    before=$(stat -c %s "$image")
    # What was left to be written is not this one's.
    sync
    started=$EPOCHREALTIME
    if [[ $name == virt-customize ]]; then
        run_virt-customize >"$work/out" 2>&1 &
        wait_for_peak $! || fail "$name: $(tail -n 5 "$work/out")"
    else
        "run_$name" >"$work/out" 2>&1 || fail "$name: $(tail -n 5 "$work/out")"
    fi
    wall=$(seconds_since "$started")
    [[ $name == floor || $name == virt-customize ]] || peak=$(tail -n 1 "$work/peak")
    walls[$name]+="$wall "
    ((peak <= ${peaks[$name]:-0})) || peaks[$name]=$peak
    grown[$name]=$(($(stat -c %s "$image") - before))
    say "$name: $wall s"
}

# see_that_it_is_right NAME
see_that_it_is_right() {
    qemu-img check -q "$image" || fail "$1: qemu-img check finds the image wrong"
    "$imgraft" cat "$image" /usr/local/bin/autonoe | cmp - "$payload" || fail "$1: another file is in the image"
}

fresh() {
    rm -f "$image" "$work/floor.bin"
    cp "$base" "$image"
}

for ((run = 1; run <= runs; run++)); do
    step "fast ways, run $run of $runs"
    fresh
    measure floor
    measure none
    see_that_it_is_right none
    measure again
    see_that_it_is_right again
    fresh
    measure compressed
    see_that_it_is_right compressed
done
if ((slow_runs > 0)); then
    prepare_appliance "$work"
fi
for ((run = 1; run <= slow_runs; run++)); do
    step "virt-customize, run $run of $slow_runs"
    fresh
    measure virt-customize
done

names=(floor none again compressed)
((slow_runs == 0)) || names+=(virt-customize)
declare -A what=(
    [floor]='cp of the payload, then sync'
    [none]='imgraft customize --compress none'
    [again]='the same once more'
    [compressed]='imgraft customize'
    [virt-customize]='virt-customize (emulated), then sync'
)
printf '\n%s\nbase %s bytes, payload %s bytes, in place\n\n' "$(machine)" "$(stat -c %s "$base")" "$payload_bytes"
printf '%-38s %9s %10s %10s\n' way 'wall s' 'peak MiB' 'grown MB'
for name in "${names[@]}"; do
    printf '%-38s %9.2f %10s %10s\n' "${what[$name]}" "$(median "${walls[$name]}")" \
        "$(if [[ ${peaks[$name]:-0} -gt 0 ]]; then ratio "${peaks[$name]}" 1024 | cut -d . -f 1; else echo -; fi)" \
        "$(if [[ $name == floor ]]; then echo -; else echo $((grown[$name] / 1000000)); fi)"
done
echo

target 'time against cp of the payload and sync, not compressing' "$(ratio "$(median "${walls[none]}")" "$(median "${walls[floor]}")")" at-most 2
if ((slow_runs > 0)); then
    target 'speed-up over virt-customize, not compressing' "$(ratio "$(median "${walls[virt-customize]}")" "$(median "${walls[none]}")")" at-least 150
fi
target 'peak memory in MiB, not compressing' "$(ratio "${peaks[none]}" 1024)" at-most 64
target 'peak memory in MiB, compressing' "$(ratio "${peaks[compressed]}" 1024)" at-most 64

if [[ -n $json ]]; then
    {
        printf '{"machine": "%s", "base_bytes": %s, "payload_bytes": %s,\n "ways": [' "$(machine)" "$(stat -c %s "$base")" "$payload_bytes"
        separator=
        for name in "${names[@]}"; do
            printf '%s\n  {"way": "%s", "wall_s": [%s], "median_s": %s, "peak_kib": %s, "grown_bytes": %s}' "$separator" "$name" \
                "$(json_list "${walls[$name]}")" "$(median "${walls[$name]}")" "${peaks[$name]:-null}" "${grown[$name]}"
            separator=,
        done
        printf '],\n "targets": [\n  %s]}\n' "$(json_targets)"
    } >"$json"
    say "the numbers are in $json"
fi

if [[ -n $convert ]]; then
    step "convert, beside qemu-img"
    remove_outputs
    benches/convert.sh --runs "$runs" --base "$base" --binary "$imgraft"
fi
