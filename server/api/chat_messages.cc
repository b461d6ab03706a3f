#include "server/api/chat_messages.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/content_parts.h"
#include "server/api/field_reader.h"

namespace ft::server {
namespace {

using encoding::ChatMessage;
using encoding::ChatRole;
using encoding::FunctionCall;
using encoding::Json;

using enum FieldEffect;

constexpr RequestField kMessageFields[] = {
    {"role", kActs,
     "system, developer (the same), user, assistant, tool, function (the same), latest_reminder"},
    {"content", kActs, "text or parts of type text, input_text, output_text or refusal"},
    {"reasoning_content", kActs, "of an assistant"},
    {"reasoning", kActs, "another name for it"},
    {"tool_calls", kActs, "arguments as an object, its text, or the text of that"},
    {"function_call", kActs, "OpenAI's older form of it"},
    {"tool_call_id", kActs, "of a tool"},
    {"prefix", kActs, "true: the last message, an assistant's, is continued"},
    {"task", kActs, "of a user: action, query, authority, domain, title or read_url"},
    {"name", kNone, "the format has no names"},
    {"refusal", kNone, "send it as content"},
    {"annotations", kNone, ""},
    {"cache_control", kNone, "prefixes are found without it"},
    {"reasoning_details", kNone, "reasoning_content says it"},
    {"wo_eos", kRefused, "use prefix"},
    {"content_blocks", kRefused, "use content"},
    {"tools", kRefused, "give them beside messages"},
    {"response_format", kRefused, "give it beside messages"},
    {"audio", kRefused, "this model reads text only"},
};

// Empty when there is none.
ApiResult<std::optional<std::string>> read_content(FieldReader& fields, std::string_view separator) {
  const Json* content = fields.any("content");
  if (content == nullptr) return std::optional<std::string>();
  auto text = content_text(*content, fields.path("content"), separator);
  if (!text) return refuse(text.error());
  return std::optional<std::string>(std::move(*text));
}

// A function's name and arguments; none are no arguments.
ApiResult<FunctionCall> read_function(const Json& function, std::string path, std::string id) {
  FieldReader fields(function, std::move(path));
  auto name = required_text(fields, "name");
  if (!name) return refuse(name.error());
  auto arguments = encoding::read_call_arguments(function.get("arguments"));
  if (!arguments) {
    const std::string where = fields.path("arguments");
    return refuse(bad_field(where, fmt::format("'{}' cannot be read: {}", where, arguments.error().message)));
  }
  return FunctionCall{std::move(id), std::move(*name), std::move(*arguments)};
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

  return read_function(*function, fields.path("function"), id.value_or(""));
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
  if (const Json* older = fields.object("function_call")) {
    auto call = read_function(*older, fields.path("function_call"), "");
    if (!call) return refuse(call.error());
    message.value.tool_calls.push_back(std::move(*call));
  }
  if (fields.error()) return refuse(*fields.error());
  if (prefix) message.prefill = *content ? Prefill::kContent : Prefill::kReasoning;
  return message;
}

// A task is answered behind its own message only.
ApiResult<void> read_task(FieldReader& fields, bool alone, ChatMessage& message) {
  const auto name = fields.text("task");
  if (fields.error()) return refuse(*fields.error());
  if (!name) return {};
  message.task = encoding::quick_task(*name);
  if (*message.task == encoding::QuickTask::kOther)
    return refuse(bad_field(fields.path("task"),
                            fmt::format("'{}' is '{}': expected action, query, authority, domain, title or "
                                        "read_url",
                                        fields.path("task"), name->substr(0, 80))));
  if (message.role != ChatRole::kUser || !alone)
    return refuse(bad_field(fields.path("task"),
                            fmt::format("'{}' needs a message of the user that follows none of the user or "
                                        "a tool",
                                        fields.path("task"))));
  return {};
}

ChatRole role_of(std::string_view name) {
  if (name == "developer") return ChatRole::kSystem;
  return name == "function" ? ChatRole::kTool : encoding::chat_role(name);
}

bool is_users(ChatRole role) {
  return role == ChatRole::kUser || role == ChatRole::kTool;
}

// `after`: the message before it, if there is one.
ApiResult<Message> read_message(const Json& value, size_t index, const ChatMessage* after) {
  const std::string path = fmt::format("messages[{}]", index);
  if (!value.is_object()) return refuse(bad_field(path, type_message(path, "an object", value)));
  if (auto known = check_fields(value, kMessageFields, path); !known) return refuse(known.error());
  FieldReader fields(value, path);
  const auto role = required_text(fields, "role");
  if (!role) return refuse(role.error());

  Message message;
  message.value.role = role_of(*role);
  if (auto task = read_task(fields, after == nullptr || !is_users(after->role), message.value); !task)
    return refuse(task.error());
  if (message.value.role == ChatRole::kAssistant) return read_assistant(fields);
  const bool tool = message.value.role == ChatRole::kTool;
  if (message.value.role == ChatRole::kOther)
    return refuse(bad_field(fields.path("role"),
                            fmt::format("'{}' is '{}': expected system, developer, user, assistant, tool or "
                                        "latest_reminder",
                                        fields.path("role"), role->substr(0, 80))));
  auto content = read_content(fields, tool ? "\n\n" : "\n");
  if (!content) return refuse(content.error());
  if (!*content && !tool) return refuse(missing(fields, "content"));
  message.value.content = std::move(*content).value_or("");
  // A result without an id stands for the next call.
  if (tool) message.value.tool_call_id = fields.text("tool_call_id").value_or("");
  if (fields.error()) return refuse(*fields.error());
  return message;
}

// A reply stands open behind this message.
bool opens_reply(const std::vector<ChatMessage>& messages) {
  size_t i = messages.size();
  while (i > 0 && messages[i - 1].role == ChatRole::kReminder) --i;
  return i > 0 && is_users(messages[i - 1].role);
}

}  // namespace

std::span<const RequestField> chat_message_fields() {
  return kMessageFields;
}

ApiResult<ChatMessages> read_messages(const Json& messages, bool continue_last) {
  if (messages.size() == 0) return refuse(bad_field("messages", "'messages' is empty"));
  if (messages.size() > kMessagesMax) {
    return refuse(bad_field(
        "messages", fmt::format("'messages' has {} entries, more than {}", messages.size(), kMessagesMax)));
  }
  ChatMessages out;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto message = read_message(messages.as_array()[i], i, i > 0 ? &out.messages.back() : nullptr);
    if (!message) return refuse(message.error());
    const bool last = i + 1 == messages.size();
    if (message->prefill != Prefill::kNone && !last) {
      return refuse(
          bad_field(fmt::format("messages[{}].prefix", i), "only the last message can have 'prefix': true"));
    }
    out.prefill = message->prefill;
    out.messages.push_back(std::move(message->value));
  }
  ChatMessage& last = out.messages.back();
  if (continue_last && last.role != ChatRole::kAssistant)
    return refuse(bad_field("continue_final_message",
                            "'continue_final_message' needs a last message of the assistant"));
  if (continue_last && out.prefill == Prefill::kNone)
    out.prefill =
        last.content.empty() && !last.reasoning_content.empty() ? Prefill::kReasoning : Prefill::kContent;
  if (out.prefill != Prefill::kNone) last.open_end = true;
  open_reply(out);
  return out;
}

void open_reply(ChatMessages& chat) {
  std::vector<ChatMessage>& messages = chat.messages;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != ChatRole::kSystem) continue;
    const bool last = i + 1 == messages.size();
    const bool between =
        i > 0 && !last && is_users(messages[i - 1].role) && messages[i + 1].role == ChatRole::kAssistant;
    if (last || between) messages[i].role = ChatRole::kUser;
  }
  if (chat.prefill == Prefill::kNone && !opens_reply(messages))
    messages.emplace_back().role = ChatRole::kUser;
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
