#include "server/api/openai_chat.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "server/api/job_parts.h"
#include "server/api/openai_chat_writer.h"
#include "server/api/prompt.h"

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
  if (const auto value = fields.boolean("enable_thinking"); !thinking) thinking = value;
  if (const Json* object = fields.object("chat_template_kwargs")) {
    FieldReader reader(*object, fields.path("chat_template_kwargs"));
    for (const char* name : {"thinking", "enable_thinking"}) {
      const auto value = reader.boolean(name);
      if (!thinking) thinking = value;
    }
    refuse_unknown(reader, *object, {"thinking", "enable_thinking"});
    if (reader.error()) fields.refuse(*reader.error());
  }
  if (const Json* object = fields.object("reasoning")) {
    FieldReader reader(*object, fields.path("reasoning"));
    if (const auto value = reader.boolean("enabled"); !thinking) thinking = value;
    read_effort(reader, "effort", thinking, request);
    refuse_unknown(reader, *object, {"enabled", "effort"});
    if (reader.error()) fields.refuse(*reader.error());
  }
  read_effort(fields, "reasoning_effort", thinking, request);
  request.thinking = thinking.value_or(defaults.thinking);
}

void read_modalities(FieldReader& fields) {
  const Json* list = fields.array("modalities");
  if (list == nullptr) return;
  for (const Json& entry : list->as_array())
    if (!entry.is_string() || entry.as_string() != "text")
      fields.refuse("modalities", "'modalities' can be [\"text\"] only");
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
  if (auto known = check_fields(body, openai_chat_fields()); !known) return refuse(known.error());
  FieldReader fields(body);
  ChatRequest request;
  request.params = read_request_params(fields, defaults);
  read_thinking(fields, defaults, request);
  read_logprobs(fields, request);
  read_modalities(fields);
  request.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  const bool choice = read_tool_choice(fields);
  const Json* tools = fields.array("tools");
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
  const OutputFormat& format = request.params.format;
  if (format.grammar != nullptr && request.tools_offered)
    return refuse(
        bad_field("tools", fmt::format("'tools' beside '{}' are not supported yet: with tool_choice 'none' "
                                       "the answer has that form",
                                       format.field)));
  if (format.grammar != nullptr && request.prefill == Prefill::kContent)
    return refuse(
        bad_field("messages", fmt::format("a last message with prefix: true begins the answer, which '{}' "
                                          "must do",
                                          format.field)));
  return request;
}

ApiResult<GenerationJob> openai_chat_job(const ApiCall& call) {
  auto parsed = parse_chat_request(call.body, call.defaults);
  if (!parsed) return refuse(parsed.error());
  const RequestParams& params = parsed->params;
  if (auto fits = check_choices(static_cast<size_t>(params.choices), call.defaults, "n"); !fits)
    return refuse(fits.error());
  auto prompt = chat_prompt(call.model, *parsed);
  if (!prompt) return refuse(prompt.error());
  const auto limit = completion_limit(call.model, params, static_cast<int64_t>(prompt->size()), "messages");
  if (!limit) return refuse(limit.error());

  GenerationJob job = job_of(call, params, "chatcmpl-", parsed->logprobs ? parsed->top_logprobs : -1);
  job.prompts.push_back({std::move(*prompt), *limit});
  job.choice.parser.thinking = parsed->thinking && parsed->prefill != Prefill::kContent;
  bind_format(call, params.format, job.choice.parser.thinking, job);
  job.choice.parser.tools_offered = parsed->tools_offered;
  job.choice.parser.eos_in_text = false;
  job.choice.single_call = !parsed->parallel_tool_calls;
  job.writer = openai_chat_writer(head_of(call, params, job), extras_of(call, params), *call.model.tokenizer,
                                  parsed->logprobs, parsed->thinking);
  return job;
}

}  // namespace ft::server
