// JSON values that keep the order of keys and the exact integers of their source, printed as Python prints
// them.
//
// Source: encoding.md section 8. The chat format prints schemas and arguments into the prompt, so
// the bytes matter: `{"a": 1.0, "b": [1, 2]}` with ", " and ": ", key order as received, integers of any
// length, doubles in Python's repr layout, non-ASCII text unescaped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "encoding/error.h"

namespace ft::encoding {

// Nesting deeper than this is refused by the reader.
inline constexpr int kMaxJsonDepth = 512;
// Integers with more digits than this are refused by the reader (Python's own limit).
inline constexpr size_t kMaxIntegerDigits = 4300;

class Json {
 public:
  // kInteger: number text without '.', 'e', 'E', kept as canonical decimal text; kDouble: every other number,
  // and the words NaN, Infinity, -Infinity.
  enum class Type { kNull, kBool, kInteger, kDouble, kString, kArray, kObject };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in order of first appearance, keys unique

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : Json(static_cast<int64_t>(value)) {}
  Json(int64_t value);
  Json(uint64_t value);
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}
  static Json array() { return Json(Array{}); }
  static Json object() { return Json(Object{}); }

  // Reads one JSON text (RFC 8259 plus NaN, Infinity, -Infinity), surrounded by optional whitespace. A
  // duplicate key keeps its first position and takes the last value. Errors name the byte offset:
  // kInvalidJson (syntax, invalid UTF-8, a leading BOM, the limits above), kUnpairedSurrogate.
  static EncodingResult<Json> parse(std::string_view text);

  // Python's json.dumps(value, ensure_ascii=False).
  std::string dump() const;
  void dump_to(std::string& out) const;

  Type type() const { return static_cast<Type>(value_.index()); }
  bool is_null() const { return type() == Type::kNull; }
  bool is_bool() const { return type() == Type::kBool; }
  bool is_integer() const { return type() == Type::kInteger; }
  bool is_double() const { return type() == Type::kDouble; }
  bool is_number() const { return is_integer() || is_double(); }
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }
  // Name of the type for messages: "null", "boolean", "integer", "number", "string", "array", "object".
  std::string_view type_name() const;

  // False for null, false, 0, 0.0, "", [] and {} ("falsy" in encoding.md section 1).
  bool truthy() const;

  // Unchecked access: the caller has tested the type; any other type is a programmer error (throws
  // std::bad_variant_access, which nothing catches).
  bool as_bool() const { return std::get<bool>(value_); }
  const std::string& as_string() const { return std::get<std::string>(value_); }
  const Array& as_array() const { return std::get<Array>(value_); }
  Array& as_array() { return std::get<Array>(value_); }
  const Object& as_object() const { return std::get<Object>(value_); }
  Object& as_object() { return std::get<Object>(value_); }
  // Canonical decimal text of an integer ("-12").
  const std::string& integer_text() const { return std::get<Integer>(value_).text; }

  // Checked conversions: empty when the type does not fit or the value is out of range.
  std::optional<int64_t> to_int64() const;  // integers only, within int64
  std::optional<double> to_double()
      const;  // any number; long integers are rounded, too large ones give infinity

  // Member of an object; null pointer when absent or when this is not an object.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  // Member of an object, or a null value when absent (Python's dict.get). Null also when this is not an
  // object.
  const Json& get(std::string_view key) const;
  // Adds or replaces a member; this must be an object. A replaced member keeps its position.
  void set(std::string_view key, Json value);
  // Appends to an array; this must be an array.
  void push_back(Json value) { as_array().push_back(std::move(value)); }
  // Number of elements or members; 0 for other types.
  size_t size() const;

  friend bool operator==(const Json& a, const Json& b);

 private:
  friend class JsonReader;
  struct Integer {
    std::string text;
    bool operator==(const Integer&) const = default;
  };
  std::variant<std::monostate, bool, Integer, double, std::string, Array, Object> value_;
};

// Appends `text` as a JSON string with quotes: escapes '"', '\\', and U+0000-U+001F (short forms where they
// exist).
void append_json_string(std::string& out, std::string_view text);
// The same escapes without the quotes; escaping a text in pieces gives the same bytes as escaping it whole.
void append_json_escaped(std::string& out, std::string_view text);
// Shortest digits that read back as the same double, in Python's layout: fixed for decimal exponents in [-4,
// 16) with
// ".0" if integral, else d.ddde±XX; NaN, Infinity and -Infinity as these words.
std::string format_double(double value);

}  // namespace ft::encoding
