// The process's log: lines to stderr, written by a thread of its own, so that no caller waits for a terminal.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace ft::server {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kOff };

// Call once, before threads log; until then nothing is written. When the writer falls behind, the oldest
// lines are dropped.
void start_logging(LogLevel level);
// Writes what is queued and ends the writer.
void stop_logging();

bool log_enabled(LogLevel level);
// Any thread. One line; control characters become spaces.
void write_log(LogLevel level, std::string_view line);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace ft::server
