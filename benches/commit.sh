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
target=${CARGO_TARGET_DIR:-$root/target} triple=x86_64-unknown-linux-gnu
if [[ -z $imgraft ]]; then
    step "build imgraft"
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$triple" -p imgraft
    imgraft=$target/$triple/release/imgraft
fi
[[ -n $base ]] || base=$(scripts/base-image)

work=$target/bench-commit
mkdir -p "$work"
image=$work/my.img
# shellcheck disable=SC2317  # reached by the trap
remove_outputs() { rm -f "$image" "$work"/{floor.bin,peak,out}; }
trap remove_outputs EXIT
trap 'exit 130' INT TERM

payload_bytes=110000000 payload=$work/autonoe
if [[ ! -s $payload ]]; then
    step "make a payload of $payload_bytes bytes out of this machine's own executables and libraries"
    # head ends the pipe early, and that is no error.
    { find /usr/bin /usr/lib -type f -size +64k -perm -u+r \( -perm -u+x -o -name '*.so*' \) -print0 2>/dev/null |
        LC_ALL=C sort -z | xargs -0 cat 2>/dev/null || true; } | head -c "$payload_bytes" >"$payload.part"
    [[ $(stat -c %s "$payload.part") -eq $payload_bytes ]] || fail "this machine has too few executables" "install some, such as those of scripts/install-tools"
    mv "$payload.part" "$payload"
fi

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

# The appliance: emulated, and with a kernel that this user can read.
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
prepare_appliance() {
    local kernel
    kernel=$(find /boot -name 'vmlinuz-*' | sort -V | tail -n 1)
    if [[ ! -r $kernel ]]; then
        as_root install -m 0644 "$kernel" "$work/vmlinuz"
        export SUPERMIN_KERNEL=$work/vmlinuz SUPERMIN_MODULES=/lib/modules/${kernel#/boot/vmlinuz-}
    fi
    guestfish -a /dev/null run >&2 ||
        fail "libguestfs does not start" "run libguestfs-test-tool; it needs a readable kernel in /boot and its modules"
}

# rss_kib PID: what this process and all below it hold now
rss_kib() {
    ps -e -o pid=,ppid=,rss= | awk -v top="$1" '
        { parent[$1] = $2; rss[$1] = $3 }
        END {
            for (pid in rss) {
                for (at = pid; at in parent && at != top; at = parent[at]);
                if (at == top) sum += rss[pid]
            }
            print sum + 0
        }'
}

declare -A walls peaks grown
# measure NAME: adds a wall time, keeps the largest peak in KiB and by how much the image grew
measure() {
    local name=$1 started pid now peak=0 before wall
    before=$(stat -c %s "$image")
    # What was left to be written is not this one's.
    sync
    started=$EPOCHREALTIME
    if [[ $name == virt-customize ]]; then
        run_virt-customize >"$work/out" 2>&1 &
        pid=$!
        while kill -0 "$pid" 2>/dev/null; do
            now=$(rss_kib "$pid")
            ((now <= peak)) || peak=$now
            sleep 0.2
        done
        wait "$pid" || fail "$name: $(tail -n 5 "$work/out")"
    else
        "run_$name" >"$work/out" 2>&1 || fail "$name: $(tail -n 5 "$work/out")"
    fi
    wall=$(awk -v from="$started" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }')
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
    step "start virt-customize's appliance once, so that it is built (a minute or two)"
    prepare_appliance
fi
for ((run = 1; run <= slow_runs; run++)); do
    step "virt-customize, run $run of $slow_runs"
    fresh
    measure virt-customize
done

median() { tr ' ' '\n' <<<"${walls[$1]}" | grep . | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }

names=(floor none again compressed)
((slow_runs == 0)) || names+=(virt-customize)
declare -A what=(
    [floor]='cp of the payload, then sync'
    [none]='imgraft customize --compress none'
    [again]='the same once more'
    [compressed]='imgraft customize'
    [virt-customize]='virt-customize (emulated), then sync'
)
machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, load $(cut -d ' ' -f 1 /proc/loadavg) at the end"
printf '\n%s\nbase %s bytes, payload %s bytes, in place\n\n' "$machine" "$(stat -c %s "$base")" "$payload_bytes"
printf '%-38s %9s %10s %10s\n' way 'wall s' 'peak MiB' 'grown MB'
for name in "${names[@]}"; do
    printf '%-38s %9.2f %10s %10s\n' "${what[$name]}" "$(median "$name")" \
        "$(if [[ ${peaks[$name]:-0} -gt 0 ]]; then ratio "${peaks[$name]}" 1024 | cut -d . -f 1; else echo -; fi)" \
        "$(if [[ $name == floor ]]; then echo -; else echo $((grown[$name] / 1000000)); fi)"
done
echo

targets=()
# target NAME VALUE at-least|at-most BOUND
target() {
    local verdict
    verdict=$(awk -v v="$2" -v how="$3" -v b="$4" 'BEGIN { print (how == "at-least" ? v >= b : v <= b) ? "reached" : "MISSED" }')
    printf '%-58s %9s  %-8s %5s  %s\n' "$1" "$2" "$3" "$4" "$verdict"
    targets+=("$(printf '{"target": "%s", "value": %s, "%s": %s, "reached": %s}' "$1" "$2" "${3/-/_}" "$4" \
        "$([[ $verdict == reached ]] && echo true || echo false)")")
}
target 'time against cp of the payload and sync, not compressing' "$(ratio "$(median none)" "$(median floor)")" at-most 2
if ((slow_runs > 0)); then
    target 'speed-up over virt-customize, not compressing' "$(ratio "$(median virt-customize)" "$(median none)")" at-least 150
fi
target 'peak memory in MiB, not compressing' "$(ratio "${peaks[none]}" 1024)" at-most 64
target 'peak memory in MiB, compressing' "$(ratio "${peaks[compressed]}" 1024)" at-most 64

if [[ -n $json ]]; then
    {
        printf '{"machine": "%s", "base_bytes": %s, "payload_bytes": %s,\n "ways": [' "$machine" "$(stat -c %s "$base")" "$payload_bytes"
        separator=
        for name in "${names[@]}"; do
            printf '%s\n  {"way": "%s", "wall_s": [%s], "median_s": %s, "peak_kib": %s, "grown_bytes": %s}' "$separator" "$name" \
                "$(xargs <<<"${walls[$name]}" | sed 's/ /, /g')" "$(median "$name")" "${peaks[$name]:-null}" "${grown[$name]}"
            separator=,
        done
        printf '],\n "targets": [\n  %s]}\n' "$(IFS=$'\n' && echo "${targets[*]}" | sed '$!s/$/,/; 2,$s/^/  /')"
    } >"$json"
    say "the numbers are in $json"
fi

if [[ -n $convert ]]; then
    step "convert, beside qemu-img"
    remove_outputs
    benches/convert.sh --runs "$runs" --base "$base" --binary "$imgraft"
fi
