#include "eval/bench_server.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "encoding/tokenizer.h"
#include "eval/scripted_engine.h"
#include "eval/statistics.h"
#include "eval/stream_clients.h"
#include "server/generation/served_model.h"
#include "server/http/http_server.h"
#include "server/service.h"

namespace ft::eval {

namespace {

using Clock = std::chrono::steady_clock;

struct Api {
  std::string_view name;
  std::string_view path;
  std::string_view prompt;  // the member that holds a text
  std::string_view limit;   // the member that bounds a reply
  int64_t opening;          // events of a reply before the first one that has tokens
};

constexpr std::array kApis = {
    Api{"chat", "/v1/chat/completions", R"("messages":[{{"role":"user","content":"{}"}}])", "max_tokens", 1},
    Api{"completions", "/v1/completions", R"("prompt":"{}")", "max_tokens", 0},
    Api{"responses", "/v1/responses", R"("input":"{}")", "max_output_tokens", 4},
    Api{"messages", "/v1/messages", R"("messages":[{{"role":"user","content":"{}"}}])", "max_tokens", 2},
};

double seconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double cpu_seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return seconds(time);
}

// Tokens of common text: letters, perhaps behind a space. Markup or line ends would be held back by the reader of
// tool calls.
std::vector<int32_t> plain_tokens(const encoding::Tokenizer& tokenizer) {
  constexpr size_t kCount = 256;
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < tokenizer.vocab_size() && tokens.size() < kCount; ++id) {
    std::string_view bytes = tokenizer.token_bytes(id);
    if (bytes.starts_with(' ')) bytes.remove_prefix(1);
    const bool letters = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (bytes.size() >= 2 && letters && !tokenizer.is_special(id)) tokens.push_back(id);
  }
  return tokens;
}

// Text of at least `tokens` tokens, ascending years so that it does not repeat.
std::string text_of(const encoding::Tokenizer& tokenizer, int64_t tokens) {
  std::string text;
  size_t counted = 0;
  for (int year = 1; static_cast<int64_t>(counted) < tokens; ++year) {
    text += fmt::format("In the year {} the river rose by {} hands, and the bridge was closed for {} days. ",
                        year, year % 17 + 3, year % 5 + 1);
    if (year % 32 == 0) counted = tokenizer.encode(text).size();
  }
  return text;
}

