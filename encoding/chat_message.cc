#include "encoding/chat_message.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace ft::encoding {
namespace {

constexpr std::pair<std::string_view, ChatRole> kRoles[] = {
    {"system", ChatRole::kSystem}, {"developer", ChatRole::kDeveloper},
    {"user", ChatRole::kUser},     {"assistant", ChatRole::kAssistant},
    {"tool", ChatRole::kTool},     {"latest_reminder", ChatRole::kReminder},
};

constexpr std::pair<std::string_view, QuickTask> kTasks[] = {
    {"action", QuickTask::kAction}, {"query", QuickTask::kQuery}, {"authority", QuickTask::kAuthority},
    {"domain", QuickTask::kDomain}, {"title", QuickTask::kTitle}, {"read_url", QuickTask::kReadUrl},
};

template <class T, size_t N>
T find_by_name(const std::pair<std::string_view, T> (&table)[N], std::string_view name, T otherwise) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  return otherwise;
}

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

// Reads one message. Every method returns false after keeping the error, which names a field below `path`.
class MessageReader {
 public:
  MessageReader(const Json& source, std::string path) : source_(source), path_(std::move(path)) {}

  EncodingResult<ChatMessage> read() {
    if (!source_.is_object()) {
      refuse(ErrorKind::kAttributeError, "", fmt::format("is a {}, not an object", source_.type_name()));
    } else {
      const Json& role = source_.get("role");
      out_.role = role.is_string() ? chat_role(role.as_string()) : ChatRole::kOther;
      const Json& task = source_.get("task");
      if (!task.is_null()) {
        out_.task = task.is_string() ? quick_task(task.as_string()) : QuickTask::kOther;
      }
      out_.open_end = source_.get("wo_eos").truthy();
      read_by_role();
    }
    if (error_) return tl::unexpected<EncodingError>(std::move(*error_));
    return std::move(out_);
  }

 private:
  bool refuse(ErrorKind kind, std::string_view field, std::string_view problem) {
    std::string place = path_;
    if (!field.empty()) place.append(".").append(field);
    error_ = EncodingError{kind, fmt::format("{} {}", place, problem), place};
    return false;
  }

  bool read_by_role() {
    switch (out_.role) {
      case ChatRole::kUser:
        return read_user();
      case ChatRole::kTool:
        return read_tool();
      case ChatRole::kReminder:
        return read_printed(source_.get("content"), "content", out_.content) && read_tools() && read_calls();
      case ChatRole::kSystem:
      case ChatRole::kDeveloper:
      case ChatRole::kAssistant:
        if (source_.get("response_format").truthy()) out_.response_format = source_.get("response_format");
        return read_text("content", out_.content) && read_text("reasoning_content", out_.reasoning_content) &&
               read_calls() && read_tools();
      case ChatRole::kOther:
        // The one role that the reference keeps in any mode although it cannot render it.
        if (source_.get("role") == Json("direct_search_results")) {
          return refuse(ErrorKind::kNotImplementedError, "role",
                        "is direct_search_results, which has no form");
        }
        return read_tools();
    }
    return true;
  }

  // Absent and null, which the reference's `or ""` treats alike, are "".
  bool read_text(std::string_view field, std::string& out) {
    const Json& value = source_.get(field);
    if (!value.truthy()) return true;
    if (!value.is_string()) {
      return refuse(ErrorKind::kTypeError, field, fmt::format("is a {}, not a string", value.type_name()));
    }
    out = value.as_string();
    return true;
  }

  bool read_printed(const Json& value, std::string_view field, std::string& out) {
    std::optional<std::string> text = printed(value);
    if (!text) return refuse(ErrorKind::kTypeError, field, fmt::format("is an {}", value.type_name()));
    out += *text;
    return true;
  }

  bool read_user() {
    const Json* content = source_.find("content");
    if (content == nullptr) return true;
    if (!content->is_string()) {
      return refuse(ErrorKind::kTypeError, "content",
                    fmt::format("is a {}, not a string", content->type_name()));
    }
    out_.content = content->as_string();
    return true;
  }

  bool read_tool() {
    if (const Json* id = source_.find("tool_call_id")) {
      out_.tool_call_id = id->is_string() ? id->as_string() : id->dump();
    }
    const Json* content = source_.find("content");
    if (content == nullptr) return true;
    if (!content->is_array()) return read_printed(*content, "content", out_.content);
    for (size_t i = 0; i < content->size(); ++i) {
      if (i > 0) out_.content += "\n\n";
      if (!read_part(content->as_array()[i], fmt::format("content[{}]", i))) return false;
    }
    return true;
  }

  bool read_part(const Json& part, const std::string& field) {
    if (!part.is_object()) return refuse(ErrorKind::kAttributeError, field, "is not an object");
    if (part.get("type") != Json("text")) {
      out_.content += "[Unsupported ";
      if (!read_printed(part.get("type"), field + ".type", out_.content)) return false;
      out_.content += "]";
      return true;
    }
    const Json* text = part.find("text");
    if (text == nullptr) return true;
    if (!text->is_string()) return refuse(ErrorKind::kTypeError, field + ".text", "is not a string");
    out_.content += text->as_string();
    return true;
  }

