// foretoken-server: loads a model and serves it over HTTP, or talks to a server (`chat`).
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "core/backend_factory.h"
#include "core/mapped_file.h"
#include "core/ranks/launch.h"
#include "core/ranks/mpi/join.h"
#include "server/chat/chat.h"
#include "server/http/http_server.h"
#include "server/log.h"
#include "server/model_loader.h"
#include "server/options.h"
#include "server/service.h"
#include "server/stop_signals.h"
#include "server/weight_watch.h"

namespace {

using ft::Error;
using ft::ErrorCode;
using namespace ft::server;

// Weights were written on disk while they were in use.
constexpr int kExitWeightsChanged = 3;
constexpr std::chrono::milliseconds kLoadInterval{100};
// Between two looks at the files of the weights.
constexpr std::chrono::milliseconds kWatchInterval{500};
// How long running replies have to end with an error after a rank is lost.
constexpr std::chrono::milliseconds kLostDrain{1500};
constexpr std::chrono::milliseconds kSignalLook{20};
constexpr int kSignalLooks = 10;

// 2: what was asked for can never work; 1: this machine, now, cannot do it.
int exit_code(const Error& error) {
  const bool bad_input = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kInvalidFile ||
                         error.code == ErrorCode::kNotFound || error.code == ErrorCode::kTooLarge;
  return bad_input ? 2 : 1;
}

int report(const Error& error) {
  stop_logging();
  fmt::print(stderr, "foretoken-server: {}\n", error.message);
  return exit_code(error);
}

LogLevel log_level(const std::string& name) {
  if (name == "trace") return LogLevel::kTrace;
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warn") return LogLevel::kWarn;
  if (name == "error") return LogLevel::kError;
  return name == "off" ? LogLevel::kOff : LogLevel::kInfo;
}

int check(const Options& options, ft::ranks::Ranks& ranks) {
  auto model = std::make_unique<ServedModel>();
  const auto loaded = load_model(
      options, ranks, [](double) {}, *model);
  const std::string error = loaded ? "" : loaded.error().message;
  // Nothing is known of a folder whose weights cannot be read.
  const bool found = !model->weights.empty();
  const std::string description = found ? describe_json(*model, options, error) : "";
  model.reset();  // joins the engine, which may still have something to log
  stop_logging();
  if (found) fmt::print("{}\n", description);
  if (ranks.alarm().raised()) return ft::ranks::kExitRankLost;  // the watch tells why
  return loaded ? 0 : report(loaded.error());
}

// A model that is loaded beside what else goes on.
class Loading {
 public:
  Loading(const Options& options, ft::ranks::Ranks& ranks, Service& service)
      : thread_([this, &options, &ranks, &service] {
          const auto begin = std::chrono::steady_clock::now();
          auto model = std::make_shared<ServedModel>();
          auto loaded = load_model(
              options, ranks, [&](double share) { service.set_load_progress(share); }, *model);
          if (loaded) {
            watch_.emplace(model->weight_files);
            const std::string what = summary(*model);
            service.set_model(std::move(model));
            // Last: who reads this line may send requests.
            const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
            log(LogLevel::kInfo, "ready in {:.2f} s: {}", seconds.count(), what);
          } else {
            failure_ = std::move(loaded.error());
          }
          done_.store(true);
        }) {}

  bool done() const { return done_.load(); }
  // These when done(): why there is no model, or what watches its files.
  const std::optional<Error>& failure() const { return failure_; }
  WeightWatch& watch() { return *watch_; }

