#include "server/api/responses_input.h"

#include <optional>
#include <string_view>
#include <utility>

#include "encoding/chat_message.h"
#include "server/api/content_parts.h"
#include "server/generation/random_id.h"

namespace ft::server {
namespace {

using encoding::ChatMessage;
using encoding::ChatRole;
using encoding::Json;

constexpr std::string_view kParagraph = "\n\n";

class Conversation {
 public:
  Conversation(const ResponseStore* store, ResponsesTools& tools) : store_(store), tools_(tools) {}

  void add_text(ChatRole role, std::string text) {
    end_assistant();
    ChatMessage& message = chat_.messages.emplace_back();
    message.role = role;
    message.content = std::move(text);
  }

  // Takes an item, which a reference is replaced by.
  ApiResult<void> add(Json& item, const std::string& path) {
    if (auto found = resolve(item, path); !found) return found;
    if (!item.is_object()) return refuse(bad_field(path, type_message(path, "an object", item)));
    FieldReader fields(item, path);
    const std::string type = fields.text("type").value_or("message");
    if (fields.error()) return refuse(*fields.error());
    if (type == "message") return add_message(fields);
    if (type == "reasoning") return add_reasoning(fields);
    if (type == "function_call" || type == "custom_tool_call")
      return add_call(fields, type == "custom_tool_call");
    if (type == "function_call_output" || type == "custom_tool_call_output") return add_output(fields);
    if (type == "additional_tools") return add_tools(fields);
    return refuse(bad_field(fields.path("type"),
                            fmt::format("'{}' is '{}': expected message, reasoning, function_call, "
                                        "function_call_output, custom_tool_call, custom_tool_call_output, "
                                        "item_reference or additional_tools",
                                        fields.path("type"), type.substr(0, 80))));
  }

  ChatMessages take() {
    end_assistant();
    open_reply(chat_);
    return std::move(chat_);
  }

 private:
  ApiResult<void> resolve(Json& item, const std::string& path) {
    const Json& type = item.get("type");
    if (!type.is_string() || type.as_string() != "item_reference") return {};
    FieldReader fields(item, path);
    auto id = required_text(fields, "id");
    if (!id) return refuse(id.error());
    const auto kept = store_ != nullptr ? store_->item(*id) : std::nullopt;
    if (!kept) {
      ApiError error =
          bad_field(fields.path("id"), fmt::format("'{}' is '{}', but no such item is kept: send the item "
                                                   "itself",
                                                   fields.path("id"), id->substr(0, 80)));
      error.code = "item_not_found";
      return refuse(std::move(error));
    }
    item = *Json::parse(*kept);
    return {};
  }

  ApiResult<void> add_message(FieldReader& fields) {
    auto role = required_text(fields, "role");
    if (!role) return refuse(role.error());
    const Json* content = fields.any("content");
    if (content == nullptr) return refuse(missing(fields, "content"));
    auto text = content_text(*content, fields.path("content"), "\n");
    if (!text) return refuse(text.error());
    if (*role == "assistant") {
      ChatMessage& turn = assistant();
      if (!turn.content.empty() && !text->empty()) turn.content += kParagraph;
      turn.content += *text;
    } else if (*role == "user") {
      add_text(ChatRole::kUser, std::move(*text));
    } else if (*role == "system" || *role == "developer") {
      add_text(ChatRole::kSystem, std::move(*text));
    } else {
      return refuse(bad_field(fields.path("role"),
                              fmt::format("'{}' is '{}': expected system, developer, user or assistant",
                                          fields.path("role"), role->substr(0, 80))));
    }
    return {};
  }

  ApiResult<void> add_reasoning(FieldReader& fields) {
    std::string text;
    for (const char* name : {"content", "summary"}) {
      const Json* parts = fields.any(name);
      if (!text.empty() || parts == nullptr) continue;
      auto joined = content_text(*parts, fields.path(name), kParagraph);
      if (!joined) return refuse(joined.error());
      text = std::move(*joined);
    }
    const auto hidden = fields.text("encrypted_content");
    if (fields.error()) return refuse(*fields.error());
    if (text.empty()) text = hidden.value_or("");
    if (turn_ && (!turn_->content.empty() || !turn_->tool_calls.empty())) end_assistant();
    std::string& reasoning = assistant().reasoning_content;
    if (!reasoning.empty() && !text.empty()) reasoning += kParagraph;
    reasoning += text;
    return {};
  }

