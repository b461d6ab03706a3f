#include "server/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

namespace ft::server {
namespace {

constexpr size_t kQueueLines = 8192;

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance;
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
  logger() = std::make_shared<spdlog::async_logger>(
      "foretoken", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(), spdlog::thread_pool(),
      spdlog::async_overflow_policy::overrun_oldest);
  logger()->set_level(spdlog_level(level));
  logger()->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  logger()->flush_on(spdlog::level::info);
}

void stop_logging() {
  logger().reset();
  spdlog::shutdown();
}

bool log_enabled(LogLevel level) {
  return logger() && logger()->should_log(spdlog_level(level));
}

void write_log(LogLevel level, std::string_view line) {
  if (!logger()) return;
  // A client's text must not forge lines or move the terminal's cursor.
  std::string clean(line);
  std::replace_if(
      clean.begin(), clean.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  logger()->log(spdlog_level(level), "{}", clean);
}

}  // namespace ft::server
