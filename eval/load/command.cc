#include "eval/load/command.h"

#include <algorithm>
#include <filesystem>

#include "core/file.h"
#include "eval/load/acceptance_report.h"
#include "eval/load/arrivals.h"
#include "eval/load/chat_prompts.h"
#include "eval/load/server_kind.h"
#include "eval/report/write.h"
#include "eval/report_file.h"
#include "eval/results/environment.h"
#include "eval/results/progress.h"

namespace ft::eval {

namespace {

// Longest file of an API key.
constexpr int64_t kMaxKeyBytes = 4096;
// What a level may wait for beyond its own calls; also what an event stream ends with.
constexpr std::string_view kDone = "[DONE]";

// One level: when its requests are sent, and how many may be open.
struct Level {
  std::string name;
  double rate = 0.0;  // offered, requests per second; 0 = as they end
  int32_t concurrency = 0;
  std::vector<double> times = {};
  std::vector<int64_t> max_tokens = {};  // of each; empty: options.max_tokens
};

Result<std::vector<Level>> levels_of(const LoadOptions& options) {
  std::vector<Level> levels;
  const auto count = static_cast<size_t>(options.requests);
  for (const double rate : options.rates) {
    auto times = make_arrivals(options.arrivals, rate, count, options.seed);
    if (!times) return tl::make_unexpected(times.error());
    levels.push_back({fmt::format("{} {}/s", options.arrivals, rate), rate, 0, std::move(*times), {}});
  }
  for (const int32_t concurrency : options.concurrencies)
    levels.push_back(
        {fmt::format("{} at a time", concurrency), 0.0, concurrency, std::vector<double>(count), {}});
  if (!options.replay.empty()) {
    const auto trace = read_trace(options.replay, options.replay_level);
    if (!trace) return tl::make_unexpected(trace.error());
    Level level{.name = "replay of " + std::filesystem::path(options.replay).filename().string()};
    for (const TraceRequest& request : *trace) {
      level.times.push_back(request.at);
      level.max_tokens.push_back(request.completion_tokens > 0 ? request.completion_tokens
                                                               : options.max_tokens);
    }
    level.rate = static_cast<double>(trace->size()) / std::max(1e-9, trace->back().at);
    levels.push_back(std::move(level));
  }
  if (levels.empty())
    return fail(ErrorCode::kInvalidArgument, "nothing to send: name --rates, --concurrency or --replay");
  return levels;
}

// Whether an event of a chat completion's stream carries text, or ends the reply: its last token may have none.
bool has_token(const Json& event) {
  const Json choices = event.value("choices", Json());
  if (!choices.is_array() || choices.empty()) return false;
  if (choices[0].value("finish_reason", Json()).is_string()) return true;
  const Json delta = choices[0].value("delta", Json());
  if (!delta.is_object()) return false;
  for (const char* member : {"content", "reasoning_content", "reasoning", "tool_calls"}) {
    const Json text = delta.value(member, Json());
    if ((text.is_string() && !text.get<std::string>().empty()) || (text.is_array() && !text.empty()))
      return true;
  }
  return false;
}

LoadRequest request_of(const HttpReply& reply) {
  LoadRequest request;
  request.sent = reply.sent;
  request.ended = reply.ended;
  request.error = call_error_name(reply.error);
  bool done = false;
  for (const ReplyEvent& event : reply.events) {
    done = done || event.data == kDone;
    const Json json = Json::parse(event.data, nullptr, false);
    if (!json.is_object()) continue;
    if (has_token(json)) request.events.push_back(event.at);
    const Json usage = json.value("usage", Json());
    if (usage.is_object()) {
      request.prompt_tokens = usage.value("prompt_tokens", int64_t{0});
      request.completion_tokens = usage.value("completion_tokens", int64_t{0});
    }
    if (auto acceptance = reported_acceptance(json)) request.acceptance = acceptance;
  }
  // A server that does not say how many tokens there were sends one an event.
  if (request.completion_tokens == 0) request.completion_tokens = std::ssize(request.events);
  if (request.error.empty() && !done) request.error = "broken";
  if (request.error.empty() && request.events.empty()) request.error = "empty";
  return request;
}

CallLimits limits_of(const LoadOptions& options, const std::string& key) {
  CallLimits limits;
  limits.timeout_seconds = options.timeout_seconds;
  limits.api_key = key;
  return limits;
}

class LoadRun {
 public:
  LoadRun(const LoadOptions& options, Url url, ServerKind server, std::vector<ChatPrompt> prompts,
          const std::string& key)
      : options_(options),
        url_(std::move(url)),
        server_(std::move(server)),
        prompts_(std::move(prompts)),
        limits_(limits_of(options, key)) {}

