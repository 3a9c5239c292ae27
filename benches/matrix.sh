#!/usr/bin/env bash
# benches/matrix.sh [--most N] [--full N] [--base IMAGE] [--binary IMGRAFT] [--json FILE] [--svg FILE]
#
# What a fleet costs: 1, 10, 100 and 1000 (up to --most; 1000) thin variants of a stock cloud image with a payload of 1 MB
# each and a file of their own, by `imgraft matrix`, and 1 and N (10) of them as full images and as deltas. Prints wall and
# CPU time, peak memory and bytes, a model (a fixed part and one for each image, by the two smallest runs) held against
# what was measured, what 1000 of each kind cost by it, and the ratios against what imgraft has to reach. A missed target
# is printed and is no failure. --svg FILE draws that as a chart.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

most=1000 full=10 base='' json='' svg='' imgraft=''
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/matrix.sh"
    case $1 in
        --most) most=$2 ;;
        --full) full=$2 ;;
        --base) base=$(realpath "$2") ;;
        --binary) imgraft=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        --svg) svg=$(realpath -m "$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/matrix.sh" ;;
    esac
    shift 2
done
[[ -x /usr/bin/time ]] || scripts/install-tools bench
[[ -z $svg ]] || has python3 || fail "the chart needs python3" "install it, or leave out --svg"
[[ -n $imgraft ]] || build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$(mktemp -d "${TMPDIR:-/tmp}/bench-matrix.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
make_payload "$target/bench-payload"
head -c 1000000 "$target/bench-payload" >"$work/payload"

# recipe FILE COUNT OVERLAY
recipe() {
    cat >"$1" <<EOF
[output]
file = "$work/out/{matrix.number}.img"
overlay = $3
[matrix]
number = { from = 1, to = $2 }
[base]
file = "$base"
[inputs.payload]
file = "payload"
[[step]]
put = "payload"
to = "/usr/local/bin/payload"
mode = "0755"
[[step]]
write = "/etc/number"
text = "{matrix.number}\n"
EOF
}
declare -A wall cpu peak bytes
# measure KEY COUNT OVERLAY [OPTION]
measure() {
    local key=$1 seconds user system
    rm -rf "$work/out"
    mkdir "$work/out"
    recipe "$work/fleet.toml" "$2" "$3"
    step "$key: $2"
    sync
    /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$imgraft" -q matrix "$work/fleet.toml" "${@:4}" >"$work/said"
    read -r seconds user system "peak[$key]" <"$work/time"
    wall[$key]=$seconds cpu[$key]=$(awk -v one="$user" -v other="$system" 'BEGIN { print one + other }')
    bytes[$key]=$(find "$work/out" -type f ! -name '*.cell.json' -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
    printf '%-12s %9s s %9s s CPU %8s MiB %14s bytes\n' "$key" "${wall[$key]}" "${cpu[$key]}" "$(kib_as_mib "${peak[$key]}")" "${bytes[$key]}"
}
# Once, so that every run has what it reads in memory.
measure warm-up 1 true
counts=()
for count in 1 10 100 1000; do
    [[ $count -gt $most ]] || { measure "thin-$count" "$count" true && counts+=("$count"); }
done
[[ ${#counts[@]} -lt 3 ]] || "$imgraft" -q matrix "$work/fleet.toml" | sed 's/^/again:       /'
measure full-1 1 false
measure "full-$full" "$full" false
measure delta-1 1 false --delta
measure "delta-$full" "$full" false --delta

machine
echo
each=$(awk -v ten="${wall[thin-10]}" -v one="${wall[thin-1]}" 'BEGIN { print (ten - one) / 9 }')
for count in "${counts[@]:2}"; do
    model=$(awk -v one="${wall[thin-1]}" -v each="$each" -v count="$count" 'BEGIN { print one + each * (count - 1) }')
    echo "the model says $model s for $count, measured ${wall[thin-$count]} s: $(ratio "${wall[thin-$count]}" "$model")"
done
# model KIND TABLE COUNT: of one and of N that kind, what COUNT cost by a straight line.
model() {
    local many=10
    [[ $1 == thin ]] || many=$full
    local -n table=$2
    awk -v one="${table[$1-1]}" -v many="${table[$1-$many]}" -v n="$many" -v count="$3" \
        'BEGIN { printf "%.1f", one + (many - one) / (n - 1) * (count - 1) }'
}
for kind in full delta thin; do
    echo "1000 of kind $kind by the model: $(model "$kind" wall 1000) s, $(model "$kind" bytes 1000 | awk '{ printf "%.2f", $1 / 1e9 }') GB"
done
[[ -z $svg ]] || {
    for kind in full delta thin; do
        for count in 1 10 100 1000; do
            key=$kind-$count
            how=measured seconds=${wall[$key]:-} size=${bytes[$key]:-}
            [[ -n $seconds ]] || how=model seconds=$(model "$kind" wall "$count") size=$(model "$kind" bytes "$count")
            echo "$kind $count $seconds $size $how"
        done
    done | python3 benches/chart.py >"$svg"
}
[[ $most -lt 100 ]] || target '100 thin variants / the time of one' "$(ratio "${wall[thin-100]}" "${wall[thin-1]}")" at-most 20
[[ $most -lt 1000 ]] || target '1000 thin variants / the time of 100' "$(ratio "${wall[thin-1000]}" "${wall[thin-100]}")" at-most 10.5
last=${counts[-1]}
target 'MB of each thin variant' "$(awk -v bytes="${bytes[thin-$last]}" -v count="$last" 'BEGIN { print bytes / count / 1e6 }')" at-most 2
target 'peak MiB' "$(kib_as_mib "${peak[thin-$last]}")" at-most 128
target 'peak MiB, full' "$(kib_as_mib "${peak[full-$full]}")" at-most 128
[[ -z $json ]] || printf '{"targets": [\n  %s\n]}\n' "$(json_targets)" >"$json"
