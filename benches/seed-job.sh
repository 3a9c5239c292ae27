#!/usr/bin/env bash
# benches/seed-job.sh [--runs N] [--slow-runs N] [--base IMAGE] [--payload FILE] [--json FILE]
#
# One job, five ways, on one machine and one image: put a 110 MB executable into a stock cloud image.
# Prints wall time (the median of N interleaved runs; 5, and 1 for virt-customize), peak memory, output
# size, and the ratios against what imgraft has to reach. A missed target is printed and is no failure.
#
# Every way starts with warm caches and a copy of the base where it works in place; making that copy is not
# counted, nor is the first start of virt-customize's appliance. The floor's sync is of its own files, as is
# imgraft's. Peak memory of virt-customize is the sum over its processes, sampled five times a second.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

runs=5 slow_runs=1 base='' payload='' json=''
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/seed-job.sh"
    case $1 in
        --runs) runs=$2 ;;
        --slow-runs) slow_runs=$2 ;;
        --base) base=$(realpath "$2") ;;
        --payload) payload=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/seed-job.sh" ;;
    esac
    shift 2
done

scripts/install-tools build bench
build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$target/bench
mkdir -p "$work/in"
# shellcheck disable=SC2317  # reached by the trap
remove_outputs() { rm -f "$work"/{floor,floor.bin,none,compressed,virt-customize,converted}.img; }
trap remove_outputs EXIT
trap 'exit 130' INT TERM

if [[ -z $payload ]]; then
    payload=${XDG_CACHE_HOME:-$HOME/.cache}/imgraft/bench-payload
    make_payload "$payload"
fi
cp "$payload" "$work/in/autonoe"
payload=$work/in/autonoe
payload_bytes=$(stat -c %s "$payload")
payload_gzip_bytes=$(gzip -c "$payload" | wc -c)

# The five ways. Each leaves its result in $work/NAME.img.
run_floor() { cp "$base" "$work/floor.img" && cp "$payload" "$work/floor.bin.img" && sync "$work"/floor{,.bin}.img; }
peak_of=(/usr/bin/time -f %M -o "$work/peak")
run_none() { "${peak_of[@]}" "$imgraft" build --base "$base" --put "$payload:/usr/local/bin/autonoe:0755" --compress none -o "$work/none.img"; }
run_compressed() { "${peak_of[@]}" "$imgraft" build --base "$base" --put "$payload:/usr/local/bin/autonoe:0755" -o "$work/compressed.img"; }
run_virt-customize() {
    virt-customize --quiet --no-network -a "$work/virt-customize.img" \
        --copy-in "$payload:/usr/local/bin" --chmod 0755:/usr/local/bin/autonoe
}
run_converted() { qemu-img convert -c -W -m 8 -O qcow2 "$work/virt-customize.img" "$work/converted.img"; }

declare -A walls peaks sizes
# measure NAME [SECONDS-BEFORE]: adds a wall time, keeps the largest peak in KiB and the size in bytes
measure() {
    local name=$1 started peak=0
    # What earlier runs left to be written is not this one's.
    sync
    started=$EPOCHREALTIME
    if [[ $name == virt-customize || $name == converted ]]; then
        "run_$name" >"$work/out" 2>&1 &
        wait_for_peak $! || fail "$name: $(tail -n 5 "$work/out")"
    else
        "run_$name" >"$work/out" 2>&1 || fail "$name: $(tail -n 5 "$work/out")"
    fi
    wall=$(awk -v from="$started" -v to="$EPOCHREALTIME" -v before="${2:-0}" 'BEGIN { printf "%.3f", before + to - from }')
    [[ $name != none && $name != compressed ]] || peak=$(tail -n 1 "$work/peak")
    walls[$name]+="$wall "
    ((peak <= ${peaks[$name]:-0})) || peaks[$name]=$peak
    sizes[$name]=$(stat -c %s "$work/$name.img")
    say "$name: $wall s"
}

remove_outputs
for ((run = 1; run <= runs; run++)); do
    step "fast ways, run $run of $runs"
    for way in floor none compressed; do
        rm -f "$work/$way"{,.bin}.img
        measure "$way"
    done
done
sizes[floor]=$((sizes[floor] + payload_bytes))
for way in none compressed; do
    step "see that the payload is in the image: $way"
    "$imgraft" cat "$work/$way.img" /usr/local/bin/autonoe | cmp - "$payload"
done

if ((slow_runs > 0)); then
    prepare_appliance "$work/in"
fi
for ((run = 1; run <= slow_runs; run++)); do
    step "virt-customize, run $run of $slow_runs"
    rm -f "$work"/{virt-customize,converted}.img
    cp "$base" "$work/virt-customize.img"
    measure virt-customize
    measure converted "$wall"
    ((peaks[virt-customize] <= peaks[converted])) || peaks[converted]=${peaks[virt-customize]}
done

names=(floor none compressed)
((slow_runs == 0)) || names+=(virt-customize converted)
declare -A what=(
    [floor]='cp of image and payload, then sync'
    [none]='imgraft build --compress none'
    [compressed]='imgraft build'
    [virt-customize]='virt-customize (emulated), in place'
    [converted]='the same, then qemu-img convert -c'
)
printf '\n%s\nbase %s bytes, payload %s bytes (gzip: %s)\n\n' "$(machine)" "$(stat -c %s "$base")" "$payload_bytes" "$payload_gzip_bytes"
printf '%-38s %9s %10s %10s\n' way 'wall s' 'peak MiB' 'out MB'
for name in "${names[@]}"; do
    printf '%-38s %9.2f %10s %10s\n' "${what[$name]}" "$(median "${walls[$name]}")" \
        "$(if [[ -n ${peaks[$name]:-} ]]; then ratio "${peaks[$name]}" 1024 | cut -d . -f 1; else echo -; fi)" \
        "$((sizes[$name] / 1000000))"
done
echo

if ((slow_runs > 0)); then
    target 'speed-up over virt-customize, not compressing' "$(ratio "$(median "${walls[virt-customize]}")" "$(median "${walls[none]}")")" at-least 60
    target 'speed-up over virt-customize + convert, compressing' "$(ratio "$(median "${walls[converted]}")" "$(median "${walls[compressed]}")")" at-least 40
    target 'output size against virt-customize + convert' "$(ratio "${sizes[compressed]}" "${sizes[converted]}")" at-most 1.02
fi
target 'time against cp + sync, not compressing' "$(ratio "$(median "${walls[none]}")" "$(median "${walls[floor]}")")" at-most 1.5
target 'peak memory in MiB, not compressing' "$(ratio "${peaks[none]}" 1024)" at-most 64
target 'peak memory in MiB, compressing' "$(ratio "${peaks[compressed]}" 1024)" at-most 64

if [[ -n $json ]]; then
    {
        printf '{"machine": "%s", "base_bytes": %s, "payload_bytes": %s, "payload_gzip_bytes": %s,\n "ways": [' \
            "$(machine)" "$(stat -c %s "$base")" "$payload_bytes" "$payload_gzip_bytes"
        separator=
        for name in "${names[@]}"; do
            printf '%s\n  {"way": "%s", "wall_s": [%s], "median_s": %s, "peak_kib": %s, "output_bytes": %s}' "$separator" "$name" \
                "$(json_list "${walls[$name]}")" "$(median "${walls[$name]}")" "${peaks[$name]:-null}" "${sizes[$name]}"
            separator=,
        done
        printf '],\n "targets": [\n  %s]}\n' "$(json_targets)"
    } >"$json"
    say "the numbers are in $json"
fi
