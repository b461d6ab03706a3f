#include "encoding/chat_template.h"

#include <fmt/format.h>

#include <cmath>
#include <span>

#include "encoding/chat_turns.h"
#include "encoding/prompt_writer.h"

namespace ft::encoding {
namespace {

struct TaskToken {
  std::string_view task, token;
};
constexpr TaskToken kTasks[] = {{"action", "<｜action｜>"},       {"query", "<｜query｜>"},
                                {"authority", "<｜authority｜>"}, {"domain", "<｜domain｜>"},
                                {"title", "<｜title｜>"},         {"read_url", "<｜read_url｜>"}};

// What the reference prints for a scalar in a format string; empty for arrays and objects, whose Python form
// is refused.
std::optional<std::string> printed(const Json& value) {
  switch (value.type()) {
    case Json::Type::kNull:
      return "None";
    case Json::Type::kBool:
      return value.as_bool() ? "True" : "False";
    case Json::Type::kDouble:
      if (std::isnan(*value.to_double())) return "nan";
      if (std::isinf(*value.to_double())) return *value.to_double() < 0 ? "-inf" : "inf";
      return value.dump();
    case Json::Type::kInteger:
      return value.integer_text();
    case Json::Type::kString:
      return value.as_string();
    case Json::Type::kArray:
    case Json::Type::kObject:
      break;
  }
  return std::nullopt;
}

// Renders turns one by one. Every method returns false after keeping the error.
class Renderer {
 public:
  Renderer(std::span<const Turn> turns, int last_user, bool drop, const ChatOptions& options)
      : turns_(turns), last_user_(last_user), drop_(drop), options_(options) {}

  EncodingResult<Prompt> render(size_t first, bool bos) {
    if (bos) out_.format(kBosToken);
    for (size_t i = first; i < turns_.size(); ++i) {
      if (!check(turns_[i]) || !effort(i) || !body(i) || !transition(i) || !fits()) {
        return tl::unexpected<EncodingError>(std::move(error_));
      }
    }
    return out_.take();
  }

 private:
  bool refuse(ErrorKind kind, std::string message) {
    error_ = {kind, std::move(message)};
    return false;
  }
  bool fits() {
    if (out_.size() <= options_.max_bytes) return true;
    return refuse(ErrorKind::kTooLong,
                  fmt::format("the rendered messages are longer than {} bytes", options_.max_bytes));
  }
  bool thinking() const { return options_.thinking_mode == "thinking"; }

  // The text of a value that must be one; falsy values are "".
  bool text_of(const Json& value, std::string_view what, std::string_view& out) {
    if (!value.truthy()) {
      out = {};
      return true;
    }
    if (!value.is_string()) {
      return refuse(ErrorKind::kTypeError, fmt::format("{} is a {}, not a string", what, value.type_name()));
    }
    out = value.as_string();
    return true;
  }

  bool client_printed(const Json& value, std::string_view what) {
    const std::optional<std::string> text = printed(value);
    if (!text) return refuse(ErrorKind::kTypeError, fmt::format("{} is an {}", what, value.type_name()));
    out_.client(*text);
    return true;
  }

  // What the reference does before it looks at the role.
  bool check(const Turn& turn) {
    if (options_.thinking_mode != "chat" && !thinking()) {
      return refuse(ErrorKind::kAssertionError,
                    fmt::format("invalid thinking_mode \"{}\"", options_.thinking_mode));
    }
    return check_tools(turn.get("tools")) && check_calls(turn.get("tool_calls")) && find_effort();
  }

  bool check_tools(const Json& tools) {
    if (!tools.truthy()) return true;
    if (!tools.is_array()) return refuse(ErrorKind::kTypeError, "tools is not an array");
    for (const Json& tool : tools.as_array()) {
      if (!tool.is_object()) return refuse(ErrorKind::kTypeError, "tools[] is not an object");
      if (!tool.contains("function")) return refuse(ErrorKind::kKeyError, "tools[].function is missing");
    }
    return true;
  }

  bool check_calls(const Json& calls) {
    if (!calls.truthy()) return true;
    if (!calls.is_array()) return refuse(ErrorKind::kTypeError, "tool_calls is not an array");
    for (const Json& call : calls.as_array()) {
      if (!call.is_object()) return refuse(ErrorKind::kTypeError, "tool_calls[] is not an object");
      const Json* function = call.find("function");
      if (function == nullptr) return refuse(ErrorKind::kKeyError, "tool_calls[].function is missing");
      if (!function->is_object())
        return refuse(ErrorKind::kTypeError, "tool_calls[].function is not an object");
      for (const char* key : {"name", "arguments"}) {
        if (!function->contains(key)) {
          return refuse(ErrorKind::kKeyError, fmt::format("tool_calls[].function.{} is missing", key));
        }
      }
    }
    return true;
  }

