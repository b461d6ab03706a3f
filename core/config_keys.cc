#include "core/config_keys.h"

#include <limits>

#include "core/json_text.h"

namespace ft {

using nlohmann::json;

const json& ConfigKeys::value(std::string_view key) const {
  static const json kNull;
  ignore(key);
  const auto found = object_.find(key);
  return found == object_.end() ? kNull : *found;
}

bool ConfigKeys::has(std::string_view key) const {
  return !value(key).is_null();
}

std::vector<std::string> ConfigKeys::unknown() const {
  std::vector<std::string> keys;
  for (const auto& item : object_.items())
    if (!known_.contains(item.key())) keys.push_back(prefix_ + item.key());
  return keys;
}

void ConfigKeys::refuse(const std::string& problem) const {
  if (ok()) problems_.error = Error{ErrorCode::kInvalidFile, fmt::format("{}: {}", path_, problem)};
}

void ConfigKeys::reject(std::string_view key, const std::string& expected) const {
  refuse(object_.contains(key)
             ? fmt::format("{}{} is {}, expected {}", prefix_, key, shown(value(key)), expected)
             : fmt::format("missing key {}{}, expected {}", prefix_, key, expected));
}

void ConfigKeys::warn(const std::string& problem) const {
  problems_.warnings.push_back(fmt::format("{}: {}", path_, problem));
}

int64_t ConfigKeys::integer(std::string_view key, int64_t low, int64_t high) const {
  const json& found = value(key);
  const bool fits =
      found.is_number_integer() &&
      (!found.is_number_unsigned() || found.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  if (fits) {
    const auto number = found.get<int64_t>();
    if (low <= number && number <= high) return number;
  }
  reject(key, fmt::format("an integer from {} to {}", low, high));
  return 0;
}

double ConfigKeys::number(std::string_view key, double low, double high) const {
  const json& found = value(key);
  if (found.is_number()) {
    const auto number = found.get<double>();
    if (low < number && number <= high) return number;
  }
  reject(key, fmt::format("a number over {} and at most {}", low, high));
  return 0.0;
}

double ConfigKeys::number_or_assumed(std::string_view key, double low, double high, double assumed) const {
  if (has(key)) return number(key, low, high);
  warn(fmt::format("has no {}{}; {} is assumed, as in the published models", prefix_, key, assumed));
  return assumed;
}

std::vector<int> ConfigKeys::integers(std::string_view key, int64_t low, int64_t high) const {
  std::vector<int> values;
  const json& found = value(key);
  bool fits = found.is_array();
  for (size_t i = 0; fits && i < found.size(); ++i) {
    const json& entry = found[i];
    fits = entry.is_number_integer() && entry >= low && entry <= high;
    if (fits) values.push_back(entry.get<int>());
  }
  if (!fits) reject(key, fmt::format("a list of integers from {} to {}", low, high));
  return fits ? values : std::vector<int>();
}

std::vector<std::string> ConfigKeys::names(std::string_view key) const {
  std::vector<std::string> values;
  const json& found = value(key);
  bool fits = found.is_array();
  for (size_t i = 0; fits && i < found.size(); ++i) {
    fits = found[i].is_string();
    if (fits) values.push_back(found[i].get<std::string>());
  }
  if (!fits) reject(key, "a list of names");
  return fits ? values : std::vector<std::string>();
}

bool ConfigKeys::is(std::string_view key, const json& expected) const {
  const json& found = value(key);
  // nlohmann holds 1 and 1.0 equal; a config that writes 1.0 for a count is malformed.
  return found == expected && found.is_number_float() == expected.is_number_float();
}

void ConfigKeys::exactly(std::string_view key, const json& expected) const {
  if (!is(key, expected)) reject(key, shown(expected));
}

const json& ConfigKeys::object(std::string_view key) const {
  static const json kEmpty = json::object();
  const json& found = value(key);
  if (found.is_object()) return found;
  reject(key, "an object");
  return kEmpty;
}

ConfigKeys ConfigKeys::inside(std::string_view key) const {
  return {object(key), path_, fmt::format("{}{}.", prefix_, key), problems_};
}

}  // namespace ft
