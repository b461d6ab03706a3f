// JSON values that keep the order of members and the text of numbers, within stated bounds.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace ft::grammar {

inline constexpr size_t kMaxJsonBytes = size_t{1} << 20;
inline constexpr size_t kMaxJsonDepth = 100;
inline constexpr size_t kMaxJsonValues = 100'000;

struct JsonValue {
  enum class Kind { kNull, kBoolean, kNumber, kString, kArray, kObject };
  using Member = std::pair<std::string, JsonValue>;

  Kind kind = Kind::kNull;
  bool boolean = false;
  std::string text;  // a string's content, or a number as it was written
  std::vector<JsonValue> items;
  std::vector<Member> members;

  // Defined where Member is complete: clang refuses members that a compiler makes here, inside the class.
  JsonValue();
  JsonValue(Kind kind_, bool boolean_, std::string text_);
  ~JsonValue();
  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(const JsonValue& other);
  JsonValue& operator=(JsonValue&& other) noexcept;

  bool is(Kind wanted) const { return kind == wanted; }
  const JsonValue* find(std::string_view name) const;  // null where there is none
};

// Parses one JSON text. kInvalidArgument with the place: not JSON, a key twice in one object, ill-formed
// UTF-8; kTooLarge: over the bounds above.
Result<JsonValue> parse_json(std::string_view text);

}  // namespace ft::grammar
