"""Draws what benches/matrix.sh measured, as SVG: lines of KIND COUNT SECONDS BYTES measured|model on standard input.

Time and bytes, each over the number of images, both axes logarithmic. Dots that are filled were measured, the others
come from the model.
"""

import math
import sys

KINDS = {"full": "#b2182b", "delta": "#2166ac", "thin": "#1a7f37"}
WIDTH, HEIGHT, LEFT, TOP = 300, 220, 70, 40


def panel(title, unit, offset, rows, value):
    low = math.floor(math.log10(min(value(row) for row in rows)))
    high = math.ceil(math.log10(max(value(row) for row in rows)))
    x = lambda count: offset + math.log10(count) / 3 * WIDTH
    y = lambda number: TOP + HEIGHT - (math.log10(number) - low) / (high - low) * HEIGHT
    yield f'<text x="{offset}" y="20" font-weight="bold">{title}</text>'
    for power in range(low, high + 1):
        at = y(10**power)
        label = f"{10**power:g}" if abs(power) < 5 else f"1e{power}"
        yield f'<line x1="{offset}" x2="{offset + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
        yield f'<text x="{offset - 6}" y="{at + 4:.1f}" text-anchor="end">{label} {unit}</text>'
    for count in (1, 10, 100, 1000):
        yield f'<text x="{x(count):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{count}</text>'
    ends = {}
    for kind, color in KINDS.items():
        of_kind = sorted((row for row in rows if row[0] == kind), key=lambda row: row[1])
        points = " ".join(f"{x(row[1]):.1f},{y(value(row)):.1f}" for row in of_kind)
        yield f'<polyline points="{points}" fill="none" stroke="{color}"/>'
        for row in of_kind:
            fill = color if row[4] == "measured" else "white"
            yield f'<circle cx="{x(row[1]):.1f}" cy="{y(value(row)):.1f}" r="4" fill="{fill}" stroke="{color}"/>'
        ends[kind] = y(value(of_kind[-1])) + 4
    lowest = 0
    for kind, at in sorted(ends.items(), key=lambda end: end[1]):
        # No name over another one.
        lowest = max(at, lowest + 13)
        yield f'<text x="{x(1000) + 8:.1f}" y="{lowest:.1f}" fill="{KINDS[kind]}">{kind}</text>'


def main():
    rows = [(kind, int(count), float(seconds), float(size), how) for kind, count, seconds, size, how in map(str.split, sys.stdin)]
    second = LEFT + WIDTH + 130
    size = f'width="{second + WIDTH + 60}" height="{TOP + HEIGHT + 50}"'
    print(f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" role="img">')
    print("<title>What a fleet costs: time and bytes over the number of images, full, as deltas and thin</title>")
    print('<rect width="100%" height="100%" fill="white"/>')
    print(*panel("Time, by the number of images", "s", LEFT, rows, lambda row: row[2]), sep="\n")
    print(*panel("Bytes, by the number of images", "MB", second, rows, lambda row: row[3] / 1e6), sep="\n")
    end = f'x="{LEFT}" y="{TOP + HEIGHT + 42}"'
    print(f"<text {end}>filled: measured; hollow: by the model</text>")
    print("</svg>")


if __name__ == "__main__":
    main()
