#include "tests/abuse/soak.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstdlib>
#include <limits>
#include <thread>

#include "tests/abuse/framing_attacks.h"
#include "tests/abuse/large_texts.h"
#include "tests/server/raw_client.h"

namespace ft::abuse {
namespace {

using server::testing::RawClient;

constexpr size_t kMiB = 1 << 20;
constexpr Time kRecoverTime = std::chrono::seconds(20);
// Resident memory moves by some pages whatever happens.
constexpr int64_t kNoise = 4 << 20;

bool poll_until(Time limit, const std::function<bool()>& done) {
  const Clock::time_point end = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(20));
  }
  return true;
}

std::string statuses(const std::map<int, int64_t>& counts) {
  std::string text;
  for (const auto& [status, count] : counts) {
    text += fmt::format("{}{}", text.empty() ? "" : " ", status == 0 ? "-" : std::to_string(status));
    if (count > 1) text += fmt::format("x{}", count);
  }
  return text;
}

// 501 says that a coding is not implemented, 503 that there is no room now; every other one is a defect.
bool is_defect(int status) {
  return status >= 500 && status != 501 && status != 503;
}

}  // namespace

Soak::Soak(const Server& server, pid_t pid, const SoakOptions& options)
    : server_(server), process_(pid), options_(options), clean_(server) {}

bool Soak::prepare() {
  if (const std::string failure = clean_.run_solo(); !failure.empty()) {
    fail(failure);
    return false;
  }
  // Concurrent requests and bodies of every size make the heaps grow to what they keep in use.
  clean_.start(options_.clean_clients);
  const Arsenal arsenal(server_, 64 << 10);
  {
    Crowd crowd(arsenal, {std::min(options_.connections, 200), options_.seed, options_.behaviours});
    std::this_thread::sleep_for(std::chrono::seconds(std::clamp(options_.seconds / 8, 2, 15)));
  }
  clean_.stop();
  if (!process_.alive()) {
    fail("the server is gone before it was warm");
    return false;
  }
  std::this_thread::sleep_for(milliseconds(500));
  resident_before_ = resident();
  descriptors_before_ = process_.descriptors();
  probe_ = std::make_unique<HealthProbe>(server_);
  return true;
}

void Soak::fail(const std::string& what) {
  failures_.push_back(what);
}

void Soak::begin() {
  process_.reset_peak();
  window_begin_ = process_.memory();
  probe_->take();
  clean_.take_gap_ms();
}

Soak::Window Soak::end() {
  std::this_thread::sleep_for(milliseconds(50));  // what an attack leaves behind to do is its doing
  return {window_begin_, process_.memory(), probe_->take(), clean_.take_gap_ms()};
}

void Soak::judge(const std::string& name, const std::string& answers, const Window& window,
                 double growth_mib) {
  const double growth = mib(window.after.peak - window.before.resident);
  rows_.push_back(fmt::format("{:<52} {:<16} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f}", name,
                              answers, mib(window.before.resident), growth, mib(window.after.resident),
                              window.health.longest_ms, window.health.machine_ms, window.gap_ms));
  if (!process_.alive()) return fail(fmt::format("{}: the server is gone", name));
  if (growth > growth_mib)
    fail(fmt::format("{}: memory grew by {:.0f} MiB, expected at most {:.0f}", name, growth, growth_mib));
  if (window.health.failures > 0)
    fail(fmt::format("{}: /health failed {} times", name, window.health.failures));
  if (window.health.longest_ms > options_.health_ms + window.health.machine_ms)
    fail(fmt::format("{}: /health took {:.0f} ms, expected at most {:.0f} (and {:.0f} of the machine)", name,
                     window.health.longest_ms, options_.health_ms, window.health.machine_ms));
  const double gap_max = options_.stream_gap_ms + clean_.solo_gap_ms() + window.health.machine_ms;
  if (window.gap_ms > gap_max)
    fail(fmt::format("{}: a clean stream paused {:.0f} ms, expected at most {:.0f}", name, window.gap_ms,
                     gap_max));
}

