#!/usr/bin/env bash
# Builds the image. What is said of it is kept for the summary.
set -euo pipefail
# shellcheck source=actions/build/common.sh
source "$GITHUB_ACTION_PATH/common.sh"

arguments=(build)
[[ -z $INPUT_RECIPE ]] || arguments+=("$INPUT_RECIPE")
if [[ -n $INPUT_BASE ]]; then
    arguments+=(--base "$INPUT_BASE")
elif is_on locked; then
    arguments+=(--locked)
fi
while IFS= read -r line; do
    line=${line#"${line%%[![:space:]]*}"}
    line=${line%"${line##*[![:space:]]}"}
    [[ -z $line ]] || arguments+=(--input "$line")
done <<<"$INPUT_INPUTS"
[[ -z $INPUT_OUTPUT ]] || arguments+=(--output "$INPUT_OUTPUT")
[[ -z $INPUT_RELEASE_VERSION ]] || arguments+=(--release-version "$INPUT_RELEASE_VERSION")
[[ -z $INPUT_FORMAT ]] || arguments+=(--format "$INPUT_FORMAT")
[[ -z $INPUT_SIZE ]] || arguments+=(--size "$INPUT_SIZE")
[[ -z $INPUT_HTML ]] || arguments+=(--html "$INPUT_HTML")
split args

# The image's name may be the recipe's, so documents are made in a folder of their own and moved to it.
documents=()
if is_on documents; then
    documents=(--manifest "$WORK/manifest.json" --sbom "$WORK/sbom.spdx.json" --predicate "$WORK/predicate.json")
fi
imgraft "${arguments[@]}" --sha256 --json "${documents[@]}" "${words[@]}" >"$WORK/build.json"

image=$(jq -r .output "$WORK/build.json")
output image "$(realpath -s -- "$image")"
if is_on documents; then
    for name in manifest sbom.spdx predicate; do
        mv -- "$WORK/$name.json" "$image.$name.json"
        output "${name%.spdx}" "$(realpath -s -- "$image.$name.json")"
    done
    output predicate-type https://slsa.dev/provenance/v1
fi
[[ -z $INPUT_HTML ]] || output report "$(realpath -s -- "$INPUT_HTML")"
output sha256 "$(jq -r .sha256 "$WORK/build.json")"
output base "$(jq -r .base "$WORK/build.json")"
