#include "server/service.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "server/api/kept_responses.h"
#include "server/api/tokenize.h"
#include "server/generation/engine_error.h"
#include "server/generation/random_id.h"
#include "server/generation/reply_log.h"
#include "server/log.h"
#include "server/page/page_response.h"
#include "server/version.h"

namespace ft::server {
namespace {

using encoding::Json;

bool takes_body(Endpoint endpoint) {
  return endpoint == Endpoint::kGenerate || endpoint == Endpoint::kCount || endpoint == Endpoint::kTokenize ||
         endpoint == Endpoint::kDetokenize;
}

// Open to everybody: what supervisors, scrapers and browsers ask before they have a key.
bool is_public(Endpoint endpoint) {
  return endpoint == Endpoint::kPage || endpoint == Endpoint::kHealth || endpoint == Endpoint::kMetrics ||
         endpoint == Endpoint::kVersion || endpoint == Endpoint::kPreflight ||
         endpoint == Endpoint::kNotFound || endpoint == Endpoint::kMethodNotAllowed;
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

// Only an address in full: "127.0.0.1.example.org" is a name of somebody's.
bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  in_addr address{};
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
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

// What a log or a message may show of a target: a query may hold a key.
std::string_view shown_path(std::string_view target) {
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

ApiError unknown_model(const ServedModel& model, const std::string& name) {
  ApiError error = refusal(404,
                           fmt::format("the model '{}' does not exist: this server has '{}'",
                                       name.substr(0, 200), model.names.front()),
                           "model_not_found");
  error.param = "model";
  return error;
}

// Endpoints of the APIs that a model of another kind would have.
std::string_view other_kind(std::string_view path) {
  for (const std::string_view other :
       {"/embeddings", "/images", "/audio", "/rerank", "/score", "/moderations"})
    if (path.starts_with(other)) return ": this model writes text, and does nothing else";
  return "";
}

ApiError unknown_url(const HttpRequest& request) {
  return refusal(404,
                 fmt::format("there is nothing at {} {}{}", request.method, shown_path(request.target),
                             other_kind(api_path(request.target))),
                 "unknown_url");
}

ApiError method_not_allowed(const HttpRequest& request, const Route& route) {
  return refusal(405,
                 fmt::format("{} is not possible at {}: expected {}", request.method,
                             request.target.substr(0, 200), route.argument),
                 "method_not_allowed");
}

RequestDefaults defaults_of(const ServedModel& model, const Options& options) {
  RequestDefaults defaults;
  defaults.priority_max = options.max_priority;
  defaults.choices_max = static_cast<size_t>(options.max_sequences) + static_cast<size_t>(options.queue);
  defaults.thinking = model.thinking;
  defaults.drafters = model.drafters;
  defaults.tree_nodes_max = model.tree_nodes_max;
  defaults.vocab_size = model.tokenizer->vocab_size();
  return defaults;
}

// Splits a job into the engine's requests: requests[i] fills parts[i], with seeds in a row. Choices of one prompt
// fork: the engine reads it once for all of them.
struct Submission {
  std::vector<scheduler::GenerateRequest> requests;
  std::vector<ReplyPart> parts;
};

Submission split(GenerationJob& job, std::atomic<uint64_t>& fork_groups) {
  Submission out;
  for (size_t p = 0; p < job.prompts.size(); ++p) {
    scheduler::GenerateRequest request = job.request;
    request.prompt = std::move(job.prompts[p].tokens);
    request.max_tokens = job.prompts[p].max_tokens;
    if (job.choices > 1 && request.prompt_logprobs < 0) {
      request.fork_group = ++fork_groups;
      request.fork_count = job.choices;
    }
    for (int i = 0; i < job.choices; ++i) {
      out.requests.push_back(request);
      // A value of its own for each choice, which moves it past its own tokens.
      if (request.constraint != nullptr)
        out.requests.back().constraint = std::make_shared<Constraint>(*request.constraint);
      out.parts.push_back(
          {nullptr, job.choice, static_cast<int>(p), static_cast<int64_t>(request.prompt.size())});
      ++request.sampling.seed;
    }
  }
  return out;
}

// Hands all requests to the engine or, when one is refused, none.
ApiResult<std::vector<ReplyPart>> submit_all(const ServedModel& model, Submission choices,
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

Service::Service(const Options& options)
    : options_(options), responses_(static_cast<size_t>(options.response_store_mib) << 20) {}

void Service::set_model(std::shared_ptr<const ServedModel> model) {
  const std::lock_guard lock(mutex_);
  model_ = std::move(model);
}

std::shared_ptr<const ServedModel> Service::model() const {
  const std::lock_guard lock(mutex_);
  return model_;
}

// Text that is escaped as JSON may have 12 bytes for a token.
int64_t Service::body_bytes_max() const {
  constexpr int64_t kLeast = 8 << 20;
  constexpr int64_t kBytesPerToken = 16;
  if (options_.max_body_bytes > 0) return options_.max_body_bytes;
  const auto model = this->model();
  return std::max(kLeast, model == nullptr ? 0 : kBytesPerToken * model->context);
}

void Service::identify(HttpRequest& request) const {
  const std::string_view given = request.header("x-request-id");
  request.id = is_sane_request_id(given) ? std::string(given) : "req-" + random_hex(24);
}

std::vector<Header> Service::headers(const HttpRequest& request) const {
  std::vector<Header> headers{{"x-request-id", request.id}};
  std::string exposed = "x-request-id, Retry-After";
  if (const std::string id_header(dialect_of(request).id_header); !id_header.empty()) {
    headers.emplace_back(id_header, request.id);
    exposed += ", " + id_header;
  }
  if (!options_.cors_origin.empty()) {
    headers.emplace_back("Access-Control-Allow-Origin", options_.cors_origin);
    headers.emplace_back("Access-Control-Expose-Headers", exposed);
  }
  return headers;
}

HttpResponse Service::refuse_early(const HttpRequest& request, const ApiError& error) {
  metrics_.request_refused(error.status);
  return error_response(error, dialect_of(request).error(error, request.id));
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

HttpResponse Service::refused(const HttpRequest& request, const ApiError& error) {
  log(LogLevel::kDebug, "{} {} {} {}: {}", request.id, request.method, shown_path(request.target),
      error.status, error.message);
  return refuse_early(request, error);
}

std::optional<HttpResponse> Service::admit(const HttpRequest& head) {
  const Route route = find_route(head.method, head.target);
  if (auto fine = check_head(head, route); !fine) return refused(head, fine.error());
  if (route.endpoint == Endpoint::kNotFound) return refused(head, unknown_url(head));
  if (route.endpoint == Endpoint::kMethodNotAllowed) {
    HttpResponse response = refused(head, method_not_allowed(head, route));
    response.headers.emplace_back("Allow", route.argument);
    return response;
  }
  return std::nullopt;
}

Outcome Service::handle(const HttpRequest& request, const std::function<void()>& notify) {
  const Route route = find_route(request.method, request.target);
  if (route.endpoint != Endpoint::kGenerate) {
    auto response = answer(request, route);
    return response ? std::move(*response) : refused(request, response.error());
  }
  auto body = read_body(request);
  if (!body) return refused(request, body.error());
  auto reply = generate(request, *body, *route.dialect, notify);
  if (!reply) return refused(request, reply.error());
  return std::move(*reply);
}

HttpResponse Service::health() const {
  const auto loaded = model();
  const std::string_view status = stopping_.load()                              ? "stopping"
                                  : loaded == nullptr                           ? "loading"
                                  : loaded->backend->stats().engine_failed != 0 ? "failed"
                                                                                : "ok";
  Json json = Json::object();
  json.set("status", std::string(status));
  if (status == "loading") json.set("progress", load_progress_.load());
  HttpResponse response = json_response(json.dump());
  response.status = status == "ok" ? 200 : 503;
  return response;
}

ApiResult<HttpResponse> Service::answer(const HttpRequest& request, const Route& route) {
  switch (route.endpoint) {
    case Endpoint::kResponse:
    case Endpoint::kDeleteResponse:
    case Endpoint::kInputItems:
    case Endpoint::kCancelResponse:
      return kept_response(responses_, route, request.target);
    case Endpoint::kPage:
      return page_response(request);
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
        response.headers = {{"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"},
                            {"Access-Control-Allow-Headers", "*, Authorization"},
                            {"Access-Control-Max-Age", "86400"}};
      return response;
    }
    default:
      break;
  }
  auto model = ready_model();
  if (!model) return refuse(model.error());
  if (route.endpoint == Endpoint::kTokenizerInfo) return tokenizer_info(**model);
  const Dialect& dialect = dialect_of(request);
  if (route.endpoint == Endpoint::kModels) return json_response(dialect.models(**model).dump());
  if (route.endpoint == Endpoint::kModel) {
    const auto& names = (*model)->names;
    if (std::find(names.begin(), names.end(), route.argument) == names.end())
      return refuse(unknown_model(**model, route.argument));
    return json_response(dialect.model(**model, route.argument).dump());
  }
  auto body = read_body(request);
  if (!body) return refuse(body.error());
  if (route.endpoint == Endpoint::kDetokenize) return detokenize(**model, *body);
  const RequestDefaults defaults = defaults_of(**model, options_);
  if (route.endpoint == Endpoint::kTokenize) return tokenize(**model, *body, defaults);
  FT_CHECK(route.dialect != nullptr, request.target);  // else it was not admitted
  auto count = route.dialect->count({request, *body, **model, defaults, &responses_});
  if (!count) return refuse(count.error());
  return json_response(count->dump());
}

ApiResult<std::unique_ptr<Reply>> Service::generate(const HttpRequest& request, const Json& body,
                                                    const Dialect& dialect,
                                                    const std::function<void()>& notify) {
  auto model = ready_model();
  if (!model) return refuse(model.error());
  const RequestDefaults defaults = defaults_of(**model, options_);
  auto job = dialect.parse({request, body, **model, defaults, &responses_});
  if (!job) return refuse(job.error());
  auto submitted = submit_all(**model, split(*job, fork_groups_), notify);
  if (!submitted) return refuse(submitted.error());
  ReplyOptions options;
  options.id = std::move(job->id);
  options.request_id = request.id;
  options.stream = job->stream;
  options.shows_tokens = job->shows_tokens;
  options.writer = std::move(job->writer);
  options.arrived = request.arrived;
  return std::make_unique<Reply>(std::move(options), std::move(*submitted), std::move(*model),
                                 [this](const ReplySummary& summary) { reply_finished(summary); });
}

void Service::reply_finished(const ReplySummary& summary) {
  metrics_.reply_finished(summary);
  log(summary.outcome == "error" ? LogLevel::kError : LogLevel::kInfo, "{}", summary_line(summary));
}

}  // namespace ft::server
