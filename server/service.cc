#include "server/service.h"

#include <algorithm>
#include <utility>

#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/log.h"
#include "server/prompt.h"
#include "server/random_id.h"
#include "server/reply_log.h"
#include "server/tokenize_api.h"
#include "server/version.h"

namespace ft::server {
namespace {

using encoding::Json;

bool generates(Endpoint endpoint) {
  return endpoint == Endpoint::kChatCompletions || endpoint == Endpoint::kCompletions;
}

bool takes_body(Endpoint endpoint) {
  return generates(endpoint) || endpoint == Endpoint::kTokenize || endpoint == Endpoint::kDetokenize;
}

// Open to everybody: what supervisors, scrapers and browsers ask before they have a key.
bool is_public(Endpoint endpoint) {
  return endpoint == Endpoint::kHealth || endpoint == Endpoint::kMetrics || endpoint == Endpoint::kVersion ||
         endpoint == Endpoint::kPreflight || endpoint == Endpoint::kNotFound ||
         endpoint == Endpoint::kMethodNotAllowed;
}

// Time does not depend on where the texts differ, so that keys cannot be guessed byte by byte.
bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// "localhost" of "localhost:8000", "[::1]" of "[::1]:8000".
std::string host_name(std::string_view host) {
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return lower(host.substr(0, colon));
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

// Only a JSON type makes a browser ask before it sends a request for a page of another origin, so that is
// what requests with an Origin need. Others may leave the type out, or send the one that curl -d claims when
// it is not told otherwise: whether the body is JSON shows when it is read.
ApiResult<void> check_content_type(const HttpRequest& request) {
  const std::string_view given = request.header("content-type");
  const std::string type = lower(given.substr(0, given.find(';')));
  const size_t end = type.find_last_not_of(" \t");
  const std::string_view trimmed(type.data(), end == std::string::npos ? 0 : end + 1);
  if (trimmed == "application/json" || trimmed.ends_with("+json")) return {};
  const bool from_browser = !request.header("origin").empty();
  if (!from_browser && (trimmed.empty() || trimmed == "application/x-www-form-urlencoded")) return {};
  return refuse(
      refusal(415, fmt::format("Content-Type is '{}': expected application/json", given.substr(0, 80))));
}

// What a log may show of a target: a query may hold a key.
std::string_view logged_path(std::string_view target) {
  return target.substr(0, std::min<size_t>(target.find_first_of("?#"), 100));
}

ApiResult<Json> read_body(const HttpRequest& request) {
  if (request.body.empty()) return refuse(refusal(400, "the body is empty: expected a JSON object"));
  auto body = Json::parse(request.body);
  if (!body) return refuse(refusal(400, "the body is not JSON: " + body.error().message, "invalid_json"));
  if (!body->is_object()) {
    return refuse(refusal(400, fmt::format("the body must be a JSON object, not {}", body->type_name()),
                          "invalid_json"));
  }
  return std::move(*body);
}

bool is_served(const ServedModel& model, const std::string& name) {
  return std::find(model.names.begin(), model.names.end(), name) != model.names.end();
}

// The name a reply carries: the one asked for if it is one of the model's. There is one model, and
// applications with a fixed model name are to work unchanged, so any other name is answered by it too, under
// its own name.
const std::string& answering_name(const ServedModel& model, const std::string& asked) {
  return is_served(model, asked) ? asked : model.names.front();
}

ApiError unknown_model(const ServedModel& model, const std::string& name) {
  ApiError error = refusal(404,
                           fmt::format("the model '{}' does not exist: this server has '{}'",
                                       name.substr(0, 200), model.names.front()),
                           "model_not_found");
  error.param = "model";
  return error;
}

ApiError unknown_url(const HttpRequest& request) {
  return refusal(404, fmt::format("there is nothing at {} {}", request.method, request.target.substr(0, 200)),
                 "unknown_url");
}

HttpResponse method_not_allowed(const HttpRequest& request, const Route& route) {
  HttpResponse response =
      error_response(refusal(405,
                             fmt::format("{} is not possible at {}: expected {}", request.method,
                                         request.target.substr(0, 200), route.argument),
                             "method_not_allowed"));
  response.headers.emplace_back("Allow", route.argument);
  return response;
}

RequestDefaults defaults_of(const ServedModel& model, const Options& options) {
  RequestDefaults defaults;
  defaults.priority_max = options.max_priority;
  defaults.thinking = model.thinking;
  defaults.drafters = model.drafters;
  defaults.tree_nodes_max = model.tree_nodes_max;
  defaults.vocab_size = model.tokenizer->vocab_size();
  return defaults;
}

Json model_json(const ServedModel& model, const std::string& name) {
  Json json = Json::object();
  json.set("id", name);
  json.set("object", "model");
  json.set("created", model.created);
  json.set("owned_by", "foretoken");
  json.set("root", model.path);
  json.set("max_model_len", model.context);
  return json;
}

// What the choices of all prompts have in common: everything but the prompt, the seed and the fork.
scheduler::GenerateRequest engine_request(const RequestParams& params, std::string id, int logprobs) {
  scheduler::GenerateRequest request;
  request.id = std::move(id);
  request.sampling = params.sampling;
  request.sampling.seed = params.seed ? *params.seed : random_bits();
  request.sampling.logprobs = logprobs;
  request.stop_tokens = params.stop_token_ids;
  request.ignore_eos = params.ignore_eos;
  request.speculation = params.speculation;
  request.priority = params.priority;
  return request;
}

// The choices of a reply, to be submitted together. requests[i] fills parts[i].
struct Choices {
  std::vector<scheduler::GenerateRequest> requests;
  std::vector<ReplyPart> parts;

  // Adds `count` choices of the prompt of `first`, with seeds in a row. `fork_group` is this prompt's alone:
  // the engine reads it once for all of them.
  void add(scheduler::GenerateRequest first, int count, uint64_t fork_group, const ReplyPart& part) {
    if (count > 1) {
      first.fork_group = fork_group;
      first.fork_count = count;
    }
    for (int i = 0; i < count; ++i) {
      requests.push_back(first);
      parts.push_back(part);
      ++first.sampling.seed;
    }
  }
};

ChoiceOptions choice_options(const ServedModel& model, const RequestParams& params) {
  ChoiceOptions options;
  options.tokenizer = model.tokenizer.get();
  options.eos = model.eos;
  options.stop_tokens = params.stop_token_ids;
  options.stop = params.stop;
  return options;
}

ReplyOptions reply_options(const HttpRequest& request, const ServedModel& model, const RequestParams& params,
                           ReplyKind kind) {
  ReplyOptions options;
  options.head.kind = kind;
  options.head.id = (kind == ReplyKind::kChat ? "chatcmpl-" : "cmpl-") + random_hex(32);
  options.head.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  options.head.model = answering_name(model, params.model);
  options.request_id = request.id;
  options.stream = params.stream;
  options.include_usage = params.include_usage;
  const std::string_view wanted = request.header("x-include-speculation");
  options.include_speculation = params.include_speculation || wanted == "true" || wanted == "1";
  if (params.speculation.enabled && !model.drafters.empty())
    options.draft_rows = params.speculation.max_nodes.value_or(model.tree_nodes_limit()) - 1;
  options.arrived = request.arrived;
  return options;
}

// Hands all requests to the engine or, when one is refused, none.
ApiResult<std::vector<ReplyPart>> submit_all(const ServedModel& model, Choices choices,
                                             const std::function<void()>& notify) {
  for (size_t i = 0; i < choices.requests.size(); ++i) {
    auto stream = model.backend->submit(std::move(choices.requests[i]), notify);
    if (!stream) {
      for (size_t submitted = 0; submitted < i; ++submitted) choices.parts[submitted].stream->cancel();
      return refuse(from_engine(stream.error()));
    }
    choices.parts[i].stream = std::move(*stream);
  }
  return std::move(choices.parts);
}

}  // namespace

Service::Service(const Options& options) : options_(options) {}

void Service::set_model(std::shared_ptr<const ServedModel> model) {
  const std::lock_guard lock(mutex_);
  model_ = std::move(model);
}

std::shared_ptr<const ServedModel> Service::model() const {
  const std::lock_guard lock(mutex_);
  return model_;
}

void Service::identify(HttpRequest& request) const {
  const std::string_view given = request.header("x-request-id");
  request.id = is_sane_request_id(given) ? std::string(given) : "req-" + random_hex(24);
}

std::vector<Header> Service::headers(const HttpRequest& request) const {
  std::vector<Header> headers{{"x-request-id", request.id}};
  if (!options_.cors_origin.empty()) {
    headers.emplace_back("Access-Control-Allow-Origin", options_.cors_origin);
    headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
  }
  return headers;
}

HttpResponse Service::refuse_early(const ApiError& error) {
  metrics_.request_refused(error.status);
  return error_response(error);
}

// A page that a browser loaded from elsewhere can reach a server on the loopback interface, under a name of
// its own that resolves to 127.0.0.1 (DNS rebinding). A key keeps it out; so does this, where there is none.
ApiResult<void> Service::check_host(const HttpRequest& request) const {
  if (!options_.api_keys.empty() || !is_loopback(options_.host)) return {};
  const std::string_view given = request.header("host");
  if (given.empty()) return {};  // HTTP/1.0, which no browser speaks
  const std::string name = host_name(given);
  if (is_loopback(name) || name == lower(options_.host)) return {};
  for (const std::string& allowed : options_.allowed_hosts)
    if (allowed == "*" || name == lower(allowed)) return {};
  return refuse(refusal(403,
                        fmt::format("this server answers to local names only, not to '{}' (--allowed-hosts "
                                    "adds names, --api-key opens it to those who have a key)",
                                    given.substr(0, 80)),
                        "host_not_allowed"));
}

ApiResult<void> Service::check_key(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return {};
  std::string_view key = request.header("x-api-key");
  const std::string_view authorization = request.header("authorization");
  if (lower(authorization.substr(0, 7)) == "bearer ") key = authorization.substr(7);
  bool known = false;
  for (const std::string& expected : options_.api_keys) known = same_secret(key, expected) || known;
  if (known) return {};
  return refuse(refusal(
      401, "the API key is missing or wrong: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'",
      "invalid_api_key"));
}

ApiResult<void> Service::check_head(const HttpRequest& request, const Route& route) const {
  if (auto host = check_host(request); !host) return host;
  if (is_public(route.endpoint)) return {};
  if (auto key = check_key(request); !key) return key;
  return takes_body(route.endpoint) ? check_content_type(request) : ApiResult<void>();
}

ApiResult<std::shared_ptr<const ServedModel>> Service::ready_model() const {
  auto model = this->model();
  if (stopping_.load() || !model) {
    ApiError error = refusal(503, stopping_.load() ? "the server is stopping" : "the model is loading",
                             stopping_.load() ? "stopping" : "loading");
    error.retry_after_seconds = 2;
    return refuse(error);
  }
  return model;
}

// Refused as full, such a request would be sent again and never fit.
ApiResult<void> Service::check_room(size_t choices, std::string field) const {
  const auto room = static_cast<size_t>(options_.max_sequences) + static_cast<size_t>(options_.queue);
  if (choices <= room) return {};
  return refuse(
      bad_field(std::move(field),
                fmt::format("{} choices in one request, but this server takes {} at a time", choices, room)));
}

HttpResponse Service::refused(const HttpRequest& request, const ApiError& error) {
  log(LogLevel::kDebug, "{} {} {} {}: {}", request.id, request.method, logged_path(request.target),
      error.status, error.message);
  return refuse_early(error);
}

std::optional<HttpResponse> Service::admit(const HttpRequest& head) {
  const Route route = find_route(head.method, head.target);
  if (auto fine = check_head(head, route); !fine) return refused(head, fine.error());
  if (route.endpoint == Endpoint::kNotFound) return refused(head, unknown_url(head));
  if (route.endpoint == Endpoint::kMethodNotAllowed) return method_not_allowed(head, route);
  return std::nullopt;
}

Outcome Service::handle(const HttpRequest& request, const std::function<void()>& notify) {
  if (auto response = admit(request)) return std::move(*response);
  const Route route = find_route(request.method, request.target);
  if (!generates(route.endpoint)) {
    auto response = answer(request, route);
    return response ? std::move(*response) : refused(request, response.error());
  }
  auto body = read_body(request);
  if (!body) return refused(request, body.error());
  auto reply = generate(request, *body, route.endpoint, notify);
  if (!reply) return refused(request, reply.error());
  return std::move(*reply);
}

HttpResponse Service::health() const {
  const bool stopping = stopping_.load();
  const bool ready = !stopping && model() != nullptr;
  Json json = Json::object();
  json.set("status", stopping ? "stopping" : ready ? "ok" : "loading");
  if (!ready && !stopping) json.set("progress", load_progress_.load());
  HttpResponse response = json_response(json.dump());
  response.status = ready ? 200 : 503;
  return response;
}

ApiResult<HttpResponse> Service::answer(const HttpRequest& request, const Route& route) const {
  switch (route.endpoint) {
    case Endpoint::kHealth:
      return health();
    case Endpoint::kVersion:
      return json_response(fmt::format(R"({{"version":"{}"}})", kVersion));
    case Endpoint::kMetrics: {
      const auto model = this->model();
      scheduler::EngineStats stats;
      if (model) stats = model->backend->stats();
      HttpResponse response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics_.render(model ? &stats : nullptr, model ? model->names.front() : "");
      return response;
    }
    case Endpoint::kPreflight: {
      HttpResponse response;
      response.status = 204;
      response.content_type.clear();
      if (!options_.cors_origin.empty())
        response.headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                            {"Access-Control-Allow-Headers", "*, Authorization"},
                            {"Access-Control-Max-Age", "86400"}};
      return response;
    }
    default:
      break;
  }
  auto model = ready_model();
  if (!model) return refuse(model.error());
  if (route.endpoint == Endpoint::kModels || route.endpoint == Endpoint::kModel) {
    Json list = Json::array();
    for (const std::string& name : (*model)->names) {
      Json json = model_json(**model, name);
      if (route.endpoint == Endpoint::kModel && name == route.argument) return json_response(json.dump());
      list.push_back(std::move(json));
    }
    if (route.endpoint == Endpoint::kModel) return refuse(unknown_model(**model, route.argument));
    Json json = Json::object();
    json.set("object", "list");
    json.set("data", std::move(list));
    return json_response(json.dump());
  }
  auto body = read_body(request);
  if (!body) return refuse(body.error());
  return route.endpoint == Endpoint::kTokenize ? tokenize(**model, *body, defaults_of(**model, options_))
                                               : detokenize(**model, *body);
}

ApiResult<std::unique_ptr<Reply>> Service::generate(const HttpRequest& request, const Json& body,
                                                    Endpoint endpoint, const std::function<void()>& notify) {
  auto model = ready_model();
  if (!model) return refuse(model.error());
  return endpoint == Endpoint::kChatCompletions ? chat(request, body, std::move(*model), notify)
                                                : complete(request, body, std::move(*model), notify);
}

ApiResult<std::unique_ptr<Reply>> Service::chat(const HttpRequest& request, const Json& body,
                                                std::shared_ptr<const ServedModel> model,
                                                const std::function<void()>& notify) {
  auto parsed = parse_chat_request(body, defaults_of(*model, options_));
  if (!parsed) return refuse(parsed.error());
  const RequestParams& params = parsed->params;
  auto prompt = chat_prompt(*model, *parsed);
  if (!prompt) return refuse(prompt.error());
  const auto limit = completion_limit(*model, params, static_cast<int64_t>(prompt->size()), "messages");
  if (!limit) return refuse(limit.error());

  if (auto fits = check_room(static_cast<size_t>(params.choices), "n"); !fits) return refuse(fits.error());

  ReplyOptions options = reply_options(request, *model, params, ReplyKind::kChat);
  options.logprobs = parsed->logprobs;
  options.top_logprobs = parsed->top_logprobs;
  options.thinking = parsed->thinking;
  ChoiceOptions choice = choice_options(*model, params);
  choice.parser.thinking = parsed->thinking && parsed->prefill != Prefill::kContent;
  choice.parser.tools_offered = parsed->tools_offered;
  choice.parser.eos_in_text = false;
  choice.single_call = !parsed->parallel_tool_calls;

  Choices choices;
  scheduler::GenerateRequest first =
      engine_request(params, options.head.id, parsed->logprobs ? parsed->top_logprobs : -1);
  first.prompt = std::move(*prompt);
  first.max_tokens = *limit;
  choices.add(std::move(first), params.choices, ++fork_groups_, {nullptr, choice, 0, ""});
  auto submitted = submit_all(*model, std::move(choices), notify);
  if (!submitted) return refuse(submitted.error());
  return std::make_unique<Reply>(std::move(options), std::move(*submitted), std::move(model),
                                 [this](const ReplySummary& summary) { reply_finished(summary); });
}

ApiResult<std::unique_ptr<Reply>> Service::complete(const HttpRequest& request, const Json& body,
                                                    std::shared_ptr<const ServedModel> model,
                                                    const std::function<void()>& notify) {
  auto parsed = parse_completion_request(body, defaults_of(*model, options_));
  if (!parsed) return refuse(parsed.error());
  const RequestParams& params = parsed->params;

  ReplyOptions options = reply_options(request, *model, params, ReplyKind::kCompletion);
  if (auto fits = check_room(parsed->prompts.size() * static_cast<size_t>(params.choices), "prompt"); !fits)
    return refuse(fits.error());
  options.logprobs = parsed->logprobs;
  options.top_logprobs = parsed->top_logprobs;
  ChoiceOptions choice = choice_options(*model, params);
  choice.chat = false;
  choice.skip_special = parsed->skip_special_tokens;

  const scheduler::GenerateRequest common =
      engine_request(params, options.head.id, parsed->logprobs ? parsed->top_logprobs : -1);
  Choices choices;
  for (size_t p = 0; p < parsed->prompts.size(); ++p) {
    const CompletionPrompt& given = parsed->prompts[p];
    scheduler::GenerateRequest first = common;
    auto prompt = completion_prompt(*model, *parsed, given);
    if (!prompt) return refuse(prompt.error());
    first.prompt = std::move(*prompt);
    if (first.prompt.empty())
      return refuse(bad_field("prompt", "'prompt' has no token: expected one at least"));
    const auto limit = completion_limit(*model, params, static_cast<int64_t>(first.prompt.size()), "prompt");
    if (!limit) return refuse(limit.error());
    first.max_tokens = *limit;
    std::string echo;
    if (parsed->echo) {
      const auto* text = std::get_if<std::string>(&given);
      echo = text != nullptr
                 ? *text
                 : model->tokenizer->decode(first.prompt, parsed->skip_special_tokens).value_or("");
    }
    choices.add(std::move(first), params.choices, ++fork_groups_,
                {nullptr, choice, static_cast<int>(p), std::move(echo)});
  }
  auto submitted = submit_all(*model, std::move(choices), notify);
  if (!submitted) return refuse(submitted.error());
  return std::make_unique<Reply>(std::move(options), std::move(*submitted), std::move(model),
                                 [this](const ReplySummary& summary) { reply_finished(summary); });
}

void Service::reply_finished(const ReplySummary& summary) {
  metrics_.reply_finished(summary);
  log(summary.outcome == "error" ? LogLevel::kError : LogLevel::kInfo, "{}", summary_line(summary));
}

}  // namespace ft::server