  bool find_effort() {
    if (!options_.reasoning_effort) return true;
    for (const EffortText& effort : options_.profile->efforts) {
      if (effort.level == *options_.reasoning_effort) {
        effort_text_ = effort.text;
        return true;
      }
    }
    return refuse(ErrorKind::kAssertionError,
                  fmt::format("invalid reasoning effort \"{}\"", *options_.reasoning_effort));
  }

  bool effort(size_t i) {
    if (i == 0 && thinking()) out_.format(effort_text_);
    return true;
  }

  bool body(size_t i) {
    const Turn& turn = turns_[i];
    if (turn.is_role("system")) return system(turn);
    if (turn.is_role("developer")) return developer(turn);
    if (turn.user) return user(turn);
    if (turn.is_role("latest_reminder")) {
      out_.format(kReminderToken);
      return client_printed(turn.get("content"), "content of a reminder");
    }
    if (turn.is_role("assistant")) return assistant(i);
    return refuse(ErrorKind::kNotImplementedError, fmt::format("unknown role {}", turn.get("role").dump()));
  }

  bool system(const Turn& turn) {
    std::string_view content;
    if (!text_of(turn.get("content"), "content of a system message", content)) return false;
    out_.client(content);
    appendices(turn);
    return true;
  }

  bool developer(const Turn& turn) {
    std::string_view content;
    if (!turn.get("content").truthy())
      return refuse(ErrorKind::kAssertionError, "a developer message has no content");
    if (!text_of(turn.get("content"), "content of a developer message", content)) return false;
    out_.format(kUserToken);
    out_.client(content);
    appendices(turn);
    return true;
  }

  void appendices(const Turn& turn) {
    const Json& tools = turn.get("tools");
    if (tools.truthy()) {
      out_.format("\n\n");
      out_.format(kToolsBlockHead);
      std::string_view separator;
      for (const Json& tool : tools.as_array()) {
        out_.format(separator);
        out_.client(tool.get("function").dump());
        separator = "\n";
      }
      out_.format(kToolsBlockTail);
    }
    const Json& format = turn.get("response_format");
    if (format.truthy()) {
      out_.format("\n\n");
      out_.format(kResponseFormatHead);
      out_.client(format.dump());
    }
  }

  bool user(const Turn& turn) {
    out_.format(kUserToken);
    std::string_view separator;
    for (const UserBlock& block : turn.blocks) {
      out_.format(separator);
      separator = "\n\n";
      if (!block.tool_result) {
        if (!block.content->is_string()) {
          return refuse(ErrorKind::kTypeError, fmt::format("content of a user message is a {}, not a string",
                                                           block.content->type_name()));
        }
        out_.client(block.content->as_string());
        continue;
      }
      out_.format(kToolResultOpen);
      if (!tool_content(*block.content)) return false;
      out_.format(kToolResultClose);
    }
    return true;
  }

  bool tool_content(const Json& content) {
    if (!content.is_array()) return client_printed(content, "content of a tool message");
    std::string_view separator;
    for (const Json& item : content.as_array()) {
      if (!item.is_object()) {
        return refuse(ErrorKind::kAttributeError, "content[] of a tool message is not an object");
      }
      out_.format(separator);
      separator = "\n\n";
      if (item.get("type") == Json("text")) {
        const Json* text = item.find("text");
        if (text == nullptr) continue;
        if (!text->is_string())
          return refuse(ErrorKind::kTypeError, "content[].text of a tool message is not a string");
        out_.client(text->as_string());
      } else {
        out_.format("[Unsupported ");
        if (!client_printed(item.get("type"), "content[].type of a tool message")) return false;
        out_.format("]");
      }
    }
    return true;
  }

  bool assistant(size_t i) {
    const Turn& turn = turns_[i];
    const bool after_task = i > 0 && !turns_[i - 1].get("task").is_null();
    std::string_view reasoning, content;
    if (!turn.reasoning_dropped && !text_of(turn.get("reasoning_content"), "reasoning_content", reasoning))
      return false;
    if (!text_of(turn.get("content"), "content of an assistant message", content)) return false;
    if (thinking() && !after_task && (!drop_ || static_cast<int>(i) > last_user_)) {
      out_.client(reasoning);
      out_.format(kThinkCloseToken);
    }
    out_.client(content);
    const Json& calls = turn.get("tool_calls");
    if (calls.truthy() && !tool_calls(calls)) return false;
    if (!turn.get("wo_eos").truthy()) out_.format(kEosToken);
    return true;
  }

  bool tool_calls(const Json& calls) {
    out_.format("\n\n<｜DSML｜tool_calls>\n");
    std::string_view separator;
    for (const Json& call : calls.as_array()) {
      out_.format(separator);
      separator = "\n";
      out_.format("<｜DSML｜invoke name=\"");
      const Json& function = call.get("function");
      if (!client_printed(function.get("name"), "tool_calls[].function.name")) return false;
      out_.format("\">\n");
      if (!arguments(function.get("arguments"))) return false;
      out_.format("\n</｜DSML｜invoke>");
    }
    out_.format("\n</｜DSML｜tool_calls>");
    return true;
  }

