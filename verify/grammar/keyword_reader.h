// Reads the keywords of one schema, and keeps the first thing that is wrong with them.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verify/grammar/number_language.h"
#include "verify/grammar/schema_document.h"

namespace ft::grammar {

class KeywordReader {
 public:
  explicit KeywordReader(const SchemaPlace& place) : place_(place) {}

  const JsonValue& schema() const { return *place_.schema; }
  // Null where the keyword is absent. A value of another kind is refused.
  const JsonValue* get(std::string_view keyword) const { return place_.schema->find(keyword); }
  const JsonValue* object(std::string_view keyword) {
    return of_kind(keyword, JsonValue::Kind::kObject, "an object");
  }
  const JsonValue* array(std::string_view keyword) {
    return of_kind(keyword, JsonValue::Kind::kArray, "an array");
  }
  const JsonValue* string(std::string_view keyword) {
    return of_kind(keyword, JsonValue::Kind::kString, "a string");
  }
  // An array of strings; empty where absent.
  std::vector<std::string> names(std::string_view keyword);
  // A count from 0 on; kNoLimit for what is larger than any text.
  std::optional<int64_t> count(std::string_view keyword);
  std::optional<Decimal> decimal(std::string_view keyword);
  bool flag(std::string_view keyword);

  void refuse(std::string_view keyword, std::string message) {
    if (!error_) error_ = SchemaError{std::string(keyword), place_.path, std::move(message)};
  }
  void refuse(const SchemaError& error) {
    if (!error_) error_ = error;
  }
  // The keyword to name where parts of this schema are right by themselves and fail together.
  std::string_view combining() const { return combining_keyword(*place_.schema); }
  const std::optional<SchemaError>& error() const { return error_; }

  // A schema below this one: of a keyword, or of a member or an element of the keyword's value.
  SchemaPlace below(std::string_view keyword, const JsonValue& schema) const {
    return {&schema, fmt::format("{}/{}", place_.path, keyword)};
  }
  SchemaPlace below(std::string_view keyword, std::string_view name, const JsonValue& schema) const {
    return {&schema, fmt::format("{}/{}/{}", place_.path, keyword, name)};
  }
  SchemaPlace below(std::string_view keyword, size_t index, const JsonValue& schema) const {
    return {&schema, fmt::format("{}/{}/{}", place_.path, keyword, index)};
  }

 private:
  const JsonValue* of_kind(std::string_view keyword, JsonValue::Kind kind, std::string_view expected);

  const SchemaPlace& place_;
  std::optional<SchemaError> error_;
};

}  // namespace ft::grammar
