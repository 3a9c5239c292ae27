"""Draws what benches/matrix.sh measured, as SVG: lines of KIND COUNT SECONDS BYTES measured|model on standard input.

Time and bytes, each over the number of images, both axes logarithmic. Dots that are filled were measured, the others
come from the model.
"""

import math
import sys

KINDS = ("full", "delta", "thin")
WIDTH, HEIGHT, LEFT, TOP = 270, 220, 84, 48
TOTAL = (2 * (LEFT + WIDTH) + 92, TOP + HEIGHT + 56)
STYLE = """
    text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
    .name { font-weight: 600 }
    .paper { fill: #ffffff }
    .grid { stroke: #d1d9e0 }
    polyline { fill: none; stroke-width: 1.5 }
    .full { stroke: #b2182b } .delta { stroke: #2f5f8a } .thin { stroke: #1a7f37 }
    .full.measured { fill: #b2182b } .delta.measured { fill: #2f5f8a } .thin.measured { fill: #1a7f37 }
    .model { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .paper, .model { fill: #0d1117 }
      .grid { stroke: #3d444d }
      .full { stroke: #ff8182 } .delta { stroke: #7db4e6 } .thin { stroke: #57ab5a }
      .full.measured { fill: #ff8182 } .delta.measured { fill: #7db4e6 } .thin.measured { fill: #57ab5a }
    }
"""


def panel(title, unit, left, rows, value):
    low = math.floor(math.log10(min(value(row) for row in rows)))
    high = math.ceil(math.log10(max(value(row) for row in rows)))

    def x(count):
        return left + math.log10(count) / 3 * WIDTH

    def y(number):
        return TOP + HEIGHT - (math.log10(number) - low) / (high - low) * HEIGHT

    yield f'<text class="name" x="{left}" y="28">{title}</text>'
    for power in range(low, high + 1):
        at = y(10.0**power)
        yield f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,.9g} {unit}</text>'
    for count in (1, 10, 100, 1000):
        yield f'<text x="{x(count):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{count:,}</text>'
    ends = {}
    for kind in KINDS:
        of_kind = sorted((row for row in rows if row[0] == kind), key=lambda row: row[1])
        points = " ".join(f"{x(row[1]):.1f},{y(value(row)):.1f}" for row in of_kind)
        yield f'<polyline class="{kind}" points="{points}"/>'
        for row in of_kind:
            yield f'<circle class="{kind} {row[4]}" cx="{x(row[1]):.1f}" cy="{y(value(row)):.1f}" r="4"/>'
        ends[kind] = y(value(of_kind[-1])) + 4
    lowest = 0
    for kind, at in sorted(ends.items(), key=lambda end: end[1]):
        # No name over another one.
        lowest = max(at, lowest + 14)
        yield f'<text x="{x(1000) + 9:.1f}" y="{lowest:.1f}">{kind}</text>'


def described(rows):
    for kind in KINDS:
        of_kind = sorted((row for row in rows if row[0] == kind), key=lambda row: row[1])
        told = (f"{count:,} take {seconds:,.4g} s and {size / 1e6:,.1f} MB" for _, count, seconds, size, _ in of_kind)
        yield f"Images of the kind {kind}: {'; '.join(told)}."


def main():
    fields = (line.split() for line in sys.stdin)
    rows = [(kind, int(count), float(seconds), float(size), how) for kind, count, seconds, size, how in fields]
    width, height = TOTAL
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    print(f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">')
    print('<title id="title">What a fleet costs in time and bytes, by the number of images</title>')
    print(f'<desc id="desc">{" ".join(described(rows))}</desc>')
    print(f"<style>{STYLE}</style>")
    print(f'<rect class="paper" width="{width}" height="{height}" rx="8"/>')
    print(*panel("Time, by the number of images", "s", LEFT, rows, lambda row: row[2]), sep="\n")
    second = 2 * LEFT + WIDTH + 46
    print(*panel("Bytes, by the number of images", "MB", second, rows, lambda row: row[3] / 1e6), sep="\n")
    print(f'<text x="{LEFT}" y="{TOP + HEIGHT + 44}">filled: measured; hollow: by the model</text>')
    print("</svg>")


if __name__ == "__main__":
    main()
