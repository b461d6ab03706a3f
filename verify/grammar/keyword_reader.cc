#include "verify/grammar/keyword_reader.h"

#include <charconv>

#include "verify/grammar/shapes.h"

namespace ft::grammar {

using Kind = JsonValue::Kind;

const JsonValue* KeywordReader::of_kind(std::string_view keyword, Kind kind, std::string_view expected) {
  const JsonValue* value = get(keyword);
  if (value == nullptr || value->is(kind)) return value;
  refuse(keyword, fmt::format("expected {}", expected));
  return nullptr;
}

std::vector<std::string> KeywordReader::names(std::string_view keyword) {
  std::vector<std::string> names;
  if (const JsonValue* list = array(keyword))
    for (const JsonValue& item : list->items) {
      if (!item.is(Kind::kString)) {
        refuse(keyword, "expected an array of strings");
        return {};
      }
      names.push_back(item.text);
    }
  return names;
}

std::optional<Decimal> KeywordReader::decimal(std::string_view keyword) {
  const JsonValue* value = of_kind(keyword, Kind::kNumber, "a number");
  if (value == nullptr) return std::nullopt;
  Result<Decimal> decimal = parse_decimal(value->text);
  if (decimal) return *decimal;
  refuse(keyword, decimal.error().message);
  return std::nullopt;
}

std::optional<int64_t> KeywordReader::count(std::string_view keyword) {
  const std::optional<Decimal> value = decimal(keyword);
  if (!value) return std::nullopt;
  if (value->negative || !value->is_integer()) {
    refuse(keyword, "expected a whole number from 0 on");
    return std::nullopt;
  }
  int64_t count = 0;
  const std::string& digits = value->whole;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  return read.ec == std::errc() && count < kMaxCount ? count : kNoLimit;
}

bool KeywordReader::flag(std::string_view keyword) {
  const JsonValue* value = of_kind(keyword, Kind::kBoolean, "true or false");
  return value != nullptr && value->boolean;
}

}  // namespace ft::grammar
