#include "server/api/chat_messages.h"

#include <optional>
#include <string>
#include <string_view>

#include "server/api/field_reader.h"

namespace ft::server {
namespace {

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

// A string, or text parts: joined for the roles whose content must be one string, kept as parts for a tool.
ApiResult<std::optional<Json>> read_content(FieldReader& fields, bool keep_parts) {
  const Json* content = fields.any("content");
  if (content == nullptr) return std::optional<Json>();
  const std::string path = fields.path("content");
  if (content->is_string()) return std::optional<Json>(*content);
  if (!content->is_array()) {
    return refuse(bad_field(path, type_message(path, "a string or an array of parts", *content)));
  }
  std::string joined;
  Json parts = Json::array();
  for (size_t i = 0; i < content->size(); ++i) {
    auto text = part_text(content->as_array()[i], fmt::format("{}[{}]", path, i));
    if (!text) return refuse(text.error());
    if (i > 0) joined += '\n';
    joined += *text;
    Json part = Json::object();
    part.set("type", "text");
    part.set("text", std::move(*text));
    parts.push_back(std::move(part));
  }
  if (keep_parts) return std::optional<Json>(std::move(parts));
  return std::optional<Json>(Json(std::move(joined)));
}

ApiResult<Json> read_tool_call(const Json& call, const std::string& path) {
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
  const auto arguments = reader.text("arguments");
  if (reader.ok() && !name) reader.refuse("name", fmt::format("'{}' is missing", reader.path("name")));
  if (reader.ok() && !arguments)
    reader.refuse("arguments", fmt::format("'{}' is missing", reader.path("arguments")));
  if (!reader.ok()) return refuse(*reader.error());

  Json out_function = Json::object();
  out_function.set("name", *name);
  out_function.set("arguments", *arguments);
  Json out = Json::object();
  if (id) out.set("id", *id);
  out.set("type", "function");
  out.set("function", std::move(out_function));
  return out;
}

struct Message {
  Json json = Json::object();
  Prefill prefill = Prefill::kNone;
};

ApiResult<Message> read_assistant(FieldReader& fields) {
  Message message;
  message.json.set("role", "assistant");
  auto content = read_content(fields, false);
  if (!content) return refuse(content.error());
  if (*content) message.json.set("content", **content);
  auto reasoning = fields.text("reasoning_content");
  if (!reasoning) reasoning = fields.text("reasoning");
  if (reasoning) message.json.set("reasoning_content", *reasoning);
  const Json* calls = fields.array("tool_calls");
  const bool prefix = fields.boolean("prefix").value_or(false);
  if (!fields.ok()) return refuse(*fields.error());
  if (calls != nullptr && calls->size() > 0) {
    Json out = Json::array();
    for (size_t i = 0; i < calls->size(); ++i) {
      auto call = read_tool_call(calls->as_array()[i], fmt::format("{}[{}]", fields.path("tool_calls"), i));
      if (!call) return refuse(call.error());
      out.push_back(std::move(*call));
    }
    message.json.set("tool_calls", std::move(out));
  }
  if (prefix) {
    message.prefill = *content ? Prefill::kContent : Prefill::kReasoning;
    message.json.set("wo_eos", true);
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

  const bool tool = *role == "tool";
  if (!tool && *role != "system" && *role != "developer" && *role != "user") {
    return refuse(bad_field(fields.path("role"),
                            fmt::format("'{}' is '{}': expected system, developer, user, assistant or tool",
                                        fields.path("role"), *role)));
  }
  auto content = read_content(fields, tool);
  if (!content) return refuse(content.error());
  if (!*content) {
    return refuse(bad_field(fields.path("content"), fmt::format("'{}' is missing", fields.path("content"))));
  }
  Message message;
  message.json.set("role", *role == "developer" ? "system" : *role);
  message.json.set("content", **content);
  if (tool) {
    const auto id = fields.text("tool_call_id");
    if (fields.ok() && !id)
      fields.refuse("tool_call_id", fmt::format("'{}' is missing", fields.path("tool_call_id")));
    if (!fields.ok()) return refuse(*fields.error());
    message.json.set("tool_call_id", *id);
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
    out.messages.push_back(std::move(message->json));
  }
  const std::string& role = out.messages.as_array().back().get("role").as_string();
  if (role != "user" && role != "tool" && out.prefill == Prefill::kNone) {
    return refuse(
        bad_field(fmt::format("messages[{}].role", messages.size() - 1),
                  fmt::format("the last message is from '{}': expected user or tool, or an assistant "
                              "message with 'prefix': true to be continued",
                              role)));
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

void attach_tools(Json& messages, const Json& tools) {
  Json::Array& list = messages.as_array();
  for (Json& message : list) {
    if (message.get("role").as_string() == "system") {
      message.set("tools", tools);
      return;
    }
  }
  Json system = Json::object();
  system.set("role", "system");
  system.set("content", "");
  system.set("tools", tools);
  list.insert(list.begin(), std::move(system));
}

}  // namespace ft::server