  std::vector<LoadRequest> send(const Level& level, size_t first,
                                const std::function<void(size_t)>& on_end) const {
    std::vector<HttpCall> calls;
    for (size_t i = 0; i < level.times.size(); ++i) {
      ChatWish wish{.model = server_.model,
                    .max_tokens = level.max_tokens.empty() ? options_.max_tokens : level.max_tokens[i],
                    .temperature = options_.temperature,
                    .seed = options_.seed + first + i,
                    .stream = true,
                    .ignore_eos = options_.ignore_eos,
                    .acceptance_in_reply = server_.is_ours(),
                    .sglang_details = server_.is_sglang(),
                    .speculation = {}};
      calls.push_back({url_.base + "/chat/completions",
                       chat_body(prompts_[(first + i) % prompts_.size()], wish), level.times[i]});
    }
    CallLimits limits = limits_;
    limits.concurrency = level.concurrency;
    std::vector<LoadRequest> requests;
    for (const HttpReply& reply : run_calls(url_, calls, limits, on_end))
      requests.push_back(request_of(reply));
    return requests;
  }

  const ServerKind& server() const { return server_; }

 private:
  const LoadOptions& options_;
  Url url_;
  ServerKind server_;
  std::vector<ChatPrompt> prompts_;
  CallLimits limits_;
};

Result<std::string> read_key(const std::string& path) {
  if (path.empty()) return std::string();
  auto text = read_file(path, kMaxKeyBytes);
  if (!text) return text;
  return text->substr(0, text->find_first_of("\r\n"));
}

Json configuration_json(const LoadOptions& options) {
  return {{"url", options.url},
          {"prompts", options.prompts},
          {"rates", options.rates},
          {"concurrencies", options.concurrencies},
          {"replay", options.replay},
          {"replay_level", options.replay_level},
          {"arrivals", options.arrivals},
          {"requests", options.requests},
          {"warm_up", options.warm_up},
          {"max_tokens", options.max_tokens},
          {"temperature", options.temperature},
          {"ignore_eos", options.ignore_eos},
          {"ttft_ms", options.ttft_ms},
          {"tpot_ms", options.tpot_ms}};
}

}  // namespace

Result<ResultFile> run_load_levels(const LoadOptions& options, std::FILE* progress_out) {
  auto prompts = read_chat_prompts(options.prompts);
  if (!prompts) return tl::make_unexpected(prompts.error());
  const auto levels = levels_of(options);
  if (!levels) return tl::make_unexpected(levels.error());
  auto key = read_key(options.api_key_file);
  if (!key) return tl::make_unexpected(key.error());
  const auto url = parse_url(options.url);
  if (!url) return tl::make_unexpected(url.error());
  const auto server = ask_server(options.url, options.model, limits_of(options, *key));
  if (!server) return tl::make_unexpected(server.error());
  const LoadRun run(options, *url, *server, std::move(*prompts), *key);
  ResultFile result;
  result.kind = "load";
  result.command = options.command;
  result.started = utc_now();
  result.code = code_json();
  result.hardware = {{"server", options.url}};
  result.model = {{"url", options.url}, {"name", server->model}, {"owned_by", server->owned_by}};
  result.seeds = {options.seed};
  result.configuration = configuration_json(options);
  Progress progress(progress_out);
  if (options.warm_up > 0)
    run.send({"warm-up", 0.0, 1, std::vector<double>(static_cast<size_t>(options.warm_up)), {}}, 0, {});
  const ServiceLevel service{options.ttft_ms / 1e3, options.tpot_ms / 1e3};
  Json figures = Json::array();
  for (size_t i = 0; i < levels->size(); ++i) {
    const Level& level = (*levels)[i];
    const auto count = static_cast<double>(level.times.size());
    size_t ended = 0;
    const std::vector<LoadRequest> requests =
        run.send(level, static_cast<size_t>(options.warm_up), [&](size_t) {
          progress.show(fmt::format("level {} of {}: {}", i + 1, levels->size(), level.name),
                        (static_cast<double>(i) + static_cast<double>(++ended) / count) /
                            static_cast<double>(levels->size()));
        });
    for (const LoadRequest& request : requests)
      result.rows.push_back(request_json(request, static_cast<int32_t>(i)));
    Json own = {{"name", level.name}, {"rate", level.rate}, {"concurrency", level.concurrency}};
    own.update(load_figures_json(requests, service));
    progress.say(fmt::format("{}: {:.1f} tokens/s, TTFT {:.1f} ms, TPOT {:.2f} ms (means)", level.name,
                             own["tokens_per_s"].get<double>(), own["ttft_ms"]["mean"].get<double>(),
                             own["tpot_ms"]["mean"].get<double>()));
    figures.push_back(std::move(own));
  }
  result.figures["levels"] = std::move(figures);
  return result;
}

Result<void> run_load(const LoadOptions& options, std::FILE* out) {
  const auto result = run_load_levels(options, stderr);
  if (!result) return tl::make_unexpected(result.error());
  if (auto written = write_result(*result, options.out, "load", out); !written) return written;
  std::string lines;
  for (const Json& row : result->rows) lines += row.dump() + "\n";
  return write_report((std::filesystem::path(options.out) / "load.requests.jsonl").string(), lines);
}

}  // namespace ft::eval
