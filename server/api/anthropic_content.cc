#include "server/api/anthropic_content.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/anthropic_blocks.h"
#include "server/api/field_reader.h"

namespace ft::server {
namespace {

using encoding::Json;

constexpr std::string_view kBillingHeader = "x-anthropic-billing-header:";

using encoding::ChatMessage;
using encoding::ChatRole;

struct AssistantTurn {
  std::string reasoning;
  std::string content;
  std::vector<encoding::FunctionCall> calls;
};

void add_text(ChatMessages& chat, ChatRole role, std::string text) {
  ChatMessage message;
  message.role = role;
  message.content = std::move(text);
  chat.messages.push_back(std::move(message));
}

void add_result(ChatMessages& chat, std::string id, std::string text) {
  add_text(chat, ChatRole::kTool, std::move(text));
  chat.messages.back().tool_call_id = std::move(id);
}

void add_assistant(ChatMessages& chat, AssistantTurn turn, bool open_end) {
  if (open_end)
    chat.prefill = turn.content.empty() && !turn.reasoning.empty() ? Prefill::kReasoning : Prefill::kContent;
  add_text(chat, ChatRole::kAssistant, std::move(turn.content));
  ChatMessage& message = chat.messages.back();
  message.reasoning_content = std::move(turn.reasoning);
  message.tool_calls = std::move(turn.calls);
  message.open_end = open_end;
}

ApiResult<std::string> system_text(const Json& system) {
  if (!system.is_array()) return joined_text(system, "system");
  std::string joined;
  for (size_t i = 0; i < system.size(); ++i) {
    auto block = read_block(system.as_array()[i], fmt::format("system[{}]", i));
    if (!block) return refuse(block.error());
    if (block->type != "text") return refuse(wrong_type(*block, "text"));
    auto text = block_text(*block);
    if (!text) return text;
    if (!text->starts_with(kBillingHeader)) append_paragraph(joined, *text);
  }
  return joined;
}

// Reads messages one by one.
class Conversation {
 public:
  explicit Conversation(std::string system) : system_(std::move(system)) {}

  ApiResult<void> add(const Json& message, size_t index, bool last) {
    const std::string path = fmt::format("messages[{}]", index);
    if (!message.is_object()) return refuse(bad_field(path, type_message(path, "an object", message)));
    FieldReader fields(message, path);
    auto role = required_text(fields, "role");
    if (!role) return refuse(role.error());
    const Json* content = fields.any("content");
    if (content == nullptr) return refuse(missing(fields, "content"));
    if (*role == "system") return add_system(*content, fields.path("content"), last);
    if (*role == "user") return add_user(*content, fields.path("content"));
    if (*role == "assistant") return add_assistant_blocks(*content, fields.path("content"));
    return refuse(
        bad_field(fields.path("role"), fmt::format("'{}' is '{}': expected user, assistant or system",
                                                   fields.path("role"), role->substr(0, 80))));
  }

  ApiResult<ChatMessages> take() {
    if (assistant_ && assistant_->calls.size() > 0) {
      return refuse(
          bad_field("messages", "'messages' ends with a tool_use: a tool_result with its id is to follow"));
    }
    end_assistant(true);
    if (!system_.empty()) {
      ChatMessages front;
      add_text(front, ChatRole::kSystem, std::move(system_));
      chat_.messages.insert(chat_.messages.begin(), std::move(front.messages.front()));
    }
    return std::move(chat_);
  }

 private:
  ApiResult<void> add_system(const Json& content, const std::string& path, bool last) {
    auto text = joined_text(content, path);
    if (!text) return refuse(text.error());
    if (chat_.messages.size() == 0 && !assistant_ && !last) {
      append_paragraph(system_, *text);
    } else {
      end_assistant(false);
      add_text(chat_, ChatRole::kUser, std::move(*text));
    }
    return {};
  }

  ApiResult<void> add_user(const Json& content, const std::string& path) {
    end_assistant(false);
    if (content.is_string()) {
      add_text(chat_, ChatRole::kUser, content.as_string());
      return {};
    }
    if (!content.is_array())
      return refuse(bad_field(path, type_message(path, "a string or an array of blocks", content)));
    const size_t before = chat_.messages.size();
    for (size_t i = 0; i < content.size(); ++i) {
      auto block = read_block(content.as_array()[i], fmt::format("{}[{}]", path, i));
      if (!block) return refuse(block.error());
      if (block->type == "tool_result") {
        if (auto result = add_tool_result(block->fields); !result) return result;
        continue;
      }
      if (!is_text(*block))
        return refuse(wrong_type(*block, "text, document or tool_result, since this model reads text only"));
      auto text = block_text(*block);
      if (!text) return refuse(text.error());
      if (!text->empty()) add_text(chat_, ChatRole::kUser, std::move(*text));
    }
    if (chat_.messages.size() == before) add_text(chat_, ChatRole::kUser, "");
    return {};
  }

