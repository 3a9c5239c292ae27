#!/usr/bin/env bash
# Writes changes, size and verdict to the summary of the job, in Markdown.
set -euo pipefail
[[ -n $WORK ]] || exit 0
# GitHub takes 1 MiB of a step.
limit_bytes=200000

report=$WORK/build.json
case $BUILT,$TESTED in
    success,success) verdict='✅ built, checked, booted: the first boot is as it should be' ;;
    success,failure) verdict='❌ built and checked, but the first boot is not as it should be' ;;
    success,*) verdict='✅ built and checked' ;;
    *) verdict='❌ no image was made; the log says why' ;;
esac
# What is shown is text, whatever the names in it are.
# shellcheck disable=SC2016 # jq's own variables
table='def size: if . >= 1073741824 then "\(. / 107374182.4 | round / 10) GiB"
        elif . >= 1048576 then "\(. / 104857.6 | round / 10) MiB" else "\(. / 102.4 | round / 10) KiB" end;
    def row(name; value): "<tr><th align=\"left\">\(name)</th><td>\(value | gsub("[\r\n]+"; " "))</td></tr>";
    (.file_size_bytes - .base_file_size_bytes) as $grew |
    row("Base"; .base | @html),
    row("Image"; "\(.format), \(.file_size_bytes | size) (\(if $grew < 0 then "−" else "+" end)\($grew | fabs | size) against the base), disk of \(.virtual_size_bytes | size)"),
    row("SHA-256"; "<code>\(.sha256)</code>"),
    (.warnings[] | row("Warning"; @html))'
changes='.operations[] | .done, (.changes[]? | "  \({made: "+", changed: "M", removed: "-"}[.change] // "?") \(.path)") | @html'
{
    if [[ $BUILT == success ]]; then
        printf '<h3>%s</h3>\n\n' "$(jq -r '.output | split("/") | last | gsub("[\r\n]+"; " ") | @html' "$report")"
    else
        printf '<h3>imgraft</h3>\n\n'
    fi
    printf '<table>\n<tr><th align="left">Verdict</th><td>%s</td></tr>\n' "$verdict"
    [[ $BUILT != success ]] || jq -r "$table" "$report"
    printf '</table>\n'
    if [[ $BUILT == success ]]; then
        printf '\n<details open><summary>Changes</summary>\n\n<pre>\n'
        jq -r "$changes" "$report" >"$WORK/changes.txt"
        head -c "$limit_bytes" "$WORK/changes.txt"
        [[ $(wc -c <"$WORK/changes.txt") -le $limit_bytes ]] || printf '\n…\n'
        printf '</pre>\n\n</details>\n'
    fi
    if [[ -s $WORK/verdict.txt ]]; then
        printf '\n<details><summary>First boot</summary>\n\n<pre>\n'
        head -c "$limit_bytes" "$WORK/verdict.txt" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'
        printf '</pre>\n\n</details>\n'
    fi
    printf '\n'
} >>"$GITHUB_STEP_SUMMARY"
