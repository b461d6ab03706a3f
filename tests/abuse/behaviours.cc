#include "tests/abuse/behaviours.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/abuse/large_texts.h"

namespace ft::abuse {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr Time kPatience = std::chrono::seconds(20);
constexpr int64_t kHoldMs = 2000;  // how long somebody stays who does nothing
constexpr int kAnyNumber = 1 << 20;

// Goes away at any byte of a request, while it waits, or in the midst of the reply.
net::awaitable<int> disconnect(Visit& visit) {
  const std::string request = visit.small_request();
  const bool whole = visit.chance(0.5);
  const size_t sent =
      whole ? request.size() : static_cast<size_t>(visit.number(0, static_cast<int64_t>(request.size()) - 1));
  co_await visit.connection.send(std::string_view(request).substr(0, sent));
  int status = 0;
  if (whole && visit.chance(0.6)) {
    ResponseHead head = co_await visit.connection.read_head(kPatience);
    status = head.status;
    for (int64_t parts = visit.number(0, 20); status != 0 && parts > 0; --parts) {
      const auto part = co_await visit.connection.read_part(head, kPatience);
      if (!part || part->empty()) break;
    }
  } else {
    co_await visit.connection.pause(visit.moment(kHoldMs));
  }
  visit.leave();
  co_return status;
}

net::awaitable<int> whole_request(Visit& visit) {
  const std::string request = visit.small_request();
  co_await visit.connection.send(request);
  co_return co_await visit.connection.read_response(kPatience);
}

std::string long_stream(Visit& visit) {
  return post(visit.arsenal.server, kChat,
              fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}],"stream":true,"max_tokens":{},)"
                          R"("ignore_eos":true,"logprobs":true,"top_logprobs":5}})",
                          visit.number(0, 99), visit.number(50, 400)));
}

net::awaitable<int> read_slowly(Visit& visit) {
  const std::string request = long_stream(visit);
  co_await visit.connection.send(request);
  const Clock::time_point end = Clock::now() + std::chrono::seconds(4);
  std::string& read = visit.connection.buffered();
  for (bool more = true; more && Clock::now() < end && !read.ends_with("0\r\n\r\n");) {
    more = co_await visit.connection.read_more(kPatience, 64);
    co_await visit.connection.pause(milliseconds(20));
  }
  co_return read.starts_with("HTTP/1.1 200") ? 200 : 0;
}

net::awaitable<int> stop_reading(Visit& visit) {
  const std::string request = long_stream(visit);
  co_await visit.connection.send(request);
  co_await visit.connection.pause(std::chrono::seconds(2) + visit.moment(kHoldMs));
  visit.leave();
  co_return 0;
}

// Sends a request a few bytes at a time, the head or the body, and mostly gives up.
net::awaitable<int> send_slowly(Visit& visit) {
  const std::string request = visit.small_request();
  size_t at = visit.chance(0.5) ? 0 : request.find("\r\n\r\n") + 4;
  co_await visit.connection.send(std::string_view(request).substr(0, at));
  const Clock::time_point end = Clock::now() + std::chrono::seconds(3);
  while (at < request.size() && Clock::now() < end) {
    const auto size = std::min(static_cast<size_t>(visit.number(1, 8)), request.size() - at);
    const bool taken = co_await visit.connection.send(std::string_view(request).substr(at, size));
    if (!taken) co_return 0;
    at += size;
    co_await visit.connection.pause(visit.moment(100));
  }
  if (at < request.size()) co_return 0;
  co_return co_await visit.connection.read_response(kPatience);
}

net::awaitable<int> say_nothing(Visit& visit) {
  if (visit.chance(0.3)) visit.connection.half_close();
  co_await visit.connection.read_more(milliseconds(kHoldMs) + visit.moment(kHoldMs));
  visit.leave();
  co_return 0;
}

net::awaitable<int> send_large_body(Visit& visit) {
  const std::string& body = visit.one_of(visit.arsenal.bodies);
  const std::string head = post_head(visit.arsenal.server, kChat, body.size());
  co_await visit.connection.send(head);
  const bool whole = visit.chance(0.5);
  const auto size =
      whole ? body.size() : static_cast<size_t>(visit.number(0, static_cast<int64_t>(body.size()) - 1));
  co_await visit.connection.send(std::string_view(body).substr(0, size));
  if (whole) co_return co_await visit.connection.read_response(kPatience);
  co_await visit.connection.pause(visit.moment(kHoldMs));
  visit.leave();
  co_return 0;
}

net::awaitable<int> send_large_prompt(Visit& visit) {
  const auto which =
      static_cast<size_t>(visit.number(0, static_cast<int64_t>(visit.arsenal.prompts.size()) - 1));
  const std::string& body = visit.arsenal.prompts[which];
  const std::string head = post_head(visit.arsenal.server, visit.arsenal.paths[which], body.size());
  co_await visit.connection.send(head);
  co_await visit.connection.send(body);
  if (visit.chance(0.2)) {
    co_await visit.connection.pause(visit.moment(500));
    visit.leave();
    co_return 0;
  }
  co_return co_await visit.connection.read_response(std::chrono::seconds(60));
}

