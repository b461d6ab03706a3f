#include "server/api/openai_chat.h"

#include <utility>

#include "server/api/job_parts.h"
#include "server/api/openai_chat_writer.h"
#include "server/api/tool_grammar.h"

namespace ft::server {
namespace {

using encoding::Json;

void read_modalities(FieldReader& fields) {
  const Json* list = fields.array("modalities");
  if (list == nullptr) return;
  for (const Json& entry : list->as_array())
    if (!entry.is_string() || entry.as_string() != "text")
      fields.refuse("modalities", "'modalities' can be [\"text\"] only");
}

// vLLM's pair of switches: without a new turn of the assistant, its last one has to go on.
bool read_continuation(FieldReader& fields) {
  const bool continued = fields.boolean("continue_final_message").value_or(false);
  const bool opened = fields.boolean("add_generation_prompt").value_or(!continued);
  if (fields.ok() && opened == continued)
    fields.refuse("add_generation_prompt",
                  "'add_generation_prompt' must be the opposite of 'continue_final_message'");
  return continued;
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
  const ToolChoice choice = read_tool_choice(fields);
  const Json* tools = fields.array("tools");
  const bool continued = read_continuation(fields);
  const Json* messages = fields.array("messages");
  if (messages == nullptr && fields.ok()) fields.refuse("messages", "'messages' is missing");
  if (!fields.ok()) return refuse(*fields.error());

  auto read = read_messages(*messages, continued);
  if (!read) return refuse(read.error());
  request.messages = std::move(read->messages);
  request.prefill = read->prefill;
  if (tools != nullptr) {
    if (auto checked = check_tools(*tools); !checked) return refuse(checked.error());
    request.tools_offered = choice.mode != ToolChoice::Mode::kNone && tools->size() > 0;
    if (request.tools_offered) attach_tools(request.messages, *tools);
  }
  if (auto bound = bind_tools(tools, choice, request); !bound) return refuse(bound.error());
  if (auto checked = check_output_format(request); !checked) return refuse(checked.error());
  return request;
}

ApiResult<GenerationJob> openai_chat_job(const ApiCall& call) {
  auto parsed = parse_chat_request(call.body, call.defaults);
  if (!parsed) return refuse(parsed.error());
  auto job = chat_job(call, *parsed, "chatcmpl-");
  if (!job) return job;
  const RequestParams& params = parsed->params;
  job->writer = openai_chat_writer(head_of(call, params, *job), extras_of(call, params),
                                   *call.model.tokenizer, parsed->logprobs, parsed->thinking);
  return job;
}

}  // namespace ft::server
