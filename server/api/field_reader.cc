#include "server/api/field_reader.h"

#include <cmath>
#include <utility>

namespace ft::server {

using encoding::Json;

namespace {

// Doubles hold every integer up to here.
constexpr double kExactMax = 9007199254740992.0;

// An integer, also one that is written as 100.0 or 1e2.
std::optional<int64_t> whole_number(const Json& value) {
  if (value.is_integer()) return value.to_int64();
  if (!value.is_double()) return std::nullopt;
  const double number = value.to_double().value_or(std::nan(""));
  if (!(std::abs(number) <= kExactMax) || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

}  // namespace

std::string type_message(std::string_view path, std::string_view expected, const Json& got) {
  return fmt::format("'{}' must be {}, not {}", path, expected, got.type_name());
}

std::string FieldReader::path(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
}

void FieldReader::refuse(std::string_view name, std::string message) {
  refuse(bad_field(path(name), std::move(message)));
}

void FieldReader::refuse(ApiError error) {
  if (!error_) error_ = std::move(error);
}

const Json* FieldReader::any(std::string_view name) const {
  const Json* value = object_->find(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const Json* FieldReader::typed(std::string_view name, Json::Type type, std::string_view expected) {
  const Json* value = any(name);
  if (value == nullptr || value->type() == type) return value;
  refuse(name, type_message(path(name), expected, *value));
  return nullptr;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const Json* value = typed(name, Json::Type::kBool, "a boolean");
  if (value == nullptr) return std::nullopt;
  return value->as_bool();
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t min, int64_t max) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = whole_number(*value);
  if (!number && !value->is_integer()) {
    refuse(name, type_message(path(name), "an integer", *value));
    return std::nullopt;
  }
  if (!number || *number < min || *number > max) {
    refuse(name, fmt::format("'{}' must be between {} and {}, not {}", path(name), min, max,
                             number ? std::to_string(*number) : value->integer_text().substr(0, 40)));
    return std::nullopt;
  }
  return number;
}

std::optional<double> FieldReader::number(std::string_view name, double min, double max) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    refuse(name, type_message(path(name), "a number", *value));
    return std::nullopt;
  }
  const double number = value->to_double().value_or(std::nan(""));
  if (!(number >= min && number <= max)) {  // refuses NaN too
    refuse(name, fmt::format("'{}' must be between {} and {}, not {}", path(name), min, max, number));
    return std::nullopt;
  }
  return number;
}

std::optional<std::string> FieldReader::text(std::string_view name) {
  const Json* value = typed(name, Json::Type::kString, "a string");
  if (value == nullptr) return std::nullopt;
  return value->as_string();
}

const Json* FieldReader::array(std::string_view name) {
  return typed(name, Json::Type::kArray, "an array");
}

const Json* FieldReader::object(std::string_view name) {
  return typed(name, Json::Type::kObject, "an object");
}

}  // namespace ft::server
