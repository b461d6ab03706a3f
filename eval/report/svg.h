// Plots as SVG, to be put into an HTML page. Colours are classes that html.h defines for light and dark: s0,
// s1, ... for series, h for heat; text and axes take the page's own. The palette is that of Okabe and Ito,
// which readers with any common colour blindness can tell apart; series also differ by the shape of their
// points.
#pragma once

#include <string>

#include "eval/report/plots.h"

namespace ft::eval {

// Series that have a colour of their own; further ones begin again, dashed.
inline constexpr int kSeriesColours = 7;

std::string svg(const LinePlot& plot);
std::string svg(const BarPlot& plot);
std::string svg(const HeatMap& plot);

// `text` with the characters escaped that mean something in HTML and SVG.
std::string escaped(const std::string& text);

}  // namespace ft::eval
