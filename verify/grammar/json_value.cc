#include "verify/grammar/json_value.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

namespace ft::grammar {
namespace {

using nlohmann::json;
using Kind = JsonValue::Kind;

class Reader final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return put({}) != nullptr; }
  bool boolean(bool value) override { return put({Kind::kBoolean, value, {}}) != nullptr; }
  bool number_integer(number_integer_t value) override { return number(fmt::format("{}", value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return number(text); }
  bool string(string_t& text) override { return put({Kind::kString, false, std::move(text)}) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Kind::kObject); }
  bool start_array(std::size_t) override { return open(Kind::kArray); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      error_ = {ErrorCode::kInvalidArgument, fmt::format("the key \"{}\" is twice in one object", name)};
      return false;
    }
    open_.back()->members.emplace_back(std::move(name), JsonValue{});
    return true;
  }

  bool parse_error(std::size_t place, const std::string&, const nlohmann::detail::exception&) override {
    error_ = {ErrorCode::kInvalidArgument, fmt::format("not JSON (at byte {})", place)};
    return false;
  }

  JsonValue root;
  const Error& error() const { return error_; }

 private:
  bool too_large(std::string_view what, size_t limit) {
    error_ = {ErrorCode::kTooLarge, fmt::format("{} over {}", what, limit)};
    return false;
  }

  bool number(std::string text) { return put({Kind::kNumber, false, std::move(text)}) != nullptr; }

  // The place of the value within what is open; null over the bound.
  JsonValue* put(JsonValue value) {
    if (++values_ > kMaxJsonValues) {
      too_large("number of JSON values", kMaxJsonValues);
      return nullptr;
    }
    JsonValue* place = &root;
    if (!open_.empty()) {
      JsonValue& parent = *open_.back();
      place = parent.is(Kind::kArray) ? &parent.items.emplace_back() : &parent.members.back().second;
    }
    *place = std::move(value);
    return place;
  }

  // Nothing is added to a value's parent while it is open, so pointers to open values stay valid.
  bool open(Kind kind) {
    if (open_.size() >= kMaxJsonDepth) return too_large("nesting of JSON values", kMaxJsonDepth);
    JsonValue* place = put({kind, false, {}});
    if (place == nullptr) return false;
    open_.push_back(place);
    keys_.emplace_back();
    return true;
  }

  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  Error error_{ErrorCode::kInvalidArgument, "not JSON"};
  std::vector<JsonValue*> open_;
  std::vector<std::unordered_set<std::string>> keys_;
  size_t values_ = 0;
};

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(Kind kind_, bool boolean_, std::string text_)
    : kind(kind_), boolean(boolean_), text(std::move(text_)) {}
JsonValue::~JsonValue() = default;
JsonValue::JsonValue(const JsonValue& other) = default;
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(const JsonValue& other) = default;
JsonValue& JsonValue::operator=(JsonValue&& other) noexcept = default;

const JsonValue* JsonValue::find(std::string_view name) const {
  for (const Member& member : members)
    if (member.first == name) return &member.second;
  return nullptr;
}

Result<JsonValue> parse_json(std::string_view text) {
  if (text.size() > kMaxJsonBytes)
    return fail(ErrorCode::kTooLarge, "{} bytes of JSON; at most {} are allowed", text.size(), kMaxJsonBytes);
  Reader reader;
  if (!json::sax_parse(text, &reader)) return tl::unexpected(reader.error());
  return std::move(reader.root);
}

}  // namespace ft::grammar
