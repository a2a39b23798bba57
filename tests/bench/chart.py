# SPDX-License-Identifier: MIT
"""Bars as an SVG file. A panel is {"title", "unit", "bars"}, a bar {"label", "median", "min",
"max"}; the thin line of a bar goes from the least to the most."""
from xml.sax.saxutils import escape

WIDTH, LABELS, NUMBERS = 900, 300, 90
ROW, BAR, HEAD, GAP = 22, 14, 34, 18
OURS, OTHERS, INK, PALE = "#1f6fb2", "#9aa5b1", "#222222", "#666666"


def write(path, title, panels):
    height = HEAD + sum(panel_height(panel) for panel in panels)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text(10, 22, title, size=15, weight="bold")]
    top = HEAD
    for panel in panels:
        lines += draw(panel, top)
        top += panel_height(panel)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines + ["</svg>\n"]))


def panel_height(panel):
    return HEAD + ROW * len(panel["bars"]) + GAP


def draw(panel, top):
    most = max((bar["max"] for bar in panel["bars"]), default=0) or 1
    scale = (WIDTH - LABELS - NUMBERS) / most
    yield text(10, top + 20, f"{panel['title']}, {panel['unit']}", size=13, weight="bold")
    for number, bar in enumerate(panel["bars"]):
        yield from draw_bar(bar, top + HEAD + ROW * number, scale)


def draw_bar(bar, top, scale):
    middle = top + BAR / 2
    colour = OURS if bar["label"].startswith("blkio") else OTHERS
    least, most = (LABELS + bar[end] * scale for end in ("min", "max"))
    yield text(LABELS - 8, middle + 4, bar["label"], anchor="end")
    yield (f'<rect x="{LABELS}" y="{top}" width="{bar["median"] * scale:.1f}" height="{BAR}" '
           f'fill="{colour}"/>')
    yield (f'<path d="M{least:.1f} {middle}H{most:.1f}M{least:.1f} {middle - 4}v8'
           f'M{most:.1f} {middle - 4}v8" stroke="{INK}" fill="none"/>')
    yield text(max(most, LABELS) + 6, middle + 4, f"{bar['median']:,.0f}", fill=PALE)


def text(x, y, words, size=12, weight="normal", anchor="start", fill=INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>')
