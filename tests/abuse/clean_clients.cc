#include "tests/abuse/clean_clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

namespace ft::abuse {
namespace {

using nlohmann::json;

constexpr Time kPatience = std::chrono::seconds(120);
constexpr const char* kPath = "/v1/chat/completions";

// Greedy and seeded, with and without speculation, thinking and stop strings.
std::vector<std::string> questions() {
  std::vector<std::string> bodies;
  int64_t seed = 11;
  // Texts of other sizes are read by other threads.
  std::string long_text;
  while (long_text.size() < 5000) long_text += "The capital of Lithuania is Vilnius. ";
  const std::vector<std::string> texts = {"Tell me the capital of Lithuania, please.",
                                          "What is 17 + 25?",
                                          "Which animal says moo?",
                                          "Name a fruit that is yellow and long.",
                                          "Who wrote Hamlet, and what is it about?",
                                          long_text + "What is it?"};
  for (const std::string& text : texts) {
    for (const double temperature : {0.0, 0.7, 1.0}) {
      json body = {{"messages", {{{"role", "user"}, {"content", text}}}},
                   {"stream", true},
                   {"stream_options", {{"include_usage", true}}},
                   {"temperature", temperature},
                   {"max_tokens", 24 + 4 * (seed % 5)},
                   {"seed", seed}};
      if (seed % 3 == 0) body["speculation"] = {{"enabled", false}};
      if (seed % 4 == 0) body["stop"] = {" the "};
      bodies.push_back(body.dump());
      ++seed;
    }
  }
  return bodies;
}

const std::vector<std::string>& bodies() {
  static const std::vector<std::string> all = questions();
  return all;
}

// Takes one event of the stream; true at the end of it.
bool take_event(std::string_view event, StreamedReply& reply) {
  if (!event.starts_with("data: ")) return false;
  if (event == "data: [DONE]") return true;
  const json data = json::parse(event.substr(6), nullptr, false);
  if (data.is_discarded() || data.contains("error")) {
    reply.text += fmt::format("[{}]", event);
    return false;
  }
  for (const json& choice : data.value("choices", json::array())) {
    const json delta = choice.value("delta", json::object());
    for (const char* field : {"reasoning_content", "reasoning", "content"})
      if (delta.contains(field) && delta[field].is_string()) reply.text += delta[field].get<std::string>();
    if (choice.contains("finish_reason") && choice["finish_reason"].is_string())
      reply.finish_reason = choice["finish_reason"];
  }
  if (data.contains("usage") && data["usage"].is_object())
    reply.usage = fmt::format("{} + {}", data["usage"].value("prompt_tokens", -1),
                              data["usage"].value("completion_tokens", -1));
  return false;
}

double ms(Time time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

CleanClients::CleanClients(Server server) : server_(std::move(server)) {}

CleanClients::~CleanClients() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

net::awaitable<StreamedReply> CleanClients::ask(Connection& connection, const std::string& body) {
  StreamedReply reply;
  const Clock::time_point begin = Clock::now();
  const std::string request = post(server_, kPath, body);
  co_await connection.send(request);
  ResponseHead head = co_await connection.read_head(kPatience);
  const int status = head.status;
  if (status != 200) {
    for (bool more = true; more;) {
      const auto part = co_await connection.read_part(head, kPatience);
      more = part && !part->empty();
    }
    reply.status = status;
    co_return reply;
  }
  std::string pending;
  bool done = false;
  Clock::time_point last = begin;
  for (;;) {
    const auto part = co_await connection.read_part(head, kPatience);
    if (!part) co_return reply;
    if (part->empty()) break;
    pending += *part;
    for (size_t end = 0; (end = pending.find("\n\n")) != std::string::npos; pending.erase(0, end + 2)) {
      if (pending.starts_with(":")) continue;  // a sign of life is no event
      const Clock::time_point now = Clock::now();
      if (last == begin) {
        reply.first_ms = ms(now - begin);
      } else {
        reply.gap_ms = std::max(reply.gap_ms, ms(now - last));
        const std::lock_guard lock(mutex_);
        gap_ms_ = std::max(gap_ms_, reply.gap_ms);
      }
      last = now;
      done = take_event(std::string_view(pending).substr(0, end), reply) || done;
    }
  }
  if (done) reply.status = status;
  co_return reply;
}

net::awaitable<void> CleanClients::solo(std::string& failure) {
  Connection connection(context_.get_executor(), server_.port);
  const bool open = co_await connection.open();
  if (!open) {
    failure = "the server cannot be reached";
    co_return;
  }
  // Twice: the first time there is no cached prompt, and the answer must be the same.
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < bodies().size() && failure.empty(); ++i) {
      const StreamedReply reply = co_await ask(connection, bodies()[i]);
      if (reply.status != 200) failure = fmt::format("the solo run got status {}", reply.status);
      if (round == 0) solo_.push_back(reply);
      if (!reply.same_answer(solo_[i])) failure = "two solo runs differ: " + bodies()[i];
      if (round > 0) solo_gap_ms_ = std::max(solo_gap_ms_, reply.gap_ms);
    }
  }
}

std::string CleanClients::run_solo() {
  std::string failure;
  context_.restart();
  net::co_spawn(context_, solo(failure), net::detached);
  context_.run();
  return failure;
}

net::awaitable<void> CleanClients::live(int client) {
  Connection connection(context_.get_executor(), server_.port);
  auto next = static_cast<size_t>(client) * 7;
  while (!stopping_) {
    if (!connection.is_open()) co_await connection.open();
    if (!connection.is_open()) {
      const std::lock_guard lock(mutex_);
      seen_.wrong.push_back("the server cannot be reached");
      co_return;
    }
    const size_t question = next % solo_.size();
    const StreamedReply reply = co_await ask(connection, bodies()[question]);
    Time pause{0};
    {
      const std::lock_guard lock(mutex_);
      if (reply.status == 200 && reply.same_answer(solo_[question])) {
        ++seen_.replies;
        ++replies_[static_cast<size_t>(client)];
        seen_.gap_ms = std::max(seen_.gap_ms, reply.gap_ms);
        seen_.first_ms = std::max(seen_.first_ms, reply.first_ms);
        ++next;
      } else if (reply.status == 200 || reply.status == 0) {
        seen_.wrong.push_back(fmt::format("{}: {} | {} | {}, expected {} | {} | {}", bodies()[question],
                                          reply.text, reply.finish_reason,
                                          reply.status == 0 ? "broke off" : reply.usage, solo_[question].text,
                                          solo_[question].finish_reason, solo_[question].usage));
        ++next;
        pause = milliseconds(100);
      } else {
        ++seen_.refused[reply.status];
        pause = milliseconds(50);
      }
    }
    if (reply.status == 0) connection.close();
    if (pause.count() > 0) co_await connection.pause(pause);
  }
}

void CleanClients::start(int clients) {
  context_.restart();
  stopping_ = false;
  seen_ = {};
  replies_.assign(static_cast<size_t>(clients), 0);
  for (int i = 0; i < clients; ++i) net::co_spawn(context_, live(i), net::detached);
  thread_ = std::thread([this] { context_.run(); });
}

CleanClients::Seen CleanClients::stop() {
  net::post(context_, [this] { stopping_ = true; });
  thread_.join();  // nothing is left to do once every client has stopped
  seen_.idle = static_cast<int>(std::count(replies_.begin(), replies_.end(), 0));
  return seen_;
}

double CleanClients::take_gap_ms() {
  const std::lock_guard lock(mutex_);
  return std::exchange(gap_ms_, 0.0);
}

}  // namespace ft::abuse
