#include "server/api/chat_request.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace ft::server {
namespace {

using encoding::Json;

// Reads `name` of `fields` as an effort; "none" decides on thinking where nothing else did.
void read_effort(FieldReader& fields, std::string_view name, std::optional<bool>& thinking,
                 ChatRequest& request) {
  const auto effort = fields.text(name);
  if (!effort) return;
  if (*effort == "none") {
    if (!thinking) thinking = false;
    return;
  }
  request.effort = canonical_effort(*effort);
  if (request.effort) return;
  fields.refuse(name,
                fmt::format("'{}' is '{}': expected none, minimal, low, medium, high, xhigh, max or ultra",
                            fields.path(name), effort->substr(0, 40)));
}

// A member that is not known is refused: it is meant for a template, and would change the prompt.
void refuse_unknown(FieldReader& reader, const Json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.as_object())
    if (std::find(known.begin(), known.end(), key) == known.end() && !value.is_null())
      reader.refuse(key, fmt::format("'{}' is not supported", reader.path(key)));
}

void read_type(FieldReader& fields, const Json& object, std::optional<bool>& thinking) {
  FieldReader reader(object, fields.path("thinking"));
  const auto type = reader.text("type");
  if (type && (*type == "enabled" || *type == "adaptive" || *type == "disabled")) {
    thinking = *type != "disabled";
  } else if (reader.ok()) {
    reader.refuse("type", "'thinking.type' must be 'enabled', 'adaptive' or 'disabled'");
  }
  if (reader.error()) fields.refuse(*reader.error());
}

void read_template_kwargs(FieldReader& fields, const Json& object, std::optional<bool>& thinking,
                          ChatRequest& request) {
  FieldReader reader(object, fields.path("chat_template_kwargs"));
  for (const char* name : {"thinking", "enable_thinking"}) {
    const auto value = reader.boolean(name);
    if (!thinking) thinking = value;
  }
  if (const auto mode = reader.text("thinking_mode")) {
    if (*mode != "thinking" && *mode != "chat")
      reader.refuse("thinking_mode", fmt::format("'{}' is '{}': expected thinking or chat",
                                                 reader.path("thinking_mode"), mode->substr(0, 40)));
    if (!thinking) thinking = *mode == "thinking";
  }
  read_effort(reader, "reasoning_effort", thinking, request);
  request.drop_thinking = reader.boolean("drop_thinking").value_or(true);
  refuse_unknown(reader, object,
                 {"thinking", "enable_thinking", "thinking_mode", "reasoning_effort", "drop_thinking"});
  if (reader.error()) fields.refuse(*reader.error());
}

}  // namespace

bool begins_with_reasoning(const ChatRequest& request) {
  if (!request.thinking || request.prefill == Prefill::kContent) return false;
  const auto task = request.messages.empty() ? std::nullopt : request.messages.back().task;
  return !task || *task == encoding::QuickTask::kAction;
}

std::optional<std::string> canonical_effort(std::string_view effort) {
  if (effort == "minimal" || effort == "low") return "low";
  if (effort == "medium" || effort == "high" || effort == "xhigh") return "high";
  if (effort == "max" || effort == "ultra") return "max";
  return std::nullopt;
}

void read_thinking(FieldReader& fields, const RequestDefaults& defaults, ChatRequest& request) {
  std::optional<bool> thinking;
  if (const Json* object = fields.object("thinking")) read_type(fields, *object, thinking);
  if (const auto value = fields.boolean("enable_thinking"); !thinking) thinking = value;
  if (const Json* object = fields.object("chat_template_kwargs"))
    read_template_kwargs(fields, *object, thinking, request);
  if (const Json* object = fields.object("reasoning")) {
    FieldReader reader(*object, fields.path("reasoning"));
    if (const auto value = reader.boolean("enabled"); !thinking) thinking = value;
    read_effort(reader, "effort", thinking, request);
    // Summaries are the Responses API's; which old reasoning is kept is the format's matter.
    refuse_unknown(reader, *object, {"enabled", "effort", "summary", "generate_summary", "context"});
    if (reader.error()) fields.refuse(*reader.error());
  }
  read_effort(fields, "reasoning_effort", thinking, request);
  request.thinking = thinking.value_or(defaults.thinking);
}

ApiResult<void> check_output_format(const ChatRequest& request) {
  const OutputFormat& format = request.params.format;
  if (format.grammar == nullptr) return {};
  if (request.prefill == Prefill::kContent)
    return refuse(
        bad_field(request.field, fmt::format("a last message of the assistant that is continued begins the "
                                             "answer, which '{}' must do",
                                             format.field)));
  return {};
}

}  // namespace ft::server
