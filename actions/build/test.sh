#!/usr/bin/env bash
# Boots the image and has its first boot judged.
set -euo pipefail
# shellcheck source=actions/build/common.sh
source "$GITHUB_ACTION_PATH/common.sh"

recipe=${INPUT_RECIPE:-imgraft.toml}
arguments=(test "$IMAGE" --junit "$WORK/junit.xml")
[[ ! -f $recipe ]] || arguments+=(--recipe "$recipe")
# Beside the page on what was built.
page=${INPUT_HTML:+${INPUT_HTML%.html}-boot.html}
[[ -z $page ]] || arguments+=(--html "$page")
split test_args
status=0
imgraft "${arguments[@]}" "${words[@]}" | tee "$WORK/verdict.txt" || status=$?
[[ ! -f $WORK/junit.xml ]] || output junit "$WORK/junit.xml"
[[ -z $page || ! -f $page ]] || output report "$(realpath -s -- "$page")"
[[ $status -ne 1 ]] || annotate error "$(basename "$IMAGE") does not boot as it should: the log of this step says what is wrong"
exit "$status"
