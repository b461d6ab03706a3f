#include "encoding/ordered_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "encoding/utf8.h"

namespace ft::encoding {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// `number` is syntactically a JSON number. std::from_chars leaves the value open when it is out of range, so
// which end it left at is decided from the decimal exponent of the first non-zero digit.
double parse_double(std::string_view number) {
  double value = 0;
  const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (status == std::errc()) return value;
  const bool negative = number.front() == '-';
  const size_t exponent_at = std::min(number.find_first_of("eE"), number.size());
  const std::string_view mantissa = number.substr(negative, exponent_at - negative);
  const size_t first = mantissa.find_first_of("123456789");
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  bool huge = first != std::string_view::npos &&
              first < point;  // the sign of the exponent decides unless it is absent
  if (exponent_at < number.size()) {
    std::string_view digits = number.substr(exponent_at + 1);
    if (digits.front() == '+') digits.remove_prefix(1);
    int64_t exponent = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (read.ec != std::errc()) {
      exponent =
          digits.front() == '-' ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max();
    }
    huge = static_cast<double>(exponent) + static_cast<double>(point) - static_cast<double>(first) > 0;
  }
  const double limit = huge ? std::numeric_limits<double>::infinity() : 0.0;
  return negative ? -limit : limit;
}

}  // namespace

