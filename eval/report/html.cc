#include "eval/report/html.h"

#include <fmt/format.h>

#include "eval/report/svg.h"

namespace ft::eval {

namespace {

// Okabe and Ito's colours; the dark page has lighter blues and no pure yellow on white.
constexpr const char* kHead = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #5b6570; --rule: #d9dee3; --panel: #f6f8fa;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b5579a; --s4: #a07800; --s5: #3fa0d8; --s6: #000000;
  --heat: #0072b2; --on: #ffffff; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6e9ed; --paper: #14171a; --soft: #a3adb8; --rule: #343b42; --panel: #1d2126;
  --s0: #56b4e9; --s1: #ff8c42; --s2: #2fc79a; --s3: #e59ac8; --s4: #f0e442; --s5: #8fb8ff; --s6: #ffffff;
  --heat: #56b4e9; --on: #0b0d0f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 36px 0 8px; }
p { max-width: 760px; } figure { margin: 18px 0 26px; } figcaption, caption { font-weight: 600; text-align: left;
  padding: 4px 0; }
svg { max-width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg text.label { font-weight: 600; } svg text.on { fill: var(--on); }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); } .reference { stroke: var(--soft); stroke-dasharray: 6 4; }
.line { fill: none; stroke-width: 2; } .dash { stroke-dasharray: 7 4; } .bar { stroke-width: 1.5; opacity: .7; }
.m { stroke: var(--paper); stroke-width: 1; } .h { fill: var(--heat); }
.line.s0, .bar.s0 { stroke: var(--s0); } .m.s0 { fill: var(--s0); } .line.s1, .bar.s1 { stroke: var(--s1); }
.m.s1 { fill: var(--s1); } .line.s2, .bar.s2 { stroke: var(--s2); } .m.s2 { fill: var(--s2); }
.line.s3, .bar.s3 { stroke: var(--s3); } .m.s3 { fill: var(--s3); } .line.s4, .bar.s4 { stroke: var(--s4); }
.m.s4 { fill: var(--s4); } .line.s5, .bar.s5 { stroke: var(--s5); } .m.s5 { fill: var(--s5); }
.line.s6, .bar.s6 { stroke: var(--s6); } .m.s6 { fill: var(--s6); }
.scroll { overflow-x: auto; margin: 14px 0 24px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { text-align: left; background: var(--panel); cursor: pointer; } th[aria-sort=ascending]::after { content: " \25b2"; }
th[aria-sort=descending]::after { content: " \25bc"; } td.n { text-align: right; }
details { margin: 8px 0; } summary { cursor: pointer; } pre { background: var(--panel); padding: 10px; overflow-x: auto;
  font-size: 12.5px; }
</style>
)html";

constexpr const char* kScript = R"html(<script>
for (const table of document.querySelectorAll("table")) table.querySelectorAll("th").forEach((head, column) => {
  head.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const body = table.tBodies[0];
    const value = row => { const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
    [...body.rows].sort((a, b) => { const x = value(a), y = value(b);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return rising ? order : -order; }).forEach(row => body.append(row));
  });
});
</script>
)html";

std::string of(const Heading& heading) {
  return fmt::format("<h2>{}</h2>\n", escaped(heading.text));
}

std::string of(const Paragraph& paragraph) {
  return fmt::format("<p>{}</p>\n", escaped(paragraph.text));
}

std::string of(const Details& details) {
  return fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", escaped(details.title),
                     escaped(details.text));
}

std::string of(const Table& table) {
  std::string out =
      fmt::format("<div class=\"scroll\"><table><caption>{}</caption><thead><tr>", escaped(table.title));
  for (const std::string& column : table.columns) out += fmt::format("<th>{}</th>", escaped(column));
  out += "</tr></thead><tbody>\n";
  for (const std::vector<TableCell>& row : table.rows) {
    out += "<tr>";
    for (const TableCell& cell : row)
      out += cell.number
                 ? fmt::format("<td class=\"n\" data-v=\"{:.9g}\">{}</td>", *cell.number, escaped(cell.text))
                 : fmt::format("<td>{}</td>", escaped(cell.text));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

template <class Plot>
std::string of(const Plot& plot) {
  return fmt::format("<figure><figcaption>{}</figcaption>\n{}</figure>\n", escaped(plot.title), svg(plot));
}

}  // namespace

std::string html(const Document& document) {
  std::string out = kHead;
  out += fmt::format("<title>{}</title>\n</head>\n<body>\n<h1>{}</h1>\n", escaped(document.title),
                     escaped(document.title));
  for (const Block& block : document.blocks)
    out += std::visit([](const auto& part) { return of(part); }, block);
  return out + kScript + "</body>\n</html>\n";
}

}  // namespace ft::eval
