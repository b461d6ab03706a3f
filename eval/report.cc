#include "eval/report.h"

#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "eval/report_file.h"

namespace ft::eval {

Report::Report() : facts_(std::make_unique<Json>(Json::object())) {}
Report::~Report() = default;
Report::Report(Report&&) noexcept = default;
Report& Report::operator=(Report&&) noexcept = default;

Report::Cell Report::words(std::string pointer) {
  return [at = Json::json_pointer(pointer)](const Json& row) { return row.at(at).get<std::string>(); };
}

Report::Cell Report::numbers(std::string format, std::vector<std::string> pointers, double scale) {
  return [format = std::move(format), pointers = std::move(pointers), scale](const Json& row) {
    fmt::dynamic_format_arg_store<fmt::format_context> numbers;
    for (const std::string& pointer : pointers)
      numbers.push_back(scale * row.at(Json::json_pointer(pointer)).get<double>());
    return fmt::vformat(format, numbers);
  };
}

Report::Cell Report::median_of(std::string format, std::string pointer) {
  return [format = std::move(format), at = Json::json_pointer(pointer)](const Json& row) {
    return fmt::format(fmt::runtime(format), median(row.at(at).get<std::vector<double>>()));
  };
}

void Report::fact(const std::string& name, Json value) {
  (*facts_)[name] = std::move(value);
}

void Report::say(std::string_view line) {
  text_ += line;
  text_ += '\n';
}

void Report::table(const std::string& name, const std::vector<Column>& columns, std::vector<Json> rows) {
  // Column by column: every cell as wide as the widest.
  std::vector<std::string> lines(rows.size() + 1);
  for (size_t c = 0; c < columns.size(); ++c) {
    std::vector<std::string> cells = {columns[c].title};
    for (const Json& row : rows) cells.push_back(columns[c].cell(row));
    const size_t width = std::ranges::max(cells, {}, &std::string::size).size();
    for (size_t i = 0; i < cells.size(); ++i) {
      if (c > 0) lines[i] += "  ";
      lines[i] +=
          columns[c].left ? fmt::format("{:<{}}", cells[i], width) : fmt::format("{:>{}}", cells[i], width);
    }
  }
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    say(line);
  }
  Json list = Json::array();
  for (Json& row : rows) list.push_back(std::move(row));
  fact(name, std::move(list));
}

std::string Report::json() const {
  return facts_->dump(2) + "\n";
}

Result<void> Report::write(std::FILE* out, const std::string& json_path) const {
  fmt::print(out, "{}", text_);
  return write_report(json_path, json());
}

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.3f} ({:.3f} to {:.3f})", interval.value, interval.low, interval.high);
}

Report::Json interval_json(const Interval& interval) {
  return {{"value", interval.value}, {"low", interval.low}, {"high", interval.high}};
}

}  // namespace ft::eval
