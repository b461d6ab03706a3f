#include "server/chat_request.h"

#include <utility>

namespace ft::server {
namespace {

using encoding::Json;

// The level names of DeepSeek's and OpenAI's APIs (encoding.md section 11).
std::optional<std::string> canonical_effort(const std::string& effort) {
  if (effort == "minimal" || effort == "low") return "low";
  if (effort == "medium" || effort == "high" || effort == "xhigh") return "high";
  if (effort == "max" || effort == "ultra") return "max";
  return std::nullopt;
}

void read_thinking(FieldReader& fields, const RequestDefaults& defaults, ChatRequest& request) {
  std::optional<bool> thinking;
  if (const Json* object = fields.object("thinking")) {
    FieldReader reader(*object, fields.path("thinking"));
    const auto type = reader.text("type");
    if (type && (*type == "enabled" || *type == "disabled")) {
      thinking = *type == "enabled";
    } else if (reader.ok()) {
      reader.refuse("type", "'thinking.type' must be 'enabled' or 'disabled'");
    }
    if (reader.error()) fields.refuse(*reader.error());
  }
  if (const Json* object = fields.object("chat_template_kwargs")) {
    FieldReader reader(*object, fields.path("chat_template_kwargs"));
    for (const char* name : {"thinking", "enable_thinking"}) {
      const auto value = reader.boolean(name);
      if (!thinking) thinking = value;
    }
    if (reader.error()) fields.refuse(*reader.error());
  }
  if (const auto effort = fields.text("reasoning_effort")) {
    request.effort = canonical_effort(*effort);
    if (*effort == "none") {
      if (!thinking) thinking = false;
    } else if (!request.effort) {
      fields.refuse(
          "reasoning_effort",
          fmt::format("'reasoning_effort' is '{}': expected none, minimal, low, medium, high, xhigh, "
                      "max or ultra",
                      *effort));
    }
  }
  request.thinking = thinking.value_or(defaults.thinking);
}

// What the format has no marker for is refused until it can be enforced.
bool read_tool_choice(FieldReader& fields) {
  const Json* choice = fields.any("tool_choice");
  if (choice == nullptr) return true;
  if (choice->is_string() && choice->as_string() == "none") return false;
  if (choice->is_string() && choice->as_string() == "auto") return true;
  if (choice->is_object() || (choice->is_string() && choice->as_string() == "required")) {
    fields.refuse("tool_choice",
                  "'tool_choice' can be 'auto' or 'none': forcing a call ('required' or a named "
                  "function) is not supported yet");
  } else {
    fields.refuse("tool_choice", "'tool_choice' must be 'auto', 'none', 'required' or an object");
  }
  return true;
}

void read_logprobs(FieldReader& fields, ChatRequest& request) {
  request.logprobs = fields.boolean("logprobs").value_or(false);
  if (const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax)) {
    request.top_logprobs = static_cast<int>(*top);
    if (!request.logprobs && *top > 0) fields.refuse("top_logprobs", "'top_logprobs' needs 'logprobs': true");
  }
}

}  // namespace

ApiResult<ChatRequest> parse_chat_request(const Json& body, const RequestDefaults& defaults) {
  FieldReader fields(body);
  ChatRequest request;
  request.params = read_request_params(fields, defaults);
  read_thinking(fields, defaults, request);
  read_logprobs(fields, request);
  request.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  const bool choice = read_tool_choice(fields);
  const Json* tools = fields.array("tools");
  for (const char* name : {"functions", "function_call"}) {
    if (fields.any(name) != nullptr) {
      fields.refuse(name, fmt::format("'{}' is OpenAI's older form: use 'tools' and 'tool_choice'", name));
    }
  }
  const Json* messages = fields.array("messages");
  if (messages == nullptr && fields.ok()) fields.refuse("messages", "'messages' is missing");
  if (!fields.ok()) return refuse(*fields.error());

  auto read = read_messages(*messages);
  if (!read) return refuse(read.error());
  request.messages = std::move(read->messages);
  request.prefill = read->prefill;
  if (tools != nullptr) {
    if (auto checked = check_tools(*tools); !checked) return refuse(checked.error());
    request.tools_offered = choice && tools->size() > 0;
    if (request.tools_offered) attach_tools(request.messages, *tools);
  }
  return request;
}

}  // namespace ft::server
