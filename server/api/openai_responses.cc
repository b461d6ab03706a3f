#include "server/api/openai_responses.h"

#include <algorithm>
#include <utility>

#include "server/api/job_parts.h"
#include "server/api/prompt.h"
#include "server/api/responses_input.h"
#include "server/api/responses_writer.h"
#include "server/api/tool_grammar.h"

namespace ft::server {
namespace {

using encoding::Json;
using enum FieldEffect;

constexpr RequestField kFields[] = {
    {"model", kActs, "any name is answered; the served ones are in /v1/models"},
    {"input", kActs, "text or items, below"},
    {"instructions", kActs, "a system message before all"},
    {"previous_response_id", kActs, "of a reply that is still kept"},
    {"store", kActs, "false: the reply is not kept; --response-store-mib bounds all that are"},
    {"max_output_tokens", kActs, ""},
    {"stream", kActs, ""},
    {"tools", kActs, "functions, custom tools, namespaces of them; web_search and tool_search are left out"},
    {"tool_choice", kActs, "none, auto, required, a function, allowed_tools"},
    {"parallel_tool_calls", kActs, ""},
    {"reasoning", kActs, "effort as reasoning_effort of chats; summary: reasoning is shown as one, too"},
    {"reasoning_effort", kActs, "another name for reasoning.effort"},
    {"thinking", kActs, "type enabled, adaptive or disabled"},
    {"enable_thinking", kActs, ""},
    {"chat_template_kwargs", kActs, "as in chats"},
    {"text", kActs, "format text, json_object or json_schema; verbosity has no effect"},
    {"include", kActs, "message.output_text.logprobs, reasoning.encrypted_content; others have no effect"},
    {"top_logprobs", kActs, ""},
    {"stop", kActs, ""},
    {"include_speculation", kActs, "adds metrics.speculative_decoding"},
    {"metadata", kNone, "shown again"},
    {"user", kNone, ""},
    {"safety_identifier", kNone, ""},
    {"service_tier", kNone, ""},
    {"prompt_cache_key", kNone, "prefixes are shared by all"},
    {"prompt_cache_retention", kNone, ""},
    {"client_metadata", kNone, ""},
    {"truncation", kNone, "what does not fit is refused"},
    {"max_tool_calls", kNone, "it counts calls of tools that this server does not have"},
    {"stream_options", kNone, ""},
    {"background", kRefused, ""},
    {"conversation", kRefused, "use previous_response_id"},
    {"prompt", kRefused, "this server keeps no templates"},
    {"messages", kRefused, "use input"},
    {"max_tokens", kRefused, "use max_output_tokens"},
    {"response_format", kRefused, "use text.format"},
    {"logprobs", kRefused, "use top_logprobs"},
    {"n", kRefused, "a response has one"},
    {"guided_json", kRefused, "use text.format"},
    {"guided_regex", kRefused, "the output would not be constrained"},
    {"guided_choice", kRefused, "the output would not be constrained"},
    {"structured_outputs", kRefused, "use text.format"},
};

void read_text(FieldReader& fields, RequestParams& params) {
  const Json* text = fields.object("text");
  if (text == nullptr) return;
  FieldReader reader(*text, fields.path("text"));
  reader.text("verbosity");
  params.format = read_format_object(reader, "format");
  if (reader.error()) fields.refuse(*reader.error());
  check_ignore_eos(fields, params);
}

// Clients name tools as they gave them, the prompt names them with their namespaces.
void name_as_in_prompt(const ResponsesTools& tools, ToolChoice& choice) {
  for (std::string& name : choice.names) {
    const auto tool = std::ranges::find(tools.offered, name, &ResponsesTool::name);
    if (tool != tools.offered.end()) name = tool->prompt_name;
  }
}

void read_include(FieldReader& fields, ResponsesRequest& request) {
  if (const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax)) {
    request.chat.top_logprobs = static_cast<int>(*top);
    request.chat.logprobs = *top > 0;
  }
  const Json* include = fields.array("include");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    const Json& entry = include->as_array()[i];
    const std::string path = fmt::format("{}[{}]", fields.path("include"), i);
    if (!entry.is_string()) return fields.refuse(bad_field(path, type_message(path, "a string", entry)));
    if (entry.as_string() == "message.output_text.logprobs") request.chat.logprobs = true;
    if (entry.as_string() == "reasoning.encrypted_content") request.encrypted = true;
  }
}

bool wants_summary(FieldReader& fields) {
  const Json* reasoning = fields.object("reasoning");
  if (reasoning == nullptr) return false;
  FieldReader reader(*reasoning, fields.path("reasoning"));
  const auto summary = reader.text("summary");
  const auto older = reader.text("generate_summary");
  if (reader.error()) fields.refuse(*reader.error());
  return summary.has_value() || older.has_value();
}

RequestParams read_params(FieldReader& fields, const RequestDefaults& defaults) {
  RequestParams params;
  params.model = fields.text("model").value_or("");
  params.max_tokens = read_token_limit(fields, "max_output_tokens");
  params.stream = fields.boolean("stream").value_or(false);
  params.include_speculation = fields.boolean("include_speculation").value_or(false);
  read_sampling(fields, defaults, params.sampling);
  read_stop_strings(fields, "stop", params);
  read_engine_params(fields, defaults, params);
  return params;
}

ApiResult<ResponseHistory> read_history(FieldReader& fields, const ResponseStore* store) {
  const auto id = fields.text("previous_response_id");
  if (fields.error()) return refuse(*fields.error());
  if (!id || id->empty()) return ResponseHistory();
  auto history = store != nullptr ? store->history(*id) : std::nullopt;
  if (history) return std::move(*history);
  ApiError error = bad_field("previous_response_id",
                             fmt::format("'previous_response_id' is '{}', but no such reply is kept: send "
                                         "the conversation as input",
                                         id->substr(0, 80)));
  error.code = "previous_response_not_found";
  return refuse(std::move(error));
}

