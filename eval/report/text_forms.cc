#include "eval/report/text_forms.h"

#include <fmt/format.h>

namespace ft::eval {

namespace {

// A cell of a Markdown table must not hold a bar of its own.
std::string table_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_of(const Heading& heading) {
  return fmt::format("\n## {}\n", heading.text);
}

std::string markdown_of(const Paragraph& paragraph) {
  return fmt::format("\n{}\n", paragraph.text);
}

std::string markdown_of(const Details& details) {
  return fmt::format("\n{}:\n\n```\n{}\n```\n", details.title, details.text);
}

std::string markdown_of(const Table& table) {
  std::string out = fmt::format("\n{}\n\n|", table.title);
  for (const std::string& column : table.columns) out += fmt::format(" {} |", table_text(column));
  out += "\n|";
  for (size_t i = 0; i < table.columns.size(); ++i) out += "---|";
  out += '\n';
  for (const std::vector<TableCell>& row : table.rows) {
    out += '|';
    for (const TableCell& cell : row) out += fmt::format(" {} |", table_text(cell.text));
    out += '\n';
  }
  return out;
}

template <class Plot>
std::string markdown_of(const Plot&) {
  return "";
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace

std::string markdown(const Document& document) {
  std::string out = fmt::format("# {}\n", document.title);
  for (const Block& block : document.blocks)
    out += std::visit([](const auto& part) { return markdown_of(part); }, block);
  return out;
}

std::string csv(const Document& document) {
  std::string out = "table,row,column,value\n";
  for (const Block& block : document.blocks) {
    const Table* table = std::get_if<Table>(&block);
    if (table == nullptr) continue;
    for (const std::vector<TableCell>& row : table->rows) {
      std::string name;
      for (const TableCell& cell : row)
        if (!cell.number) name += (name.empty() ? "" : ", ") + cell.text;
      for (size_t i = 0; i < row.size(); ++i)
        if (row[i].number)
          out += fmt::format("{},{},{},{:.9g}\n", quoted(table->title), quoted(name),
                             quoted(table->columns[i]), *row[i].number);
    }
  }
  return out;
}

}  // namespace ft::eval
