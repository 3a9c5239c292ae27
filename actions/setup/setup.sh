#!/usr/bin/env bash
# Installs imgraft into the runner's folder for temporary files, and puts it on the path of the steps that follow.
set -euo pipefail

prefix=$RUNNER_TEMP/imgraft
options=(--prefix "$prefix")
[[ -z $INPUT_VERSION || $INPUT_VERSION == latest ]] || options+=(--version "$INPUT_VERSION")
[[ -z $INPUT_CHECKSUM ]] || options+=(--checksum "$INPUT_CHECKSUM")
# It verifies what it downloads, and installs all of it or nothing.
sh "$GITHUB_ACTION_PATH/../../install.sh" "${options[@]}"

version=$("$prefix/bin/imgraft" --version)
echo "$prefix/bin" >>"$GITHUB_PATH"
{
    echo "version=${version#imgraft }"
    echo "path=$prefix/bin/imgraft"
} >>"$GITHUB_OUTPUT"
