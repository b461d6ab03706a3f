// Reading of a checkpoint's config.json: keys with their types and ranges, and what is left of the file that
// nobody has asked for. Part of model_config.cc.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace ft {

// What the readers of one file have found. After the first error everything yields zeros.
struct ConfigProblems {
  std::optional<Error> error;
  std::vector<std::string> warnings;
};

// The keys of one JSON object.
class ConfigKeys {
 public:
  // `prefix` names the object in messages: "" or "rope_scaling.". `object` and `problems` outlive this.
  ConfigKeys(const nlohmann::json& object, std::string path, std::string prefix, ConfigProblems& problems)
      : object_(object), path_(std::move(path)), prefix_(std::move(prefix)), problems_(problems) {}

  bool ok() const { return !problems_.error.has_value(); }
  // Whether the key is there and not null.
  bool has(std::string_view key) const;
  // Every function that is given a key counts it as known; unknown() lists the others.
  void ignore(std::string_view key) const { known_.insert(std::string(key)); }
  std::vector<std::string> unknown() const;

  // Keeps the error `<path>: <key> is <value seen>, expected <expected>`.
  void reject(std::string_view key, const std::string& expected) const;
  // Keeps the error `<path>: <problem>`.
  void refuse(const std::string& problem) const;
  // Keeps the warning `<path>: <problem>`.
  void warn(const std::string& problem) const;

  int64_t integer(std::string_view key, int64_t low, int64_t high) const;
  int small(std::string_view key, int64_t low, int64_t high) const {
    return static_cast<int>(integer(key, low, high));
  }
  // A number in (low, high].
  double number(std::string_view key, double low, double high) const;
  // The same, or `assumed` and a warning that says so where the key is absent.
  double number_or_assumed(std::string_view key, double low, double high, double assumed) const;
  std::vector<int> integers(std::string_view key, int64_t low, int64_t high) const;
  // A list of strings.
  std::vector<std::string> names(std::string_view key) const;

  bool is(std::string_view key, const nlohmann::json& value) const;
  // The key must be there and hold exactly `value`: we know no other meaning.
  void exactly(std::string_view key, const nlohmann::json& value) const;
  void exactly_or_absent(std::string_view key, const nlohmann::json& value) const {
    if (has(key)) exactly(key, value);
  }
  // The value as it is, null where there is none.
  const nlohmann::json& value(std::string_view key) const;
  // The object under `key`, or an empty one and an error.
  const nlohmann::json& object(std::string_view key) const;
  // The reader of the object under `key`.
  ConfigKeys inside(std::string_view key) const;

 private:
  const nlohmann::json& object_;
  std::string path_;
  std::string prefix_;
  ConfigProblems& problems_;
  mutable std::set<std::string, std::less<>> known_;
};

}  // namespace ft