  // A JSON text of an object gives its members; what cannot be read becomes one parameter as it is.
  bool arguments(const Json& given) {
    if (!given.is_string()) {
      parameter("arguments", given);
      return true;
    }
    const EncodingResult<Json> parsed = Json::parse(given.as_string());
    if (!parsed) {
      if (parsed.error().kind == ErrorKind::kUnpairedSurrogate) {
        return refuse(parsed.error().kind, "tool_calls[].function.arguments: " + parsed.error().message);
      }
      parameter("arguments", given);
      return true;
    }
    if (!parsed->is_object()) {
      return refuse(ErrorKind::kAttributeError,
                    fmt::format("tool_calls[].function.arguments is the JSON of a {}, not of "
                                "an object",
                                parsed->type_name()));
    }
    std::string_view separator;
    for (const auto& [key, value] : parsed->as_object()) {
      out_.format(separator);
      parameter(key, value);
      separator = "\n";
      if (!fits()) return false;
    }
    return true;
  }

  void parameter(std::string_view key, const Json& value) {
    out_.format("<｜DSML｜parameter name=\"");
    out_.client(key);
    out_.format(value.is_string() ? "\" string=\"true\">" : "\" string=\"false\">");
    out_.client(value.is_string() ? value.as_string() : value.dump());
    out_.format("</｜DSML｜parameter>");
  }

  // What stands between this turn and the next, or opens the reply.
  bool transition(size_t i) {
    const Turn& turn = turns_[i];
    if (i + 1 < turns_.size() && !turns_[i + 1].is_role("assistant") &&
        !turns_[i + 1].is_role("latest_reminder")) {
      return true;
    }
    const Json& task = turn.get("task");
    if (!task.is_null()) return quick_task(task);
    if (turn.is_role("user") || turn.is_role("developer")) {
      const bool open = thinking() && (!drop_ || static_cast<int>(i) >= last_user_);
      out_.format(kAssistantToken);
      out_.format(open ? kThinkOpenToken : kThinkCloseToken);
    }
    return true;
  }

  bool quick_task(const Json& task) {
    for (const TaskToken& known : kTasks) {
      if (task != Json(known.task)) continue;
      if (known.task == "action") {
        out_.format(kAssistantToken);
        out_.format(thinking() ? kThinkOpenToken : kThinkCloseToken);
      }
      out_.format(known.token);
      return true;
    }
    return refuse(ErrorKind::kAssertionError, fmt::format("invalid task {}", task.dump()));
  }

  std::span<const Turn> turns_;
  int last_user_;
  bool drop_;
  const ChatOptions& options_;
  std::string_view effort_text_;
  PromptWriter out_;
  EncodingError error_{};
};

bool any_tools(const std::vector<Turn>& turns) {
  for (const Turn& turn : turns) {
    if (turn.get("tools").truthy()) return true;
  }
  return false;
}

}  // namespace

// Section 2. The context and the messages are merged apart, so a user turn never grows over the border; the
// order of tool results is taken over both.
EncodingResult<Prompt> encode_chat(const Json& messages, const ChatOptions& options) {
  EncodingResult<std::vector<Turn>> rendered = merge_messages(messages);
  if (!rendered) return tl::unexpected<EncodingError>(rendered.error());
  std::vector<Turn> context;
  if (options.context.truthy()) {
    EncodingResult<std::vector<Turn>> merged = merge_messages(options.context);
    if (!merged) return tl::unexpected<EncodingError>(merged.error());
    context = std::move(*merged);
  }
  std::vector<Turn> turns = context;
  turns.insert(turns.end(), rendered->begin(), rendered->end());
  if (std::optional<EncodingError> error = sort_tool_results(turns)) {
    return tl::unexpected<EncodingError>(std::move(*error));
  }
  const bool bos = options.add_default_bos_token && context.empty();
  const bool drop = options.drop_thinking && !any_tools(turns);
  size_t first = context.size();
  if (options.thinking_mode == "thinking" && drop) {
    turns = without_old_reasoning(turns);
    // The reference counts what to render by the context filtered on its own, whose last user differs.
    const size_t kept_context = without_old_reasoning(context).size();
    first = std::min(kept_context, turns.size());
  }
  return Renderer(turns, last_user_index(turns), drop, options).render(first, bos);
}

EncodingResult<void> check_chat_tokens(const Tokenizer& tokenizer) {
  for (const std::string_view token :
       {kBosToken, kEosToken, kUserToken, kAssistantToken, kThinkOpenToken, kThinkCloseToken, kDsmlToken}) {
    if (!tokenizer.id_of(token)) {
      return fail(ErrorKind::kInvalidFile,
                  fmt::format("the tokenizer lacks the control token \"{}\"", token));
    }
  }
  return {};
}

}  // namespace ft::encoding
