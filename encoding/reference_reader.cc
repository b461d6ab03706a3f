#include "encoding/reference_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <unordered_set>

#include "encoding/chat_profile.h"
#include "encoding/unicode_category.h"
#include "encoding/utf8.h"

namespace ft::encoding {
namespace {

constexpr std::string_view kBlockOpen = "\n\n<｜DSML｜tool_calls";
constexpr std::string_view kBlockClose = "</｜DSML｜tool_calls>";
constexpr std::string_view kInvokeOpen = "<｜DSML｜invoke";
constexpr std::string_view kInvokeClose = "</｜DSML｜invoke";
constexpr std::string_view kParamOpen = "<｜DSML｜parameter";
constexpr std::string_view kParamClose = "/｜DSML｜parameter";
constexpr std::string_view kBetweenTags = ">\n";

// Python's `\s`: White_Space and the four separators U+001C-U+001F.
bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string_view without_leading_space(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text, 0);
    if (step.kind != Utf8Step::Kind::kCharacter || !is_python_space(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  return text;
}

// The function name in an invoke head: optional space, `name="`, the name, `">`, newline and optionally one more.
std::optional<std::string_view> name_in_head(std::string_view head) {
  constexpr std::string_view kOpen = "name=\"", kClose = "\">";
  head = without_leading_space(head);
  if (!head.starts_with(kOpen)) return std::nullopt;
  head.remove_prefix(kOpen.size());
  if (!head.ends_with('\n')) return std::nullopt;
  head.remove_suffix(1);
  if (head.ends_with('\n')) head.remove_suffix(1);
  if (!head.ends_with(kClose)) return std::nullopt;
  head.remove_suffix(kClose.size());
  return head;
}

class ReferenceReader {
 public:
  explicit ReferenceReader(std::string_view text) : text_(text) {}

  EncodingResult<AssistantMessage> read(bool thinking) {
    if (read_turn(thinking)) return std::move(out_);
    return tl::unexpected<EncodingError>(std::move(error_));
  }

 private:
  bool refuse(ErrorKind kind, std::string message) {
    error_ = {kind, std::move(message)};
    return false;
  }

  // Up to the marker that begins first, which is consumed; empty if none is left. One pass over the text, whatever
  // the number of markers and how far away the absent ones are looked for.
  std::optional<std::string_view> take_until(std::initializer_list<std::string_view> markers,
                                             std::string_view& before) {
    for (size_t at = at_; at < text_.size(); ++at) {
      for (const std::string_view marker : markers) {
        if (text_[at] != marker[0] || !text_.substr(at).starts_with(marker)) continue;
        before = text_.substr(at_, at - at_);
        at_ = at + marker.size();
        return marker;
      }
    }
    before = text_.substr(at_);
    at_ = text_.size();
    return std::nullopt;
  }

  bool read_turn(bool thinking) {
    std::string_view text;
    if (thinking) {
      if (take_until({kThinkCloseToken, kBlockOpen}, text) != kThinkCloseToken) {
        return refuse(ErrorKind::kAssertionError, "missing </think>");
      }
      out_.reasoning_content = text;
    }
    const auto stop = take_until({kEosToken, kBlockOpen}, text);
    out_.content = text;
    if (!stop) return refuse(ErrorKind::kAssertionError, "missing the end-of-sentence token");
    if (*stop == kBlockOpen) {
      if (!read_block()) return false;
      take_until({kEosToken}, text);
      if (!text.empty()) return refuse(ErrorKind::kAssertionError, "unexpected text after the tool calls");
    }
    if (at_ < text_.size()) return refuse(ErrorKind::kAssertionError, "unexpected text after the end");
    return check_specials();
  }

  bool read_block() {
    std::string_view text;
    while (at_ < text_.size()) {
      const auto stop = take_until({kInvokeOpen, kBlockClose}, text);
      if (text != kBetweenTags) {
        return refuse(ErrorKind::kValueError,
                      fmt::format("expected \">\\n\" before a call but got \"{}\"", text));
      }
      if (!stop) return refuse(ErrorKind::kValueError, "the block of tool calls has no end");
      if (*stop == kBlockClose) return true;
      if (!read_call()) return false;
    }
    return true;
  }

  bool read_call() {
    std::string_view head;
    auto stop = take_until({kParamOpen, kInvokeClose}, head);
    const std::optional<std::string_view> name = name_in_head(head);
    if (!name) return refuse(ErrorKind::kValueError, fmt::format("tool name format: \"{}\"", head));
    ToolCall& call = out_.tool_calls.emplace_back();
    call.name = *name;
    std::unordered_set<std::string_view> keys;
    while (stop == kParamOpen) {
      if (!read_parameter(keys, call.arguments)) return false;
      std::string_view between;
      stop = take_until({kParamOpen, kInvokeClose}, between);
      if (between != kBetweenTags) {
        return refuse(ErrorKind::kValueError,
                      fmt::format("expected \">\\n\" after a parameter but got \"{}\"", between));
      }
    }
    call.arguments = "{" + call.arguments + "}";
    return true;
  }

  // ` name="KEY" string="true|false">VALUE<`, the key being the shortest that fits.
  bool read_parameter(std::unordered_set<std::string_view>& keys, std::string& arguments) {
    constexpr std::string_view kHead = " name=\"", kTrue = "\" string=\"true\">",
                               kFalse = "\" string=\"false\">";
    std::string_view text;
    if (!take_until({kParamClose}, text))
      return refuse(ErrorKind::kValueError, "the text ends in a parameter");
    if (text.ends_with("<\n")) text.remove_suffix(1);
    const size_t end_true = text.find(kTrue, kHead.size()), end_false = text.find(kFalse, kHead.size());
    const size_t key_end = std::min(end_true, end_false);
    if (!text.starts_with(kHead) || !text.ends_with('<') || key_end == std::string_view::npos) {
      return refuse(ErrorKind::kValueError, fmt::format("parameter format: \"{}\"", text));
    }
    const bool string = end_true < end_false;
    const std::string_view key = text.substr(kHead.size(), key_end - kHead.size());
    const size_t value_begin = key_end + (string ? kTrue : kFalse).size();
    if (!keys.insert(key).second) {
      return refuse(ErrorKind::kValueError, fmt::format("duplicate parameter name \"{}\"", key));
    }
    const std::string_view value = text.substr(value_begin, text.size() - 1 - value_begin);
    if (!arguments.empty()) arguments += ", ";
    append_json_string(arguments, key);
    arguments += ": ";
    if (string) {
      append_json_string(arguments, value);
    } else {
      arguments += value;
    }
    return true;
  }

  bool check_specials() {
    for (const std::string_view token :
         {kBosToken, kEosToken, kThinkOpenToken, kThinkCloseToken, kDsmlToken}) {
      if (out_.content.find(token) != std::string::npos ||
          out_.reasoning_content.find(token) != std::string::npos) {
        return refuse(ErrorKind::kAssertionError,
                      fmt::format("unexpected special token \"{}\" in the text", token));
      }
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  AssistantMessage out_;
  EncodingError error_{};
};

}  // namespace

EncodingResult<AssistantMessage> read_as_reference(std::string_view text, bool thinking) {
  return ReferenceReader(text).read(thinking);
}

}  // namespace ft::encoding