  ApiResult<void> add_call(FieldReader& fields, bool custom) {
    auto id = required_text(fields, "call_id");
    if (!id) return refuse(id.error());
    auto name = required_text(fields, "name");
    if (!name) return refuse(name.error());
    const auto name_space = fields.text("namespace");
    encoding::FunctionCall call;
    if (custom) {
      auto input = required_text(fields, "input");
      if (!input) return refuse(input.error());
      call.arguments.emplace_back(kCustomInput, std::move(*input));
    } else {
      const Json* given = fields.any("arguments");
      auto arguments = encoding::read_call_arguments(given != nullptr ? *given : Json());
      if (!arguments) {
        const std::string where = fields.path("arguments");
        return refuse(
            bad_field(where, fmt::format("'{}' cannot be read: {}", where, arguments.error().message)));
      }
      call.arguments = std::move(*arguments);
    }
    if (fields.error()) return refuse(*fields.error());
    call.id = std::move(*id);
    call.name = prompt_tool_name(name_space.value_or(""), *name);
    assistant().tool_calls.push_back(std::move(call));
    return {};
  }

  ApiResult<void> add_output(FieldReader& fields) {
    auto id = required_text(fields, "call_id");
    if (!id) return refuse(id.error());
    const Json* output = fields.any("output");
    std::string text;
    if (output != nullptr) {
      auto joined = content_text(*output, fields.path("output"), kParagraph);
      if (!joined) return refuse(joined.error());
      text = std::move(*joined);
    }
    add_text(ChatRole::kTool, std::move(text));
    chat_.messages.back().tool_call_id = std::move(*id);
    return {};
  }

  ApiResult<void> add_tools(FieldReader& fields) {
    const Json* list = fields.array("tools");
    if (fields.error()) return refuse(*fields.error());
    if (list == nullptr) return refuse(missing(fields, "tools"));
    return add_responses_tools(*list, fields.path("tools"), tools_);
  }

  ChatMessage& assistant() {
    if (!turn_) turn_.emplace().role = ChatRole::kAssistant;
    return *turn_;
  }
  void end_assistant() {
    if (turn_) chat_.messages.push_back(std::move(*turn_));
    turn_.reset();
  }

  const ResponseStore* store_;
  ResponsesTools& tools_;
  ChatMessages chat_;
  std::optional<ChatMessage> turn_;  // of the assistant, which may go on with the next item
};

// Items that were taken before.
ApiResult<void> add_history(const ResponseHistory& history, Conversation& conversation) {
  const std::string path = "previous_response_id";
  for (const auto& turn : history) {
    for (const auto* items : {&turn->input, &turn->output})
      for (const ResponseItem& kept : *items) {
        Json item = *Json::parse(kept.json);
        if (auto added = conversation.add(item, path); !added) return added;
      }
  }
  return {};
}

Json items_of(const Json& input) {
  if (input.is_array()) return input;
  Json message = Json::object();
  message.set("role", "user");
  message.set("content", input);
  Json items = Json::array();
  items.push_back(std::move(message));
  return items;
}

// An item of the request as it is kept: with an id, which clients need not give.
ResponseItem kept_item(Json item) {
  constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {{"reasoning", "rs_"},
                                                                         {"function_call", "fc_"},
                                                                         {"custom_tool_call", "ctc_"},
                                                                         {"function_call_output", "fco_"},
                                                                         {"custom_tool_call_output", "ctco_"},
                                                                         {"additional_tools", "at_"}};
  if (const Json& id = item.get("id"); !id.is_string() || id.as_string().empty()) {
    std::string_view prefix = "msg_";
    for (const auto& [type, other] : kPrefixes)
      if (item.get("type") == Json(type)) prefix = other;
    item.set("id", std::string(prefix) + random_hex(32));
  }
  return {item.get("id").as_string(), item.dump()};
}

}  // namespace

ApiResult<ResponsesInput> read_responses_input(const Json& input, const std::string& instructions,
                                               const ResponseHistory& history, const ResponseStore* store,
                                               ResponsesTools& tools) {
  if (!input.is_string() && !input.is_array())
    return refuse(bad_field("input", type_message("input", "a string or an array of items", input)));
  Json items = items_of(input);
  size_t total = items.size();
  for (const auto& turn : history) total += turn->input.size() + turn->output.size();
  if (total > kMessagesMax)
    return refuse(bad_field("input", fmt::format("'input' and what it continues have {} items, more than {}",
                                                 total, kMessagesMax)));
  if (items.size() == 0 && history.empty() && instructions.empty())
    return refuse(bad_field("input", "'input' is empty"));
  Conversation conversation(store, tools);
  if (!instructions.empty()) conversation.add_text(ChatRole::kSystem, instructions);
  if (auto added = add_history(history, conversation); !added) return refuse(added.error());
  for (size_t i = 0; i < items.size(); ++i) {
    auto added = conversation.add(items.as_array()[i], fmt::format("input[{}]", i));
    if (!added) return refuse(added.error());
  }
  ResponsesInput out{conversation.take(), {}};
  for (Json& item : items.as_array()) out.own_items.push_back(kept_item(std::move(item)));
  return out;
}

}  // namespace ft::server