// A server on a free port with an engine that follows a script.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> start(const BenchServerOptions& options, const Api& api) {
    auto tokenizer = encoding::load_tokenizer(options.model);
    if (!tokenizer) return fail(ErrorCode::kInvalidArgument, "--model: {}", tokenizer.error().message);
    std::unique_ptr<Bench> bench(new Bench(options, api));
    auto model = std::make_shared<server::ServedModel>();
    model->names = {"scripted"};
    model->thinking = false;
    model->context = bench->tokens_max() + 4 * options.prompt_tokens + 4096;
    model->default_max_tokens = bench->tokens_max();
    auto engine = std::make_unique<ScriptedEngine>(plain_tokens(**tokenizer), options.tokens_per_step);
    bench->engine_ = engine.get();
    bench->tokenizer_ = tokenizer->get();
    model->tokenizer = std::move(*tokenizer);
    model->backend = std::move(engine);
    bench->service_.set_model(std::move(model));
    auto http = server::HttpServer::start(bench->server_options_, bench->service_);
    if (!http) return tl::make_unexpected(http.error());
    bench->http_ = std::move(*http);
    return bench;
  }

  // Times events of streams.
  Result<void> stream(BenchServerResult& result) {
    const auto streams = static_cast<size_t>(options_.streams);
    const int64_t warm_up = options_.steps / 10 + 50;
    const int64_t steps = warm_up + options_.steps;
    std::vector<std::atomic<Clock::rep>> pushed(static_cast<size_t>(steps));
    std::vector<double> waits;
    waits.reserve(streams * static_cast<size_t>(options_.steps));
    auto clients =
        StreamClients::open(http_->port(), streams, [&](size_t, int64_t event, Clock::time_point arrived) {
          const int64_t step = event - api_.opening;
          if (step < warm_up || step >= steps) return;
          const Clock::time_point begin{Clock::duration(pushed[static_cast<size_t>(step)].load())};
          waits.push_back(std::chrono::duration<double, std::micro>(arrived - begin).count());
        });
    if (!clients) return tl::make_unexpected(clients.error());
    if (auto sent = send(**clients, request("Go on."), streams); !sent) return sent;

    Clock::time_point began;
    Usage before;
    double engine_seconds = 0.0;
    for (int64_t step = 0; step < steps; ++step) {
      if (step == warm_up) {
        began = Clock::now();
        before = usage(**clients);
        engine_seconds = 0.0;
      }
      const double engine_before = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
      engine_->step(
          [&] { pushed[static_cast<size_t>(step)].store(Clock::now().time_since_epoch().count()); });
      engine_seconds += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - engine_before;
      const int64_t arrived = step + 1 - options_.ahead;
      if (arrived < 1) continue;
      if (auto came = (*clients)->wait_for(api_.opening + arrived); !came) return came;
    }
    if (auto came = (*clients)->wait_for(api_.opening + steps); !came) return came;
    const Usage used = usage(**clients) - before;
    const auto events = static_cast<double>(options_.steps) * options_.streams;
    result.events_per_second = events / std::chrono::duration<double>(Clock::now() - began).count();
    result.io_us_per_event = 1e6 * (used.process - used.clients - used.engine) / events;
    result.engine_us_per_event = 1e6 * engine_seconds / events;
    engine_->finish();
    clients->reset();  // nothing is written to `waits` any more
    result.event_p50_us = percentile(waits, 0.5);
    result.event_p99_us = percentile(waits, 0.99);
    return {};
  }

  // Times first tokens of long prompts.
  Result<void> first_tokens(BenchServerResult& result) {
    const std::string text = text_of(*tokenizer_, options_.prompt_tokens);
    const std::string bytes = request(text);
    result.prompt_tokens = static_cast<int64_t>(tokenizer_->encode(text).size());
    std::vector<double> times;
    for (int32_t i = 0; i < options_.prompts; ++i) {
      std::atomic<Clock::rep> first{0};
      auto clients =
          StreamClients::open(http_->port(), 1, [&](size_t, int64_t event, Clock::time_point arrived) {
            if (event == api_.opening) first.store(arrived.time_since_epoch().count());
          });
      if (!clients) return tl::make_unexpected(clients.error());
      const auto began = Clock::now();
      if (auto sent = send(**clients, bytes, 1); !sent) return sent;
      engine_->step([] {});
      if (auto came = (*clients)->wait_for(api_.opening + 1); !came) return came;
      engine_->finish();
      const Clock::time_point arrived{Clock::duration(first.load())};
      times.push_back(std::chrono::duration<double, std::milli>(arrived - began).count());
    }
    result.first_p50_ms = percentile(times, 0.5);
    result.first_p99_ms = percentile(times, 0.99);
    return {};
  }

 private:
  // Processor seconds of the process, and of those of its threads that are not the server's.
  struct Usage {
    double process = 0.0;
    double clients = 0.0;
    double engine = 0.0;
    Usage operator-(const Usage& other) const {
      return {process - other.process, clients - other.clients, engine - other.engine};
    }
  };

  static Usage usage(const StreamClients& clients) {
    return {cpu_seconds(CLOCK_PROCESS_CPUTIME_ID), clients.cpu_seconds(),
            cpu_seconds(CLOCK_THREAD_CPUTIME_ID)};
  }

  Bench(const BenchServerOptions& options, const Api& api)
      : options_(options), api_(api), server_options_(settings(options)), service_(server_options_) {}

  static server::Options settings(const BenchServerOptions& options) {
    server::Options settings;
    settings.port = 0;
    settings.io_threads = options.io_threads;
    settings.max_connections = options.streams + 64;
    return settings;
  }

  // The request from every client, until the engine has all of them. An error says what the server refused it with.
  Result<void> send(StreamClients& clients, const std::string& bytes, size_t count) {
    if (auto sent = clients.send(bytes); !sent) return sent;
    if (engine_->wait_for_requests(count)) return {};
    return clients.wait_for(1);
  }

  int64_t tokens_max() const {
    return (options_.steps + options_.steps / 10 + 64) * options_.tokens_per_step;
  }

  std::string request(std::string_view text) const {
    const std::string body = fmt::format(R"({{"stream":true,"{}":{},{}}})", api_.limit, tokens_max(),
                                         fmt::format(fmt::runtime(api_.prompt), text));
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        "{}\r\n\r\n{}",
        api_.path, body.size(), body);
  }

  const BenchServerOptions& options_;
  const Api& api_;
  const server::Options server_options_;
  server::Service service_;
  ScriptedEngine* engine_ = nullptr;                // of the service's model
  const encoding::Tokenizer* tokenizer_ = nullptr;  // of the service's model
  std::unique_ptr<server::HttpServer> http_;        // last, so that it is gone first
};

}  // namespace

