"""Draws curves as an SVG file, without a plotting library."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

# Told apart by colour-blind readers, and dark enough on white (Okabe and Ito's palette).
COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"]
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 40, 52


@dataclass
class Curve:
    name: str
    points: list  # (x, y)
    dashed: bool = False


def ticks(low, high, most=9):
    """Multiples of 1, 2 or 5 times a power of ten between low and high, at most `most` of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if (high - low) / (power * m) <= most - 1)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _text(x, y, text, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'


def smoothed(points, keep=0.8):
    """Exponential mean of y: what a batch adds by chance is taken out."""
    mean, result = None, []
    for x, y in points:
        mean = y if mean is None else keep * mean + (1 - keep) * y
        result.append((x, mean))
    return result


def svg(title, x_label, y_label, curves):
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x0, x1, y0, y1 = 0.0, max(xs), min(0.0, min(ys)), max(ys)

    def px(x):
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y):
        return HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 22, title, extra='font-size="15"'),
    ]
    for y in ticks(y0, y1):
        parts.append(f'<path d="M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, py(y) + 4, f"{y:g}", "end"))
    for x in ticks(x0, x1):
        parts.append(_text(px(x), HEIGHT - BOTTOM + 20, f"{x:g}"))
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text(18, middle, y_label, extra=f'transform="rotate(-90 18 {middle:.1f})"'))
    for i, curve in enumerate(curves):
        color, dash = COLORS[i % len(COLORS)], ' stroke-dasharray="6 4"' if curve.dashed else ""
        path = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in curve.points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
        y = TOP + 12 + 20 * i
        parts.append(f'<path d="M{WIDTH - 300} {y - 4}h28" stroke="{color}" stroke-width="2"{dash}/>')
        parts.append(_text(WIDTH - 264, y, curve.name, "start"))
    return "\n".join(parts + ["</svg>"]) + "\n"