  ApiResult<void> add_tool_result(FieldReader& fields) {
    auto id = required_text(fields, "tool_use_id");
    if (!id) return refuse(id.error());
    const bool failed = fields.boolean("is_error").value_or(false);
    if (fields.error()) return refuse(*fields.error());
    std::string text;
    if (const Json* content = fields.any("content")) {
      auto joined = joined_text(*content, fields.path("content"));
      if (!joined) return refuse(joined.error());
      text = std::move(*joined);
    }
    add_result(chat_, std::move(*id), failed ? "Error: " + text : std::move(text));
    return {};
  }

  ApiResult<void> add_assistant_blocks(const Json& content, const std::string& path) {
    if (!assistant_) assistant_.emplace();
    if (content.is_string()) {
      assistant_->content += content.as_string();
      return {};
    }
    if (!content.is_array())
      return refuse(bad_field(path, type_message(path, "a string or an array of blocks", content)));
    for (size_t i = 0; i < content.size(); ++i) {
      auto block = read_block(content.as_array()[i], fmt::format("{}[{}]", path, i));
      if (!block) return refuse(block.error());
      if (auto added = add_assistant_block(*block); !added) return added;
    }
    return {};
  }

  ApiResult<void> add_assistant_block(Block& block) {
    if (block.type == "redacted_thinking") return {};  // only its author can read it
    if (block.type == "text" || block.type == "thinking") {
      auto text = required_text(block.fields, block.type);
      if (!text) return refuse(text.error());
      if (block.type == "text") {
        assistant_->content += *text;  // texts of one message are cut where something was cited
      } else {
        append_paragraph(assistant_->reasoning, *text);
      }
      return {};
    }
    if (block.type != "tool_use")
      return refuse(wrong_type(block, "text, thinking, redacted_thinking or tool_use"));
    auto id = required_text(block.fields, "id");
    if (!id) return refuse(id.error());
    auto name = required_text(block.fields, "name");
    if (!name) return refuse(name.error());
    const Json* input = block.fields.object("input");
    if (block.fields.error()) return refuse(*block.fields.error());
    encoding::FunctionCall call{std::move(*id), std::move(*name), {}};
    if (input != nullptr) call.arguments = input->as_object();
    assistant_->calls.push_back(std::move(call));
    return {};
  }

  void end_assistant(bool open_end) {
    if (assistant_) add_assistant(chat_, std::move(*assistant_), open_end);
    assistant_.reset();
  }

  std::string system_;
  ChatMessages chat_;
  std::optional<AssistantTurn> assistant_;  // the turn that may go on with the next message
};

}  // namespace

ApiResult<ChatMessages> read_anthropic_messages(const Json* system, const Json& messages) {
  if (messages.size() == 0) return refuse(bad_field("messages", "'messages' is empty"));
  if (messages.size() > kMessagesMax) {
    return refuse(bad_field(
        "messages", fmt::format("'messages' has {} entries, more than {}", messages.size(), kMessagesMax)));
  }
  auto text = system != nullptr ? system_text(*system) : std::string();
  if (!text) return refuse(text.error());
  Conversation conversation(std::move(*text));
  for (size_t i = 0; i < messages.size(); ++i) {
    auto added = conversation.add(messages.as_array()[i], i, i + 1 == messages.size());
    if (!added) return refuse(added.error());
  }
  return conversation.take();
}

ApiResult<Json> read_anthropic_tools(const Json& tools) {
  if (tools.size() > kToolsMax) {
    return refuse(
        bad_field("tools", fmt::format("'tools' has {} entries, more than {}", tools.size(), kToolsMax)));
  }
  Json out = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    const Json& tool = tools.as_array()[i];
    if (!tool.is_object()) return refuse(bad_field(path, type_message(path, "an object", tool)));
    FieldReader fields(tool, path);
    if (const auto type = fields.text("type"); type && *type != "custom") {
      fields.refuse("type",
                    fmt::format("'{}' is '{}': this server has no tools of its own, so that each needs "
                                "a name and an input_schema (type custom)",
                                fields.path("type"), type->substr(0, 80)));
    }
    if (fields.error()) return refuse(*fields.error());
    auto name = required_text(fields, "name");
    if (!name) return refuse(name.error());
    const auto description = fields.text("description");
    const Json* schema = fields.object("input_schema");
    if (fields.error()) return refuse(*fields.error());
    if (name->empty()) return refuse(missing(fields, "name"));
    if (schema == nullptr) return refuse(missing(fields, "input_schema"));
    Json function = Json::object();
    function.set("name", std::move(*name));
    if (description) function.set("description", *description);
    function.set("parameters", *schema);
    Json entry = Json::object();
    entry.set("type", "function");
    if (fields.boolean("strict").value_or(false)) entry.set("strict", true);
    if (fields.error()) return refuse(*fields.error());
    entry.set("function", std::move(function));
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace ft::server
