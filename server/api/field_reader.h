// Reads the members of a JSON object with exact types, and names the field in every refusal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/http/api_error.h"

namespace ft::server {

// Absent and null members are the same: empty. The first violation sticks: later reads still work, and
// error() holds it. Nothing is converted but a number without a fraction, which is an integer however it is
// written (100.0, 1e2), since some languages write no other: "1" and true are neither, 1 is a number.
class FieldReader {
 public:
  // `prefix` names the object in messages: "" for the body, else "stream_options". `object` must be an object
  // and outlive the reader.
  explicit FieldReader(const encoding::Json& object, std::string prefix = "")
      : object_(&object), prefix_(std::move(prefix)) {}

  std::optional<bool> boolean(std::string_view name);
  // Within [min, max].
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  // Finite and within [min, max].
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::string> text(std::string_view name);
  const encoding::Json* array(std::string_view name);
  const encoding::Json* object(std::string_view name);
  // Any type; null pointer when absent or null.
  const encoding::Json* any(std::string_view name) const;

  // "prefix.name"
  std::string path(std::string_view name) const;
  void refuse(std::string_view name, std::string message);
  void refuse(ApiError error);
  bool ok() const { return !error_.has_value(); }
  const std::optional<ApiError>& error() const { return error_; }

 private:
  const encoding::Json* typed(std::string_view name, encoding::Json::Type type, std::string_view expected);

  const encoding::Json* object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

// "'temperature' must be a number, not string"
std::string type_message(std::string_view path, std::string_view expected, const encoding::Json& got);

}  // namespace ft::server
