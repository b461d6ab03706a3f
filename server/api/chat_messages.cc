#include "server/api/chat_messages.h"

#include <optional>
#include <string>
#include <string_view>

#include "server/api/field_reader.h"

namespace ft::server {
namespace {

using encoding::ChatMessage;
using encoding::ChatRole;
using encoding::FunctionCall;
using encoding::Json;

// Text of a part, or an error that names it.
ApiResult<std::string> part_text(const Json& part, const std::string& path) {
  if (!part.is_object()) return refuse(bad_field(path, type_message(path, "an object", part)));
  FieldReader reader(part, path);
  const auto type = reader.text("type");
  if (reader.error()) return refuse(*reader.error());
  if (!type)
    return refuse(bad_field(reader.path("type"), fmt::format("'{}' is missing", reader.path("type"))));
  if (*type == "refusal") {
    const auto text = reader.text("refusal");
    if (reader.error()) return refuse(*reader.error());
    return text.value_or("");
  }
  if (*type != "text") {
    return refuse(bad_field(reader.path("type"), fmt::format("'{}' is '{}', but this model reads text only",
                                                             reader.path("type"), *type)));
  }
  const auto text = reader.text("text");
  if (reader.error()) return refuse(*reader.error());
  if (!text)
    return refuse(bad_field(reader.path("text"), fmt::format("'{}' is missing", reader.path("text"))));
  return *text;
}

// A string, or text parts joined by `separator`.
ApiResult<std::optional<std::string>> read_content(FieldReader& fields, std::string_view separator) {
  const Json* content = fields.any("content");
  if (content == nullptr) return std::optional<std::string>();
  const std::string path = fields.path("content");
  if (content->is_string()) return std::optional<std::string>(content->as_string());
  if (!content->is_array()) {
    return refuse(bad_field(path, type_message(path, "a string or an array of parts", *content)));
  }
  std::string joined;
  for (size_t i = 0; i < content->size(); ++i) {
    auto text = part_text(content->as_array()[i], fmt::format("{}[{}]", path, i));
    if (!text) return refuse(text.error());
    if (i > 0) joined += separator;
    joined += *text;
  }
  return std::optional<std::string>(std::move(joined));
}

ApiResult<FunctionCall> read_tool_call(const Json& call, const std::string& path) {
  if (!call.is_object()) return refuse(bad_field(path, type_message(path, "an object", call)));
  FieldReader fields(call, path);
  const auto id = fields.text("id");
  const auto type = fields.text("type");
  const Json* function = fields.object("function");
  if (fields.ok() && type && *type != "function") {
    fields.refuse("type", fmt::format("'{}' must be 'function', not '{}'", fields.path("type"), *type));
  }
  if (fields.ok() && function == nullptr)
    fields.refuse("function", fmt::format("'{}' is missing", fields.path("function")));
  if (!fields.ok()) return refuse(*fields.error());

  FieldReader reader(*function, fields.path("function"));
  const auto name = reader.text("name");
  const Json* given = function->find("arguments");
  if (reader.ok() && !name) reader.refuse("name", fmt::format("'{}' is missing", reader.path("name")));
  if (reader.ok() && given == nullptr)
    reader.refuse("arguments", fmt::format("'{}' is missing", reader.path("arguments")));
  if (!reader.ok()) return refuse(*reader.error());
  auto arguments = encoding::read_call_arguments(*given);
  if (!arguments) {
    const std::string where = reader.path("arguments");
    return refuse(bad_field(where, fmt::format("'{}' cannot be read: {}", where, arguments.error().message)));
  }
  return FunctionCall{id.value_or(""), *name, std::move(*arguments)};
}

struct Message {
  ChatMessage value;
  Prefill prefill = Prefill::kNone;
};

ApiResult<Message> read_assistant(FieldReader& fields) {
  Message message;
  message.value.role = ChatRole::kAssistant;
  auto content = read_content(fields, "\n");
  if (!content) return refuse(content.error());
  message.value.content = content->value_or("");
  auto reasoning = fields.text("reasoning_content");
  if (!reasoning) reasoning = fields.text("reasoning");
  message.value.reasoning_content = reasoning.value_or("");
  const Json* calls = fields.array("tool_calls");
  const bool prefix = fields.boolean("prefix").value_or(false);
  if (!fields.ok()) return refuse(*fields.error());
  for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
    auto call = read_tool_call(calls->as_array()[i], fmt::format("{}[{}]", fields.path("tool_calls"), i));
    if (!call) return refuse(call.error());
    message.value.tool_calls.push_back(std::move(*call));
  }
  if (prefix) {
    message.prefill = *content ? Prefill::kContent : Prefill::kReasoning;
    message.value.open_end = true;
  }
  return message;
}

ApiResult<Message> read_message(const Json& value, size_t index) {
  const std::string path = fmt::format("messages[{}]", index);
  if (!value.is_object()) return refuse(bad_field(path, type_message(path, "an object", value)));
  FieldReader fields(value, path);
  const auto role = fields.text("role");
  fields.text("name");  // accepted and not rendered, but it must be text
  if (!fields.ok()) return refuse(*fields.error());
  if (!role)
    return refuse(bad_field(fields.path("role"), fmt::format("'{}' is missing", fields.path("role"))));
  if (*role == "assistant") return read_assistant(fields);

  Message message;
  message.value.role = *role == "developer" ? ChatRole::kSystem : encoding::chat_role(*role);
  const bool tool = message.value.role == ChatRole::kTool;
  if (!tool && message.value.role != ChatRole::kSystem && message.value.role != ChatRole::kUser) {
    return refuse(bad_field(fields.path("role"),
                            fmt::format("'{}' is '{}': expected system, developer, user, assistant or tool",
                                        fields.path("role"), *role)));
  }
  auto content = read_content(fields, tool ? "\n\n" : "\n");
  if (!content) return refuse(content.error());
  if (!*content) {
    return refuse(bad_field(fields.path("content"), fmt::format("'{}' is missing", fields.path("content"))));
  }
  message.value.content = std::move(**content);
  if (tool) {
    const auto id = fields.text("tool_call_id");
    if (fields.ok() && !id)
      fields.refuse("tool_call_id", fmt::format("'{}' is missing", fields.path("tool_call_id")));
    if (!fields.ok()) return refuse(*fields.error());
    message.value.tool_call_id = *id;
  }
  return message;
}

}  // namespace