// Recursive descent over one text. The first error sticks.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  EncodingResult<Json> read() {
    Json value;
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") {
      refuse("a byte order mark");
    } else {
      skip_space();
      if (read_value(value, 1)) {
        skip_space();
        if (at_ < text_.size()) refuse("text after the value");
      }
    }
    if (error_) return tl::unexpected<EncodingError>(std::move(*error_));
    return value;
  }

 private:
  bool refuse(std::string_view what, ErrorKind kind = ErrorKind::kInvalidJson) {
    if (!error_) error_ = EncodingError{kind, fmt::format("JSON: {} at byte {}", what, at_)};
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && std::strchr(" \t\n\r", text_[at_]) != nullptr && text_[at_] != '\0') ++at_;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool read_value(Json& out, int depth) {
    switch (peek()) {
      case '{':
        return read_object(out, depth);
      case '[':
        return read_array(out, depth);
      case '"': {
        std::string text;
        if (!read_string(text)) return false;
        out = Json(std::move(text));
        return true;
      }
      default:
        return read_word(out) || read_number(out);
    }
  }

  bool read_word(Json& out) {
    if (take("null")) {
      out = Json();
    } else if (take("true")) {
      out = Json(true);
    } else if (take("false")) {
      out = Json(false);
    } else if (take("NaN")) {
      out = Json(std::numeric_limits<double>::quiet_NaN());
    } else if (take("Infinity")) {
      out = Json(std::numeric_limits<double>::infinity());
    } else if (take("-Infinity")) {
      out = Json(-std::numeric_limits<double>::infinity());
    } else {
      return false;
    }
    return true;
  }

  size_t skip_digits() {
    const size_t begin = at_;
    while (is_digit(peek())) ++at_;
    return at_ - begin;
  }

  bool read_number(Json& out) {
    const size_t begin = at_;
    if (peek() == '-') ++at_;
    const size_t digits_at = at_;
    if (!is_digit(peek())) return refuse("not a JSON value");
    const size_t digits = peek() == '0' ? (++at_, 1) : skip_digits();
    if (is_digit(peek())) return refuse("a number with a leading zero");
    bool integer = true;
    if (peek() == '.') {
      ++at_;
      integer = false;
      if (skip_digits() == 0) return refuse("a number without digits after the point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      integer = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (skip_digits() == 0) return refuse("a number without digits in the exponent");
    }
    const std::string_view number = text_.substr(begin, at_ - begin);
    if (!integer) {
      out = Json(parse_double(number));
      return true;
    }
    if (digits > kMaxIntegerDigits) return refuse("an integer with too many digits");
    out.value_ = Json::Integer{std::string(number == "-0" ? text_.substr(digits_at, 1) : number)};
    return true;
  }

  bool read_hex4(uint32_t& out) {
    if (at_ + 4 > text_.size()) return refuse("a torn \\u escape");
    const char* begin = text_.data() + at_;
    const auto [end, status] = std::from_chars(begin, begin + 4, out, 16);
    if (status != std::errc() || end != begin + 4) return refuse("a malformed \\u escape");
    at_ += 4;
    return true;
  }

  bool read_unicode_escape(std::string& out) {
    uint32_t unit = 0;
    if (!read_hex4(unit)) return false;
    if (unit >= 0xDC00 && unit < 0xE000)
      return refuse("an unpaired surrogate", ErrorKind::kUnpairedSurrogate);
    if (unit >= 0xD800 && unit < 0xDC00) {
      uint32_t low = 0;
      if (!take("\\u")) return refuse("an unpaired surrogate", ErrorKind::kUnpairedSurrogate);
      if (!read_hex4(low)) return false;
      if (low < 0xDC00 || low >= 0xE000)
        return refuse("an unpaired surrogate", ErrorKind::kUnpairedSurrogate);
      unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, unit);
    return true;
  }

  bool read_escape(std::string& out) {
    const char escape = peek();
    ++at_;
    switch (escape) {
      case '"':
      case '\\':
      case '/':
        out.push_back(escape);
        return true;
      case 'b':
        out.push_back('\b');
        return true;
      case 'f':
        out.push_back('\f');
        return true;
      case 'n':
        out.push_back('\n');
        return true;
      case 'r':
        out.push_back('\r');
        return true;
      case 't':
        out.push_back('\t');
        return true;
      case 'u':
        return read_unicode_escape(out);
      default:
        return refuse("an unknown escape");
    }
  }

  bool read_string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        ++at_;
        if (!read_escape(out)) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return refuse("a raw control character in a string");
      const Utf8Step step = read_utf8(text_, at_);
      if (step.kind != Utf8Step::Kind::kCharacter) return refuse("invalid UTF-8");
      out.append(text_, at_, step.length);
      at_ += step.length;
    }
    return refuse("an unterminated string");
  }

  bool read_array(Json& out, int depth) {
    if (depth > kMaxJsonDepth) return refuse(fmt::format("nesting deeper than {}", kMaxJsonDepth));
    Json::Array elements;
    ++at_;
    skip_space();
    if (!take("]")) {
      while (true) {
        if (!read_value(elements.emplace_back(), depth + 1)) return false;
        skip_space();
        if (take("]")) break;
        if (!take(",")) return refuse("expected ',' or ']'");
        skip_space();
      }
    }
    out = Json(std::move(elements));
    return true;
  }

  bool read_object(Json& out, int depth) {
    if (depth > kMaxJsonDepth) return refuse(fmt::format("nesting deeper than {}", kMaxJsonDepth));
    Json::Object members;
    ++at_;
    skip_space();
    if (!take("}")) {
      while (true) {
        if (peek() != '"') return refuse("expected a key");
        Json::Member& member = members.emplace_back();
        if (!read_string(member.first)) return false;
        skip_space();
        if (!take(":")) return refuse("expected ':'");
        skip_space();
        if (!read_value(member.second, depth + 1)) return false;
        skip_space();
        if (take("}")) break;
        if (!take(",")) return refuse("expected ',' or '}'");
        skip_space();
      }
    }
    join_repeated_keys(members);
    out = Json(std::move(members));
    return true;
  }

  // The first member of each key stays, with the value of the last. By sorting: no choice of keys makes that
  // slow, as it can with a hash, and it takes little memory.
  static void join_repeated_keys(Json::Object& members) {
    if (members.size() < 2) return;
    std::vector<uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int compared = members[a].first.compare(members[b].first);
      return compared != 0 ? compared < 0 : a < b;
    });
    std::vector<bool> repeated;
    for (size_t i = 0; i < order.size();) {
      size_t last = i;
      while (last + 1 < order.size() && members[order[last + 1]].first == members[order[i]].first) ++last;
      if (last > i) {
        members[order[i]].second = std::move(members[order[last]].second);
        repeated.resize(members.size());
        for (size_t k = i + 1; k <= last; ++k) repeated[order[k]] = true;
      }
      i = last + 1;
    }
    if (repeated.empty()) return;
    size_t kept = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      if (repeated[i]) continue;
      if (kept != i) members[kept] = std::move(members[i]);
      ++kept;
    }
    members.resize(kept);
  }

  std::string_view text_;
  size_t at_ = 0;
  std::optional<EncodingError> error_;
};

