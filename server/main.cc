// foretoken-server: loads a model and serves it over HTTP, or talks to a server (`chat`).
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "server/chat.h"
#include "server/http_server.h"
#include "server/log.h"
#include "server/model_loader.h"
#include "server/options.h"
#include "server/service.h"

namespace {

using ft::Error;
using ft::ErrorCode;
using namespace ft::server;

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

int check(const Options& options) {
  auto model = load_model(options, [](double) {});
  if (!model) return report(model.error());
  const std::string description = describe_json(**model, options);
  model->reset();  // joins the engine, which may still have something to log
  stop_logging();
  fmt::print("{}\n", description);
  return 0;
}

// SIGINT and SIGTERM are blocked in every thread and taken here, so that no handler interrupts anything.
sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// True when a stop signal came within `milliseconds`.
bool wait_for_signal(const sigset_t& signals, long milliseconds) {
  const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1000000};
  return sigtimedwait(&signals, nullptr, &time) > 0;
}

int serve(const Options& options) {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  Service service(options);
  auto http = HttpServer::start(options, service);
  if (!http) return report(http.error());
  log(LogLevel::kInfo, "listening on http://{}:{}", options.host, (*http)->port());

  std::optional<Error> failure;
  std::atomic<bool> loaded{false};
  std::thread loader([&] {
    auto model = load_model(options, [&](double share) { service.set_load_progress(share); });
    if (model) {
      service.set_model(std::move(*model));
    } else {
      failure = std::move(model.error());
    }
    loaded.store(true);
  });
  bool stopped = false;
  while (!stopped && !(loaded.load() && failure)) stopped = wait_for_signal(signals, 100);

  service.begin_stop();
  if (!loaded.load()) {
    // Nothing runs yet that could be finished, and reading weights cannot be interrupted.
    log(LogLevel::kInfo, "stopped while loading");
    stop_logging();
    _exit(0);
  }
  if (stopped) log(LogLevel::kInfo, "stopping: running replies have {} s", options.drain_seconds);
  std::thread impatient;
  std::atomic<bool> drained{false};
  if (stopped) {
    // A second signal does not wait for anybody.
    impatient = std::thread([&] {
      while (!drained.load()) {
        if (wait_for_signal(signals, 100)) _exit(130);
      }
    });
  }
  (*http)->stop(std::chrono::seconds(options.drain_seconds));
  loader.join();
  service.set_model(nullptr);  // joins the engine
  drained.store(true);
  if (impatient.joinable()) impatient.join();
  if (failure) return report(*failure);
  log(LogLevel::kInfo, "stopped");
  stop_logging();
  return 0;
}

int run(int argc, char** argv) {
  auto command = parse_command_line(argc, argv);
  if (!command) return report(command.error());
  if (const auto* print = std::get_if<PrintAndExit>(&*command)) {
    fmt::print("{}", print->text);
    return 0;
  }
  if (const auto* chat = std::get_if<ChatOptions>(&*command)) {
    return run_chat(*chat, std::cin, std::cout, isatty(STDOUT_FILENO) != 0);
  }
  const Options& options = std::get<Options>(*command);
  start_logging(log_level(options.log_level));
  log(LogLevel::kInfo, "options {}", options_json(options));
  return options.check ? check(options) : serve(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "foretoken-server: {}\n", error.what());
    return 1;
  }
}
