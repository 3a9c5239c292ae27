#!/usr/bin/env bash
# Boots the image and has its first boot judged.
set -euo pipefail
# shellcheck source=actions/build/common.sh
source "$GITHUB_ACTION_PATH/common.sh"

recipe=${INPUT_RECIPE:-imgraft.toml}
arguments=(test "$IMAGE" --junit "$WORK/junit.xml")
[[ ! -f $recipe ]] || arguments+=(--recipe "$recipe")
[[ -z $INPUT_HTML ]] || arguments+=(--html "$INPUT_HTML")
split test_args
status=0
imgraft "${arguments[@]}" "${words[@]}" | tee "$WORK/verdict.txt" || status=$?
[[ ! -f $WORK/junit.xml ]] || output junit "$WORK/junit.xml"
[[ -z $INPUT_HTML || ! -f $INPUT_HTML ]] || output report "$(realpath -s -- "$INPUT_HTML")"
[[ $status -ne 1 ]] || annotate error "$(basename "$IMAGE") does not boot as it should: the log of this step says what is wrong"
exit "$status"
