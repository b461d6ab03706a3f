#include "server/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>

namespace ft::server {
namespace {

constexpr size_t kQueueLines = 8192;

// Threads that log share the mutex, so that nobody is in the middle of it when the log ends: what they hold
// would outlive it, and what was queued before would not be written.
struct Log {
  std::shared_mutex mutex;
  std::shared_ptr<spdlog::logger> logger;
};

Log& the_log() {
  static Log instance;
  return instance;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

void start_logging(LogLevel level) {
  spdlog::init_thread_pool(kQueueLines, 1);
  auto logger = std::make_shared<spdlog::async_logger>(
      "foretoken", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(), spdlog::thread_pool(),
      spdlog::async_overflow_policy::overrun_oldest);
  logger->set_level(spdlog_level(level));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  logger->flush_on(spdlog::level::info);
  const std::unique_lock lock(the_log().mutex);
  the_log().logger = std::move(logger);
}

void stop_logging() {
  std::shared_ptr<spdlog::logger> last;
  {
    const std::unique_lock lock(the_log().mutex);
    last.swap(the_log().logger);
  }
  last.reset();
  spdlog::shutdown();
}

bool log_enabled(LogLevel level) {
  const std::shared_lock lock(the_log().mutex);
  return the_log().logger && the_log().logger->should_log(spdlog_level(level));
}

void write_log(LogLevel level, std::string_view line) {
  // A client's text must not forge lines or move the terminal's cursor.
  std::string clean(line);
  std::replace_if(
      clean.begin(), clean.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  const std::shared_lock lock(the_log().mutex);
  if (the_log().logger) the_log().logger->log(spdlog_level(level), "{}", clean);
}

}  // namespace ft::server
