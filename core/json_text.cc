#include "core/json_text.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

namespace ft {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;       // our files have 3 levels
constexpr size_t kMaxShownBytes = 80;  // of a value in a message

// The DOM parser keeps the last of two equal keys and tells no position, so this pass comes before it.
class StructureCheck final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    problem_ = fmt::format("the key {} appears twice in one object", shown(name));
    return false;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem_ = fmt::format("not valid JSON (at byte {})", position);
    return false;
  }

  const std::string& problem() const { return problem_; }

 private:
  bool open() {
    keys_.emplace_back();
    if (keys_.size() <= kMaxDepth) return true;
    problem_ = fmt::format("JSON nested deeper than {} levels", kMaxDepth);
    return false;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::unordered_set<std::string>> keys_;
  std::string problem_;
};

}  // namespace

Result<json> parse_json_object(std::string_view text, const std::string& path) {
  StructureCheck check;
  if (!json::sax_parse(text, &check)) return fail(ErrorCode::kInvalidFile, "{}: {}", path, check.problem());
  json value = json::parse(text, nullptr, false);
  if (!value.is_object()) {
    return fail(ErrorCode::kInvalidFile, "{}: holds {}, expected a JSON object", path, shown(value));
  }
  return value;
}

std::string shown(const json& value) {
  std::string text =
      value.dump(-1, ' ', true, json::error_handler_t::replace);  // ASCII, so it can be cut anywhere
  if (text.size() > kMaxShownBytes) text = text.substr(0, kMaxShownBytes) + "...";
  return text;
}

}  // namespace ft