ApiResult<ChatMessages> read_messages(const Json& messages) {
  if (messages.size() == 0) return refuse(bad_field("messages", "'messages' is empty"));
  if (messages.size() > kMessagesMax) {
    return refuse(bad_field(
        "messages", fmt::format("'messages' has {} entries, more than {}", messages.size(), kMessagesMax)));
  }
  ChatMessages out;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto message = read_message(messages.as_array()[i], i);
    if (!message) return refuse(message.error());
    const bool last = i + 1 == messages.size();
    if (message->prefill != Prefill::kNone && !last) {
      return refuse(
          bad_field(fmt::format("messages[{}].prefix", i), "only the last message can have 'prefix': true"));
    }
    out.prefill = message->prefill;
    out.messages.push_back(std::move(message->value));
  }
  const ChatRole role = out.messages.back().role;
  if (role != ChatRole::kUser && role != ChatRole::kTool && out.prefill == Prefill::kNone) {
    return refuse(
        bad_field(fmt::format("messages[{}].role", messages.size() - 1),
                  fmt::format("the last message is from '{}': expected user or tool, or an assistant "
                              "message with 'prefix': true to be continued",
                              role == ChatRole::kSystem ? "system" : "assistant")));
  }
  return out;
}

ApiResult<void> check_tools(const Json& tools) {
  if (tools.size() > kToolsMax) {
    return refuse(
        bad_field("tools", fmt::format("'tools' has {} entries, more than {}", tools.size(), kToolsMax)));
  }
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    const Json& tool = tools.as_array()[i];
    if (!tool.is_object()) return refuse(bad_field(path, type_message(path, "an object", tool)));
    FieldReader fields(tool, path);
    const auto type = fields.text("type");
    const Json* function = fields.object("function");
    if (fields.ok() && (!type || *type != "function")) {
      fields.refuse("type", fmt::format("'{}' must be 'function'", fields.path("type")));
    }
    if (fields.ok() && function == nullptr)
      fields.refuse("function", fmt::format("'{}' is missing", fields.path("function")));
    if (!fields.ok()) return refuse(*fields.error());
    FieldReader reader(*function, fields.path("function"));
    const auto name = reader.text("name");
    reader.text("description");
    reader.object("parameters");
    if (reader.ok() && (!name || name->empty()))
      reader.refuse("name", fmt::format("'{}' is missing", reader.path("name")));
    if (!reader.ok()) return refuse(*reader.error());
  }
  return {};
}

void attach_tools(std::vector<ChatMessage>& messages, const Json& tools) {
  if (messages.empty() || messages.front().role != ChatRole::kSystem) {
    messages.emplace(messages.begin())->role = ChatRole::kSystem;
  }
  for (const Json& tool : tools.as_array()) messages.front().functions.push_back(tool.get("function"));
}

}  // namespace ft::server