 private:
  std::optional<Error> failure_;
  std::optional<WeightWatch> watch_;
  std::atomic<bool> done_{false};
  std::jthread thread_;  // last, so that it has ended before the rest goes
};

// Whether the group of ranks has come apart; looks for a moment longer after a stop signal, with which launchers end
// the other processes as soon as one has died.
bool rank_lost(ft::ranks::Ranks& ranks, bool signalled) {
  for (int look = 0; signalled && ranks.size() > 1 && look < kSignalLooks && !ranks.alarm().raised(); ++look)
    std::this_thread::sleep_for(kSignalLook);
  return ranks.alarm().raised();
}

int serve(const Options& options, StopSignals& signals, ft::ranks::Ranks& ranks) {
  Service service(options);
  auto http = HttpServer::start(options, service);
  if (!http) return report(http.error());
  log(LogLevel::kInfo, "listening on http://{}:{}", options.host, (*http)->port());

  auto loading = std::make_unique<Loading>(options, ranks, service);
  std::optional<std::string> changed;
  bool signalled = false;
  while (!(signalled = signals.wait(loading->done() && ranks.size() == 1 ? kWatchInterval : kLoadInterval))) {
    if (ranks.alarm().raised()) break;
    if (!loading->done()) continue;
    if (loading->failure() || (changed = loading->watch().check())) break;
  }
  service.begin_stop();
  if (rank_lost(ranks, signalled)) {
    // Steps fail now, and running replies end with an error. Whoever is stuck is not waited for.
    (*http)->stop(kLostDrain);
    stop_logging();
    return ft::ranks::kExitRankLost;
  }
  if (!loading->done()) {
    // Nothing runs yet that could be finished, and reading weights cannot be interrupted.
    log(LogLevel::kInfo, "stopped while loading");
    stop_logging();
    if (ranks.size() > 1) {
      // They load too, and cannot be asked to stop.
      ranks.alarm().raise("rank 0 was stopped while the ranks were loading");
      ranks.end(0);
    }
    _exit(0);
  }
  const bool failed = loading->failure().has_value();
  if (!failed && !changed) {
    log(LogLevel::kInfo, "stopping: running replies have {} s", options.drain_seconds);
  }
  (*http)->stop(std::chrono::seconds(failed || changed ? 0 : options.drain_seconds));
  service.set_model(nullptr);  // joins the engine
  if (failed) return report(*loading->failure());
  log(LogLevel::kInfo, "stopped");
  stop_logging();
  if (!changed) return 0;
  fmt::print(stderr, "foretoken-server: {}\n", *changed);
  return kExitWeightsChanged;
}

// Rank 0, or the only one.
int lead(const Options& options, std::optional<StopSignals>& signals, ft::ranks::Ranks& ranks) {
  start_logging(log_level(options.log_level));
  // A plan can be had of ranks that do not run.
  const bool planned = options.check && ranks.size() == 1;
  if (options.ranks != 0 && !ft::ranks::is_rank_count(options.ranks))
    return report({ErrorCode::kInvalidArgument,
                   fmt::format("--ranks is {}: a model is shared by 1, 2, 4 or 8", options.ranks)});
  if (options.ranks != 0 && options.ranks != ranks.size() && !planned)
    return report(
        {ErrorCode::kInvalidArgument,
         fmt::format(
             "--ranks {} was asked for, and {} {} started: start them with `./foretoken serve --ranks "
             "{}`, or with a launcher (`mpirun -n {} foretoken-server`)",
             options.ranks, ranks.size(), ranks.size() == 1 ? "was" : "were", options.ranks, options.ranks)});
  log(LogLevel::kInfo, "options {}", options_json(options));
  return options.check ? check(options, ranks) : serve(options, *signals, ranks);
}

int run(int argc, char** argv) {
  auto command = parse_command_line(argc, argv);
  if (!command) return report(command.error());
  if (const auto* print = std::get_if<PrintAndExit>(&*command)) {
    fmt::print("{}", print->text);
    return 0;
  }
  if (const auto* chat = std::get_if<ChatOptions>(&*command)) {
    const bool writes = isatty(STDOUT_FILENO) != 0;
    if (writes && isatty(STDIN_FILENO) != 0) {
      TerminalInput in;
      return run_chat(*chat, in, std::cout, true);
    }
    StreamInput in(std::cin, std::cout);
    return run_chat(*chat, in, std::cout, writes);
  }
  const Options& options = std::get<Options>(*command);
  ft::report_lost_mappings("foretoken-server", kExitWeightsChanged);
  // Before there are other threads, so that these have them blocked too. A follower ends when rank 0 does: the signal
  // that a launcher sends to all ranks is for rank 0 to heed.
  std::optional<StopSignals> signals;
  if (!options.check) signals.emplace();
  const auto code =
      ft::ranks::run_as_rank({.name = "foretoken-server",
                              .rank_timeout = std::chrono::seconds(options.rank_timeout),
                              .lead = [&](ft::ranks::Ranks& ranks) { return lead(options, signals, ranks); },
                              .offer_backend =
                                  [](const ft::ranks::ModelRequest& request, const ft::ranks::Ranks& ranks) {
                                    return ft::offer_rank_backend(request, ranks);
                                  }});
  return code ? *code : report(code.error());
}

}  // namespace

int main(int argc, char** argv) {
  // Blocks of large requests go back to the system when they are freed; without a fixed threshold the allocator takes
  // the first of them as a reason to keep the next ones.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "foretoken-server: {}\n", error.what());
    return 1;
  }
}
