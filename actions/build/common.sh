# shellcheck shell=bash
# What the steps of this action have in common.

# annotate error|warning|notice TEXT: shown on the page of the run; the text is one line whatever is in it
annotate() {
    local text=${2//'%'/%25}
    text=${text//$'\r'/%0D}
    printf '::%s title=imgraft::%s\n' "$1" "${text//$'\n'/%0A}"
}

# fail WHAT WHAT-TO-DO
fail() {
    annotate error "$1"$'\n'"hint: $2"
    exit 1
}

# output NAME VALUE: for the steps that follow; no value ends before its own end
output() {
    local end="end-of-value-$RANDOM$RANDOM$RANDOM$RANDOM"
    printf '%s<<%s\n%s\n%s\n' "$1" "$end" "$2" "$end" >>"$GITHUB_OUTPUT"
}

# is_on NAME: whether an input that is true or false is true
is_on() {
    local variable=INPUT_${1^^}
    case ${!variable} in
        true) return 0 ;;
        false | '') return 1 ;;
        *) fail "the input \`$1\` is \`${!variable}\`, and not true or false" "write \`$1: true\`" ;;
    esac
}

# split NAME: the words of an input, as `words`: those that a shell has, and nothing else of a shell, such as variables,
# commands and patterns
split() {
    local variable=INPUT_${1^^} file
    file=$(mktemp "$WORK/words.XXXXXX")
    xargs -r printf '%s\0' <<<"${!variable}" >"$file" ||
        fail "the input \`${1//_/-}\` is not understood" "close each quote in it"
    # shellcheck disable=SC2034 # whoever calls this reads them
    mapfile -d '' -t words <"$file"
}