// Members of the response that repeat the request.
std::string echo_of(const Json& body, const ResponsesRequest& request) {
  const ChatRequest& chat = request.chat;
  const auto given = [&](std::string_view name, std::string_view otherwise) {
    const Json& value = body.get(name);
    return value.is_null() ? std::string(otherwise) : value.dump();
  };
  Json reasoning = Json::object();
  const Json& asked = body.get("reasoning");
  reasoning.set("effort", asked.get("effort"));
  reasoning.set("summary", asked.get("summary"));
  Json text = Json::object();
  Json format = Json::object();
  format.set("type", "text");
  const Json& asked_format = body.get("text").get("format");
  text.set("format", asked_format.is_object() && asked_format.size() > 0 ? asked_format : std::move(format));
  text.set("verbosity",
           body.get("text").contains("verbosity") ? body.get("text").get("verbosity") : Json("medium"));
  Json out = Json::object();
  out.set("max_output_tokens", chat.params.max_tokens ? Json(*chat.params.max_tokens) : Json());
  out.set("parallel_tool_calls", chat.parallel_tool_calls);
  out.set("reasoning", std::move(reasoning));
  out.set("service_tier", "default");
  out.set("store", request.store);
  out.set("temperature", chat.params.sampling.temperature);
  out.set("text", std::move(text));
  out.set("top_logprobs", static_cast<int64_t>(chat.top_logprobs));
  out.set("top_p", chat.params.sampling.top_p);
  out.set("truncation", "disabled");
  const std::string set = out.dump();
  std::string members = ",";
  members += std::string_view(set).substr(1, set.size() - 2);
  for (const auto& [name, otherwise] :
       {std::pair{"instructions", "null"}, std::pair{"max_tool_calls", "null"}, std::pair{"metadata", "{}"},
        std::pair{"previous_response_id", "null"}, std::pair{"prompt_cache_key", "null"},
        std::pair{"safety_identifier", "null"}, std::pair{"tool_choice", R"("auto")"},
        std::pair{"tools", "[]"}, std::pair{"user", "null"}})
    members += fmt::format(R"(,"{}":{})", name, given(name, otherwise));
  return members;
}

}  // namespace

std::span<const RequestField> openai_responses_fields() {
  static const std::vector<RequestField> fields = with_sampling_fields(kFields);
  return fields;
}

ApiResult<ResponsesRequest> parse_responses_request(const Json& body, const RequestDefaults& defaults,
                                                    const ResponseStore* store) {
  if (auto known = check_fields(body, openai_responses_fields()); !known) return refuse(known.error());
  FieldReader fields(body);
  ResponsesRequest request;
  ChatRequest& chat = request.chat;
  chat.field = "input";
  chat.params = read_params(fields, defaults);
  read_thinking(fields, defaults, chat);
  read_text(fields, chat.params);
  read_include(fields, request);
  request.summary = wants_summary(fields);
  request.store = fields.boolean("store").value_or(true);
  chat.parallel_tool_calls = fields.boolean("parallel_tool_calls").value_or(true);
  ToolChoice choice = read_tool_choice(fields);
  const auto instructions = fields.text("instructions");
  const Json* tools = fields.array("tools");
  const Json* input = fields.any("input");
  const Json none = Json::array();
  auto history = read_history(fields, store);
  if (!history) return refuse(history.error());
  request.history = std::move(*history);

  if (tools != nullptr) {
    if (auto added = add_responses_tools(*tools, "tools", request.tools); !added)
      return refuse(added.error());
  }
  auto read = read_responses_input(input != nullptr ? *input : none, instructions.value_or(""),
                                   request.history, store, request.tools);
  if (!read) return refuse(read.error());
  chat.messages = std::move(read->chat.messages);
  request.input = std::move(read->own_items);
  chat.tools_offered = choice.mode != ToolChoice::Mode::kNone && request.tools.functions.size() > 0;
  if (chat.tools_offered) attach_tools(chat.messages, request.tools.functions);
  name_as_in_prompt(request.tools, choice);
  if (auto bound = bind_tools(&request.tools.functions, choice, chat); !bound) return refuse(bound.error());
  if (auto checked = check_output_format(chat); !checked) return refuse(checked.error());
  return request;
}

ApiResult<GenerationJob> openai_responses_job(const ApiCall& call) {
  auto request = parse_responses_request(call.body, call.defaults, call.responses);
  if (!request) return refuse(request.error());
  const ChatRequest& chat = request->chat;
  auto job = chat_job(call, chat, "resp_");
  if (!job) return job;
  std::string echo = echo_of(call.body, *request);
  ResponsesKeeping keeping;
  if (request->store) {
    keeping = {call.responses, std::move(request->history), std::move(request->input)};
  }
  job->writer = responses_writer(head_of(call, chat.params, *job), extras_of(call, chat.params),
                                 {std::move(request->tools), request->summary, request->encrypted,
                                  chat.logprobs, call.model.tokenizer.get()},
                                 std::move(echo), std::move(keeping));
  return job;
}

ApiResult<Json> openai_responses_count(const ApiCall& call) {
  auto request = parse_responses_request(call.body, call.defaults, call.responses);
  if (!request) return refuse(request.error());
  auto tokens = chat_prompt(call.model, request->chat);
  if (!tokens) return refuse(tokens.error());
  Json json = Json::object();
  json.set("object", "response.input_tokens");
  json.set("input_tokens", static_cast<int64_t>(tokens->size()));
  return json;
}

}  // namespace ft::server
