#include "server/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ft::server {
namespace {

TEST(Log, WritesWhatCameBeforeItsEnd) {
  for (int i = 0; i < 100; ++i) {
    ::testing::internal::CaptureStderr();
    start_logging(LogLevel::kInfo);
    std::atomic<bool> over{false};
    std::vector<std::thread> others;
    for (int t = 0; t < 2; ++t)
      others.emplace_back([&over] {
        // Not so many that the oldest are dropped.
        for (int line = 0; !over.load(); ++line) {
          if (line < 2000) log(LogLevel::kInfo, "of another thread");
        }
      });
    log(LogLevel::kInfo, "the last line\nof this one");
    stop_logging();
    const std::string text = ::testing::internal::GetCapturedStderr();
    over.store(true);
    for (std::thread& other : others) other.join();
    ASSERT_NE(text.find("info the last line of this one\n"), std::string::npos) << i << ": " << text.size();
  }
}

TEST(Log, IsSilentBelowItsLevelAndOutsideItsTime) {
  ::testing::internal::CaptureStderr();
  log(LogLevel::kError, "before");
  start_logging(LogLevel::kWarn);
  EXPECT_TRUE(log_enabled(LogLevel::kWarn));
  EXPECT_FALSE(log_enabled(LogLevel::kInfo));
  log(LogLevel::kInfo, "below");
  log(LogLevel::kError, "within");
  stop_logging();
  EXPECT_FALSE(log_enabled(LogLevel::kError));
  log(LogLevel::kError, "after");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("error within"), std::string::npos) << text;
  for (const char* other : {"before", "below", "after"})
    EXPECT_EQ(text.find(other), std::string::npos) << text;
}

}  // namespace
}  // namespace ft::server
