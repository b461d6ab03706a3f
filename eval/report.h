// What a command found, in two forms at once: text for people and JSON for programs. Every command that measures
// writes through it, so that no figure is in one form only.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "eval/statistics.h"

namespace ft::eval {

class Report {
 public:
  using Json = nlohmann::ordered_json;

  // What people see of a row's facts, which are named by JSON pointers ("/with/rows_per_step").
  using Cell = std::function<std::string(const Json& row)>;
  static Cell words(std::string pointer);
  // The numbers there, times `scale`, in a format for as many: "{:.3f}-{:.3f}".
  static Cell numbers(std::string format, std::vector<std::string> pointers, double scale = 1.0);
  // The median of the list of numbers there.
  static Cell median_of(std::string format, std::string pointer);
  struct Column {
    std::string title;
    Cell cell;
    bool left = false;  // aligned to the left; numbers are aligned to the right
  };

  Report();
  ~Report();
  Report(Report&&) noexcept;
  Report& operator=(Report&&) noexcept;

  // A fact under its name. In JSON only.
  void fact(const std::string& name, Json value);
  // A line of text. In text only.
  void say(std::string_view line);
  // One row of facts per entry: an array under `name` in JSON, aligned columns in text.
  void table(const std::string& name, const std::vector<Column>& columns, std::vector<Json> rows);

  const std::string& text() const { return text_; }
  std::string json() const;
  const Json& facts() const { return *facts_; }

  // The text on `out`, and the JSON in a file where `json_path` is not "". kNotFound, naming the file, if that fails.
  Result<void> write(std::FILE* out, const std::string& json_path) const;

 private:
  std::string text_;
  std::unique_ptr<Json> facts_;
};

// An interval in both forms: "1.234 (1.200 to 1.300)", and {"value", "low", "high"}.
std::string interval_text(const Interval& interval);
Report::Json interval_json(const Interval& interval);

}  // namespace ft::eval