net::awaitable<int> pipeline(Visit& visit) {
  std::string requests;
  for (int64_t count = visit.number(1, 200); count > 0; --count)
    requests += visit.chance(0.05) ? visit.small_request() : get(visit.arsenal.server, "/health");
  requests += visit.chance(0.5) ? std::string(1000, '\xfe') : visit.one_of(doubtful_requests());
  co_await visit.connection.send(requests);
  const int status = co_await visit.connection.read_response(kPatience);
  co_await visit.connection.read_to_end(milliseconds(kHoldMs), kPatience);
  co_return status;
}

net::awaitable<int> break_framing(Visit& visit) {
  const FramingAttack& chosen = visit.one_of(visit.arsenal.framing);
  const auto bytes = static_cast<size_t>(visit.chance(0.1) ? 1 << 20 : visit.number(1, 100'000));
  const AttackOutcome outcome = co_await attack(visit.connection, chosen, bytes, std::chrono::seconds(3));
  co_return outcome.status;
}

net::awaitable<int> leave_framing_in_doubt(Visit& visit) {
  co_await visit.connection.send(visit.one_of(doubtful_requests()));
  co_return co_await visit.connection.read_response(milliseconds(kHoldMs));
}

// A web page of somebody else, or somebody without the key.
net::awaitable<int> come_as_a_stranger(Visit& visit) {
  constexpr std::string_view kBody = R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1})";
  constexpr std::string_view kHeads[] = {
      "Host: rebind.evil\r\n",
      "Host: localhost\r\nOrigin: http://evil.example\r\nContent-Type: application/x-www-form-urlencoded\r\n",
      "Host: localhost\r\nAuthorization: Bearer wrong\r\n",
      "Host: localhost\r\nx-api-key: \r\n",
      "Host: localhost\r\nExpect: 100-continue\r\nAuthorization: Bearer wrong\r\n",
  };
  const std::string_view headers = visit.one_of(kHeads);
  const bool large = visit.chance(0.05);
  const std::string_view body = large ? std::string_view(visit.one_of(visit.arsenal.bodies)) : kBody;
  const std::string head =
      fmt::format("POST {} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", kChat, headers, body.size());
  co_await visit.connection.send(head);
  co_await visit.connection.send(body.substr(0, visit.chance(0.5) ? body.size() : 10));
  co_return co_await visit.connection.read_response(milliseconds(kHoldMs));
}

net::awaitable<int> look_around(Visit& visit) {
  constexpr std::string_view kPaths[] = {"/metrics", "/v1/models",        "/health",        "/version",
                                         "/",        "/../../etc/passwd", "/v1/models/%00", "/%ff"};
  for (int i = 0; i < 5; ++i) {
    const std::string request = get(visit.arsenal.server, visit.one_of(kPaths));
    co_await visit.connection.send(request);
    const int status = co_await visit.connection.read_response(kPatience);
    if (status == 0) co_return 0;
    co_await visit.connection.pause(visit.moment(kHoldMs / 5));
  }
  co_return 200;
}

}  // namespace

Arsenal::Arsenal(const Server& target, size_t body_bytes) : server(target), framing(framing_attacks(target)) {
  for (const LargeText& text : large_texts()) {
    const bool prompt = text.path != kChat || text.begin.ends_with(R"("content":")") ||
                        text.name.find(" with many ") != std::string_view::npos;
    (prompt ? prompts : bodies).push_back(text.body(body_bytes));
    if (prompt) paths.push_back(text.path);
  }
}

std::string Visit::small_request() {
  const std::string body = fmt::format(
      R"({{"messages":[{{"role":"user","content":"{}"}}],"stream":{},"max_tokens":{},"temperature":{},"n":{}}})",
      std::string(static_cast<size_t>(number(1, chance(0.1) ? 4000 : 60)), 'w'), chance(0.7), number(1, 60),
      chance(0.5) ? 0 : 1, chance(0.1) ? 4 : 1);
  return post(arsenal.server, kChat, body);
}

void Visit::leave() {
  switch (number(0, 2)) {
    case 0:
      return connection.close();
    case 1:
      return connection.reset();
    default:
      connection.half_close();
      return connection.close();
  }
}

const std::vector<Behaviour>& behaviours() {
  static const std::vector<Behaviour> all = {
      {"disconnects", 30, kAnyNumber, disconnect},
      {"whole requests", 8, kAnyNumber, whole_request},
      {"slow readers", 8, kAnyNumber, read_slowly},
      {"stopped readers", 6, kAnyNumber, stop_reading},
      {"slow senders", 15, kAnyNumber, send_slowly},
      {"silent", 12, kAnyNumber, say_nothing},
      {"large bodies", 6, 64, send_large_body},
      {"large prompts", 6, 2, send_large_prompt},
      {"pipelined", 4, 32, pipeline},
      {"framing attacks", 8, 16, break_framing},
      {"doubtful framing", 4, kAnyNumber, leave_framing_in_doubt},
      {"strangers", 6, kAnyNumber, come_as_a_stranger},
      {"look around", 5, kAnyNumber, look_around},
  };
  return all;
}

}  // namespace ft::abuse
