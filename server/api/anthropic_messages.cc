#include "server/api/anthropic_messages.h"

#include <utility>

#include "server/api/anthropic_content.h"
#include "server/api/anthropic_writer.h"
#include "server/api/job_parts.h"
#include "server/api/prompt.h"
#include "server/api/tool_grammar.h"

namespace ft::server {
namespace {

using encoding::Json;
using enum FieldEffect;

constexpr RequestField kFields[] = {
    {"model", kActs, "any name is answered; the served ones are in /v1/models"},
    {"messages", kActs,
     "text, thinking, tool_use, tool_result and plain-text documents; a last one of the assistant is "
     "continued"},
    {"system", kActs, "text or text blocks"},
    {"max_tokens", kActs, "may be absent"},
    {"stream", kActs, ""},
    {"thinking", kActs,
     "type enabled, adaptive or disabled (so it is without); display; budget_tokens is checked, but effort "
     "decides"},
    {"output_config", kActs,
     "effort low, medium, high, xhigh, max; format json_schema: docs/structured_output.md"},
    {"output_format", kActs, "as output_config.format"},
    {"tools", kActs,
     "with an input_schema, which is enforced where a call is required or the tool is strict; tools of "
     "Anthropic's "
     "servers are refused"},
    {"tool_choice", kActs, "auto, any, tool, none; disable_parallel_tool_use"},
    {"stop_sequences", kActs, ""},
    {"metadata", kNone, ""},
    {"service_tier", kNone, ""},
    {"cache_control", kNone, "prefixes are found without it"},
    {"context_management", kNone, "the format drops old thinking by itself"},
    {"inference_geo", kNone, ""},
    {"speed", kNone, ""},
    {"container", kRefused, "this server runs no code"},
    {"mcp_servers", kRefused, "this server calls no others"},
    {"stop", kRefused, "use stop_sequences"},
    {"response_format", kRefused, "use output_config.format"},
    {"reasoning_effort", kRefused, "use output_config.effort"},
};

void read_thinking(FieldReader& fields, AnthropicRequest& request) {
  request.chat.thinking = false;
  const Json* object = fields.object("thinking");
  if (object == nullptr) return;
  FieldReader reader(*object, fields.path("thinking"));
  const auto type = reader.text("type");
  if (type && (*type == "enabled" || *type == "adaptive")) {
    request.chat.thinking = true;
  } else if (reader.ok() && (!type || *type != "disabled")) {
    reader.refuse("type", "'thinking.type' must be 'enabled', 'adaptive' or 'disabled'");
  }
  reader.integer("budget_tokens", kThinkingBudgetMin, INT64_MAX);
  const auto display = reader.text("display");
  request.show_thinking = display != "omitted";
  if (display && *display != "omitted" && *display != "summarized")
    reader.refuse("display", "'thinking.display' must be 'summarized' or 'omitted'");
  if (reader.error()) fields.refuse(*reader.error());
}

void read_output_config(FieldReader& fields, ChatRequest& request) {
  const Json* object = fields.object("output_config");
  if (object == nullptr) return;
  FieldReader reader(*object, fields.path("output_config"));
  if (const auto effort = reader.text("effort")) {
    request.effort = canonical_effort(*effort);
    if (!request.effort)
      reader.refuse("effort",
                    fmt::format("'output_config.effort' is '{}': expected low, medium, high, xhigh or max",
                                effort->substr(0, 40)));
  }
  request.params.format = read_format_object(reader, "format");
  if (reader.error()) fields.refuse(*reader.error());
}

}  // namespace

std::span<const RequestField> anthropic_messages_fields() {
  static const std::vector<RequestField> fields = with_sampling_fields(kFields);
  return fields;
}

ApiResult<AnthropicRequest> parse_anthropic_request(const Json& body, const RequestDefaults& defaults) {
  if (auto known = check_fields(body, anthropic_messages_fields()); !known) return refuse(known.error());
  FieldReader fields(body);
  AnthropicRequest request;
  ChatRequest& chat = request.chat;
  chat.params.model = fields.text("model").value_or("");
  chat.params.max_tokens = fields.integer("max_tokens", 1, INT32_MAX);
  chat.params.stream = fields.boolean("stream").value_or(false);
  read_sampling(fields, defaults, chat.params.sampling);
  read_stop_strings(fields, "stop_sequences", chat.params);
  read_engine_params(fields, defaults, chat.params);
  read_thinking(fields, request);
  read_output_config(fields, chat);
  if (OutputFormat format = read_format_object(fields, "output_format"); format.grammar != nullptr) {
    if (chat.params.format.grammar != nullptr)
      fields.refuse("output_format",
                    "'output_format' and 'output_config.format' both say what the answer looks like");
    chat.params.format = std::move(format);
  }
  check_ignore_eos(fields, chat.params);
  const ToolChoice choice = read_anthropic_tool_choice(fields, chat.parallel_tool_calls);
  const Json* tools = fields.array("tools");
  const Json* messages = fields.array("messages");
  if (messages == nullptr && fields.ok()) fields.refuse("messages", "'messages' is missing");
  if (!fields.ok()) return refuse(*fields.error());

  auto read = read_anthropic_messages(fields.any("system"), *messages);
  if (!read) return refuse(read.error());
  chat.messages = std::move(read->messages);
  chat.prefill = read->prefill;
  Json functions = Json::array();
  if (tools != nullptr) {
    auto checked = read_anthropic_tools(*tools);
    if (!checked) return refuse(checked.error());
    functions = std::move(*checked);
    chat.tools_offered = choice.mode != ToolChoice::Mode::kNone && functions.size() > 0;
    if (chat.tools_offered) attach_tools(chat.messages, functions);
  }
  if (auto bound = bind_tools(&functions, choice, chat); !bound) return refuse(bound.error());
  if (auto checked = check_output_format(chat); !checked) return refuse(checked.error());
  return request;
}

ApiResult<GenerationJob> anthropic_messages_job(const ApiCall& call) {
  auto request = parse_anthropic_request(call.body, call.defaults);
  if (!request) return refuse(request.error());
  auto job = chat_job(call, request->chat, "msg_");
  if (!job) return job;
  job->writer = anthropic_writer({.id = job->id,
                                  .model = head_of(call, request->chat.params, *job).model,
                                  .request_id = call.request.id,
                                  .prompt_tokens = static_cast<int64_t>(job->prompts.front().tokens.size()),
                                  .show_thinking = request->show_thinking});
  return job;
}

ApiResult<Json> anthropic_count(const ApiCall& call) {
  auto request = parse_anthropic_request(call.body, call.defaults);
  if (!request) return refuse(request.error());
  auto tokens = chat_prompt(call.model, request->chat);
  if (!tokens) return refuse(tokens.error());
  Json json = Json::object();
  json.set("input_tokens", static_cast<int64_t>(tokens->size()));
  return json;
}

}  // namespace ft::server
