#include "tests/abuse/health_probe.h"

#include <algorithm>
#include <utility>

#include "tests/server/raw_client.h"

namespace ft::abuse {
namespace {

using server::testing::RawClient;

constexpr milliseconds kPeriod{5};
constexpr int kPatienceMs = 120'000;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

}  // namespace

HealthProbe::HealthProbe(Server server)
    : server_(std::move(server)), asker_([this] { ask(); }), sleeper_([this] { sleep(); }) {}

HealthProbe::~HealthProbe() {
  ending_ = true;
  asker_.join();
  sleeper_.join();
}

void HealthProbe::ask() {
  const std::string request = get(server_, "/health");
  while (!ending_) {
    RawClient client(server_.port);
    for (bool good = true; good && !ending_;) {
      {
        const std::lock_guard lock(mutex_);
        asked_ = Clock::now();
        waiting_ = true;
      }
      good = client.send(request) && client.read_response(kPatienceMs).status == 200;
      {
        const std::lock_guard lock(mutex_);
        waiting_ = false;
        milliseconds_.push_back(ms_since(asked_));
        if (!good) ++failures_;
      }
      std::this_thread::sleep_for(kPeriod);
    }
  }
}

void HealthProbe::sleep() {
  while (!ending_) {
    const Clock::time_point begin = Clock::now();
    std::this_thread::sleep_for(kPeriod);
    const double late = ms_since(begin) - std::chrono::duration<double, std::milli>(kPeriod).count();
    const std::lock_guard lock(mutex_);
    machine_ms_ = std::max(machine_ms_, late);
  }
}

HealthProbe::Window HealthProbe::take() {
  const std::lock_guard lock(mutex_);
  std::vector<double> seen = std::exchange(milliseconds_, {});
  Window window;
  window.answers = static_cast<int64_t>(seen.size());
  window.failures = std::exchange(failures_, 0);
  window.machine_ms = std::exchange(machine_ms_, 0.0);
  if (waiting_) seen.push_back(ms_since(asked_));
  if (seen.empty()) return window;
  std::sort(seen.begin(), seen.end());
  window.longest_ms = seen.back();
  window.median_ms = seen[seen.size() / 2];
  window.p99_ms = seen[seen.size() * 99 / 100];
  return window;
}

}  // namespace ft::abuse
