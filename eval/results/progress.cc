#include "eval/results/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace ft::eval {

namespace {

constexpr int kBar = 20;
constexpr std::chrono::milliseconds kShowEvery{200};

std::string bar(double done) {
  const int filled = static_cast<int>(std::clamp(done, 0.0, 1.0) * kBar);
  return fmt::format("[{:#<{}}{:-<{}}]", "", filled, "", kBar - filled);
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string progress_line(const std::string& label, double began, double done, double seconds) {
  std::string line =
      fmt::format("{} {:3.0f} %  {}  {}", bar(done), 100.0 * done, label, duration_text(seconds));
  if (done > began && done < 1.0)
    line += fmt::format(", about {} left", duration_text(seconds * (1.0 - done) / (done - began)));
  return line;
}

Progress::Progress(std::FILE* out) : out_(out), live_(out != nullptr && isatty(fileno(out)) != 0) {}

Progress::~Progress() {
  erase();
}

void Progress::erase() {
  if (width_ > 0) fmt::print(out_, "\r{:{}}\r", "", width_);
  width_ = 0;
}

void Progress::show(const std::string& label, double done) {
  if (!live_ || Clock::now() - shown_ < kShowEvery) return;
  shown_ = Clock::now();
  const double seconds = std::chrono::duration<double>(shown_ - started_).count();
  const std::string line = progress_line(label, began_, done, seconds);
  fmt::print(out_, "\r{:<{}}", line, std::max(width_, line.size()));
  std::fflush(out_);
  width_ = std::max(width_, line.size());
}

void Progress::say(const std::string& line) {
  if (out_ == nullptr) return;
  erase();
  fmt::print(out_, "{}\n", line);
  std::fflush(out_);
}

}  // namespace ft::eval