std::string bench_server_apis() {
  std::string names;
  for (const Api& api : kApis) {
    if (!names.empty()) names += ", ";
    names += api.name;
  }
  return names;
}

Result<BenchServerResult> bench_server(const BenchServerOptions& options) {
  const auto* const api =
      std::find_if(kApis.begin(), kApis.end(), [&](const Api& known) { return known.name == options.api; });
  if (api == kApis.end())
    return fail(ErrorCode::kInvalidArgument, "--api {}: expected {}", options.api, bench_server_apis());
  if (options.streams < 1 || options.steps < 1 || options.tokens_per_step < 1 || options.prompts < 1 ||
      options.prompt_tokens < 1 || options.io_threads < 1 || options.ahead < 0)
    return fail(
        ErrorCode::kInvalidArgument,
        "streams {}, steps {}, tokens per step {}, prompts {} of {} tokens, I/O threads {}: expected at "
        "least 1 of each",
        options.streams, options.steps, options.tokens_per_step, options.prompts, options.prompt_tokens,
        options.io_threads);
  auto bench = Bench::start(options, *api);
  if (!bench) return tl::make_unexpected(bench.error());
  BenchServerResult result;
  if (auto streamed = (*bench)->stream(result); !streamed) return tl::make_unexpected(streamed.error());
  if (auto timed = (*bench)->first_tokens(result); !timed) return tl::make_unexpected(timed.error());
  return result;
}

Report bench_server_report(const BenchServerOptions& options, const BenchServerResult& result) {
  const double per_core = 1e6 / result.io_us_per_event;
  Report report;
  report.fact("api", options.api);
  report.fact("streams", options.streams);
  report.fact("steps", options.steps);
  report.fact("tokens_per_step", options.tokens_per_step);
  report.fact("ahead", options.ahead);
  report.fact("io_threads", options.io_threads);
  report.fact("events_per_second_per_core", per_core);
  report.fact("io_us_per_event", result.io_us_per_event);
  report.fact("engine_us_per_event", result.engine_us_per_event);
  report.fact("events_per_second", result.events_per_second);
  report.fact("event_p50_us", result.event_p50_us);
  report.fact("event_p99_us", result.event_p99_us);
  report.fact("prompt_tokens", result.prompt_tokens);
  report.fact("first_token_p50_ms", result.first_p50_ms);
  report.fact("first_token_p99_ms", result.first_p99_ms);
  report.say(fmt::format("{} streams of {}, {} steps of {} tokens, {} I/O threads, the engine {} steps ahead",
                         options.streams, options.api, options.steps, options.tokens_per_step,
                         options.io_threads, options.ahead));
  report.say(fmt::format("events per second and core: {:.0f} ({:.2f} us of the server's threads each)",
                         per_core, result.io_us_per_event));
  report.say(
      fmt::format("beside that, on the engine's thread: {:.2f} us per event", result.engine_us_per_event));
  report.say(fmt::format(
      "from the engine to the client: {:.0f} us (p50), {:.0f} us (p99), at {:.0f} events per second",
      result.event_p50_us, result.event_p99_us, result.events_per_second));
  report.say(fmt::format("added time to first token, prompt of {} tokens: {:.2f} ms (p50), {:.2f} ms (p99)",
                         result.prompt_tokens, result.first_p50_ms, result.first_p99_ms));
  return report;
}

Result<void> run_bench_server(const BenchServerOptions& options, std::FILE* out) {
  const auto result = bench_server(options);
  if (!result) return tl::make_unexpected(result.error());
  return bench_server_report(options, *result).write(out, options.json);
}

}  // namespace ft::eval