void Soak::start_clean(int clients) {
  clean_.start(clients);
}

void Soak::stop_clean(const std::string& scenario) {
  const CleanClients::Seen seen = clean_.stop();
  for (size_t i = 0; i < std::min<size_t>(seen.wrong.size(), 5); ++i)
    fail(fmt::format("{}: a clean client got {}", scenario, seen.wrong[i]));
  if (seen.wrong.size() > 5) fail(fmt::format("{}: {} wrong replies in all", scenario, seen.wrong.size()));
  for (const auto& [status, count] : seen.refused)
    if (status != 429) fail(fmt::format("{}: clean clients got status {} {} times", scenario, status, count));
  if (seen.idle > 0 && process_.alive())
    fail(fmt::format("{}: {} clean clients got no reply", scenario, seen.idle));
  rows_.push_back(
      fmt::format("{:<52} {} right, {} wrong, refused: {}; longest to the first event {:.0f} ms, "
                  "between two {:.0f} ms (alone {:.0f})",
                  scenario + ", clean replies", seen.replies, seen.wrong.size(),
                  seen.refused.empty() ? "none" : statuses(seen.refused), seen.first_ms, seen.gap_ms,
                  clean_.solo_gap_ms()));
}

double Soak::metric(const char* name) const {
  RawClient client(server_.port);
  client.send(get(server_, "/metrics"));
  const std::string body = client.read_response(10'000).body;
  const size_t at = body.find(std::string("\n") + name);
  if (at == std::string::npos) return std::numeric_limits<double>::quiet_NaN();
  return std::strtod(body.c_str() + body.find(' ', at), nullptr);
}

int64_t Soak::resident() const {
  return process_.memory().resident - static_cast<int64_t>(metric("foretoken_prefix_cache_bytes"));
}

void Soak::check_recovered(const std::string& scenario) {
  if (!process_.alive()) return fail(fmt::format("{}: the server is gone", scenario));
  for (const char* name : {"vllm:num_requests_running", "vllm:num_requests_waiting"})
    if (!poll_until(kRecoverTime, [&] { return metric(name) == 0; }))
      fail(fmt::format("{}: {} is not 0 afterwards", scenario, name));
  // The probe has a connection.
  if (!poll_until(kRecoverTime, [&] { return process_.descriptors() <= descriptors_before_ + 1; }))
    fail(fmt::format("{}: {} descriptors are open afterwards, {} before", scenario, process_.descriptors(),
                     descriptors_before_));
  const auto most =
      static_cast<int64_t>(static_cast<double>(resident_before_) * (1 + options_.kept_percent / 100)) +
      kNoise;
  if (!poll_until(kRecoverTime, [&] { return resident() <= most; }))
    fail(fmt::format("{}: {:.0f} MiB are resident afterwards, {:.0f} before", scenario, mib(resident()),
                     mib(resident_before_)));
  rows_.push_back(fmt::format(
      "{:<52} resident {:.1f} MiB before, {:.1f} after, without cached prefixes of {:.1f}; "
      "descriptors {}, {}",
      scenario + ", afterwards", mib(resident_before_), mib(resident()),
      metric("foretoken_prefix_cache_bytes") / (1 << 20), descriptors_before_, process_.descriptors()));
}

void Soak::run_framing() {
  start_clean(2);
  for (const FramingAttack& chosen : framing_attacks(server_)) {
    for (const size_t size : {kMiB, static_cast<size_t>(options_.framing_mib) * kMiB}) {
      const std::string name = fmt::format("{}, {} MiB", chosen.name, size / kMiB);
      AttackOutcome outcome;
      begin();
      net::io_context context;
      Connection connection(context.get_executor(), server_.port);
      net::co_spawn(
          context,
          [&]() -> net::awaitable<void> {
            const bool open = co_await connection.open();
            if (open) outcome = co_await attack(connection, chosen, size, std::chrono::seconds(5));
          },
          net::detached);
      context.run();
      const Window window = end();
      judge(name,
            fmt::format("{}, {} sent", outcome.status == 0 ? "-" : std::to_string(outcome.status),
                        outcome.sent_bytes / kMiB),
            window, options_.framing_growth_mib);
      if (!process_.alive()) break;
      if (is_defect(outcome.status) || (outcome.status == 200 && !chosen.lawful))
        fail(fmt::format("{}: answered with {}", name, outcome.status));
    }
    if (!process_.alive()) break;
  }
  stop_clean("framing");
  check_recovered("framing");
}

void Soak::run_texts() {
  start_clean(2);
  const size_t bytes = static_cast<size_t>(options_.body_mib) * kMiB;
  for (const LargeText& text : large_texts()) {
    const std::string request = post(server_, text.path, text.body(bytes));
    std::map<int, int64_t> answers;
    net::io_context context;
    begin();
    const auto ask = [&]() -> net::awaitable<void> {
      Connection connection(context.get_executor(), server_.port);
      int status = 0;
      const bool open = co_await connection.open();
      if (open) {
        co_await connection.send(request);
        status = co_await connection.read_response(std::chrono::seconds(120));
      }
      ++answers[status];
    };
    for (int i = 0; i < 2; ++i) net::co_spawn(context, ask, net::detached);
    const Clock::time_point asked = Clock::now();
    context.run();
    const std::string name = fmt::format("2 x {} MiB: {}, {:.1f} s", options_.body_mib, text.name,
                                         std::chrono::duration<double>(Clock::now() - asked).count());
    judge(name, statuses(answers), end(), options_.text_growth_mib);
    if (!process_.alive()) break;
    for (const auto& [status, count] : answers)
      if (status == 0 || is_defect(status)) fail(fmt::format("{}: answered with {}", name, status));
  }
  stop_clean("texts");
  check_recovered("texts");
}

void Soak::run_mix() {
  const Arsenal arsenal(server_, static_cast<size_t>(options_.body_mib) * kMiB);
  start_clean(options_.clean_clients);
  begin();
  Crowd crowd(arsenal, {options_.connections, options_.seed, options_.behaviours});
  int open_most = 0;
  const Clock::time_point end_time = Clock::now() + std::chrono::seconds(options_.seconds);
  while (Clock::now() < end_time && process_.alive()) {
    open_most = std::max(open_most, process_.descriptors() - descriptors_before_);
    std::this_thread::sleep_for(milliseconds(200));
  }
  const Window window = end();
  const Crowd::Tally tally = crowd.stop();
  judge("mix", fmt::format("{} connections", open_most), window, options_.mix_growth_mib);
  int64_t visits = 0;
  for (const auto& [behaviour, counts] : tally) {
    rows_.push_back(fmt::format("    {:<48} {}", behaviour, statuses(counts)));
    for (const auto& [status, count] : counts) {
      visits += count;
      if (is_defect(status)) fail(fmt::format("mix: {} got status {} {} times", behaviour, status, count));
    }
  }
  rows_.push_back(fmt::format("    {:<48} {} in {} s; /health p50 {:.1f}, p99 {:.1f} ms of {}", "visits",
                              visits, options_.seconds, window.health.median_ms, window.health.p99_ms,
                              window.health.answers));
  stop_clean("mix");
  check_recovered("mix");
}

bool Soak::report(std::string& text) const {
  text += fmt::format("{:<52} {:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "attack", "answers", "before",
                      "growth", "after", "health", "machine", "gap");
  for (const std::string& row : rows_) text += row + "\n";
  text +=
      "memory in MiB; health, machine (a sleeping thread woken too late) and gap (of clean streams): "
      "longest, ms\n";
  for (const std::string& failure : failures_) text += "FAILED " + failure + "\n";
  if (failures_.empty()) text += "nothing failed\n";
  return failures_.empty();
}

}  // namespace ft::abuse