Json::Json(int64_t value) : value_(Integer{fmt::format_int(value).str()}) {}
Json::Json(uint64_t value) : value_(Integer{fmt::format_int(value).str()}) {}

EncodingResult<Json> Json::parse(std::string_view text) {
  return JsonReader(text).read();
}

std::string_view Json::type_name() const {
  switch (type()) {
    case Type::kNull:
      return "null";
    case Type::kBool:
      return "boolean";
    case Type::kInteger:
      return "integer";
    case Type::kDouble:
      return "number";
    case Type::kString:
      return "string";
    case Type::kArray:
      return "array";
    case Type::kObject:
      return "object";
  }
  return "unknown";
}

bool Json::truthy() const {
  switch (type()) {
    case Type::kNull:
      return false;
    case Type::kBool:
      return as_bool();
    case Type::kInteger:
      return integer_text() != "0";
    case Type::kDouble:
      return std::get<double>(value_) != 0;
    case Type::kString:
      return !as_string().empty();
    case Type::kArray:
    case Type::kObject:
      return size() > 0;
  }
  return false;
}

std::optional<int64_t> Json::to_int64() const {
  if (!is_integer()) return std::nullopt;
  const std::string& text = integer_text();
  int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> Json::to_double() const {
  if (is_double()) return std::get<double>(value_);
  if (is_integer()) return parse_double(integer_text());
  return std::nullopt;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : as_object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Json* Json::find(std::string_view key) {
  return const_cast<Json*>(std::as_const(*this).find(key));
}

const Json& Json::get(std::string_view key) const {
  static const Json kNull;
  const Json* found = find(key);
  return found != nullptr ? *found : kNull;
}

void Json::set(std::string_view key, Json value) {
  if (Json* found = find(key)) {
    *found = std::move(value);
  } else {
    as_object().emplace_back(std::string(key), std::move(value));
  }
}

size_t Json::size() const {
  if (is_array()) return as_array().size();
  if (is_object()) return as_object().size();
  return 0;
}

bool operator==(const Json& a, const Json& b) {
  return a.value_ == b.value_;
}

std::string Json::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

void Json::dump_to(std::string& out) const {
  switch (type()) {
    case Type::kNull:
      out += "null";
      break;
    case Type::kBool:
      out += as_bool() ? "true" : "false";
      break;
    case Type::kInteger:
      out += integer_text();
      break;
    case Type::kDouble:
      out += format_double(std::get<double>(value_));
      break;
    case Type::kString:
      append_json_string(out, as_string());
      break;
    case Type::kArray: {
      out += '[';
      std::string_view separator;
      for (const Json& element : as_array()) {
        out += separator;
        element.dump_to(out);
        separator = ", ";
      }
      out += ']';
      break;
    }
    case Type::kObject: {
      out += '{';
      std::string_view separator;
      for (const auto& [key, value] : as_object()) {
        out += separator;
        append_json_string(out, key);
        out += ": ";
        value.dump_to(out);
        separator = ", ";
      }
      out += '}';
      break;
    }
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

void append_json_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
}

std::string format_double(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[32];  // -d.dddddddddddddddde-XXX is 24 characters at most
  const auto written = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(written.ptr - buffer));
  std::string out;
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  const char* exponent_begin = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_begin, text.data() + text.size(), exponent);
  std::string digits(1, text.front());
  if (e > 2) digits += text.substr(2, e - 2);

  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out.append(".").append(digits, 1);
    fmt::format_to(std::back_inserter(out), "e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    out.append("0.").append(static_cast<size_t>(-exponent - 1), '0').append(digits);
  } else {
    const size_t integral = static_cast<size_t>(exponent) + 1;
    if (digits.size() < integral) digits.append(integral - digits.size(), '0');
    out.append(digits, 0, integral)
        .append(".")
        .append(digits.size() > integral ? digits.substr(integral) : "0");
  }
  return out;
}

}  // namespace ft::encoding