  bool read_tools() {
    const Json& tools = source_.get("tools");
    if (!tools.truthy()) return true;
    if (!tools.is_array()) return refuse(ErrorKind::kTypeError, "tools", "is not an array");
    for (size_t i = 0; i < tools.size(); ++i) {
      const Json& tool = tools.as_array()[i];
      const std::string field = fmt::format("tools[{}]", i);
      if (!tool.is_object()) return refuse(ErrorKind::kTypeError, field, "is not an object");
      const Json* function = tool.find("function");
      if (function == nullptr) return refuse(ErrorKind::kKeyError, field + ".function", "is missing");
      out_.functions.push_back(*function);
    }
    return true;
  }

  bool read_calls() {
    const Json& calls = source_.get("tool_calls");
    if (!calls.truthy()) return true;
    if (!calls.is_array()) return refuse(ErrorKind::kTypeError, "tool_calls", "is not an array");
    for (size_t i = 0; i < calls.size(); ++i) {
      if (!read_call(calls.as_array()[i], fmt::format("tool_calls[{}]", i))) return false;
    }
    return true;
  }

  bool read_call(const Json& call, const std::string& field) {
    if (!call.is_object()) return refuse(ErrorKind::kAttributeError, field, "is not an object");
    const Json* function = call.find("function");
    // A call that has no id of its own is found by its function's.
    const bool own = call.get("id").truthy() || function == nullptr;
    const Json& id = own ? call.get("id") : function->get("id");
    if (id.is_array() || id.is_object()) return refuse(ErrorKind::kTypeError, field + ".id", "is not a text");
    if (function == nullptr) return refuse(ErrorKind::kKeyError, field + ".function", "is missing");
    if (!function->is_object()) return refuse(ErrorKind::kTypeError, field + ".function", "is not an object");
    for (const char* key : {"name", "arguments"}) {
      if (!function->contains(key)) {
        return refuse(ErrorKind::kKeyError, fmt::format("{}.function.{}", field, key), "is missing");
      }
    }
    FunctionCall& out = out_.tool_calls.emplace_back();
    if (id.truthy()) out.id = id.is_string() ? id.as_string() : id.dump();
    return read_printed(function->get("name"), field + ".function.name", out.name) &&
           read_arguments(function->get("arguments"), field + ".function.arguments", out.arguments);
  }

  // A JSON text of an object gives its members; what cannot be read becomes one argument as it is.
  bool read_arguments(const Json& given, const std::string& field, Json::Object& out) {
    if (given.is_string()) {
      EncodingResult<Json> parsed = Json::parse(given.as_string());
      if (parsed && !parsed->is_object()) {
        return refuse(ErrorKind::kAttributeError, field,
                      fmt::format("is the JSON of a {}, not of an object", parsed->type_name()));
      }
      if (parsed) {
        out = std::move(parsed->as_object());
        return true;
      }
      if (parsed.error().kind == ErrorKind::kUnpairedSurrogate) {
        return refuse(parsed.error().kind, field, parsed.error().message);
      }
    }
    out.emplace_back("arguments", given);
    return true;
  }

  const Json& source_;
  std::string path_;
  ChatMessage out_;
  std::optional<EncodingError> error_;
};

}  // namespace

ChatRole chat_role(std::string_view name) {
  return find_by_name(kRoles, name, ChatRole::kOther);
}

QuickTask quick_task(std::string_view name) {
  return find_by_name(kTasks, name, QuickTask::kOther);
}

EncodingResult<std::vector<ChatMessage>> read_chat_messages(const Json& messages) {
  if (!messages.is_array()) {
    return fail(ErrorKind::kTypeError, fmt::format("messages is a {}, not an array", messages.type_name()),
                "messages");
  }
  std::vector<ChatMessage> out;
  for (size_t i = 0; i < messages.size(); ++i) {
    EncodingResult<ChatMessage> message =
        MessageReader(messages.as_array()[i], fmt::format("messages[{}]", i)).read();
    if (!message) return tl::unexpected<EncodingError>(std::move(message.error()));
    out.push_back(std::move(*message));
  }
  return out;
}

EncodingResult<Json::Object> read_call_arguments(const Json& given) {
  Json value = given;
  for (int encoded = 0; encoded < 2 && value.is_string(); ++encoded) {
    EncodingResult<Json> parsed = Json::parse(value.as_string());
    if (!parsed && parsed.error().kind == ErrorKind::kUnpairedSurrogate) {
      return tl::unexpected<EncodingError>(std::move(parsed.error()));
    }
    // A text inside the text counts only if it is an object's.
    if (!parsed || (encoded > 0 && !parsed->is_object())) break;
    value = std::move(*parsed);
  }
  if (value.is_object()) return std::move(value.as_object());
  if (value.is_null()) return Json::Object{};
  return Json::Object{{"arguments", std::move(value)}};
}

}  // namespace ft::encoding
