#include "eval/load/http_calls.h"

#include <gtest/gtest.h>

#include "eval/load/server_kind.h"
#include "tests/eval/load/canned_server.h"

namespace ft::eval {
namespace {

using std::chrono::milliseconds;

const std::vector<std::string> kStream = {
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n", "data: a\n\nda",
    "ta: b\n\n", "data: [DONE]\n\n"};

std::vector<HttpReply> call(const std::string& address, const std::vector<double>& times,
                            const CallLimits& limits = {}) {
  std::vector<HttpCall> calls;
  for (const double at : times) calls.push_back({"/v1/x", "{}", at});
  const auto url = parse_url(address).value();
  return run_calls(url, calls, limits);
}

TEST(HttpCalls, KeepTheMomentOfEveryEvent) {
  const CannedServer server(kStream, milliseconds(250));
  const HttpReply reply = call(server.url(), {0.0})[0];
  EXPECT_EQ(reply.error, CallError::kNone) << reply.message;
  ASSERT_EQ(reply.events.size(), 3u);
  EXPECT_EQ(reply.events[1].data, "b");
  EXPECT_GE(reply.events[1].at - reply.events[0].at, 0.020);
  EXPECT_GE(reply.ended, reply.events[2].at);
}

TEST(HttpCalls, AreSentInTimeWhateverTheServerDoes) {
  // Each reply takes more than a second; an open loop does not wait for it.
  const CannedServer server(kStream, milliseconds(300));
  const std::vector<HttpReply> replies = call(server.url(), {0.0, 0.02, 0.04, 0.06});
  for (size_t i = 0; i < replies.size(); ++i) {
    EXPECT_EQ(replies[i].error, CallError::kNone);
    EXPECT_GE(replies[i].sent, 0.02 * static_cast<double>(i));
  }
  EXPECT_LT(replies[3].sent, replies[0].ended);
}

TEST(HttpCalls, KeepToTheirNumberAtATime) {
  const CannedServer server(kStream, milliseconds(5));
  CallLimits limits;
  limits.concurrency = 2;
  const std::vector<HttpReply> replies = call(server.url(), {0.0, 0.0, 0.0, 0.0, 0.0}, limits);
  for (size_t i = 2; i < replies.size(); ++i) {
    int open = 0;
    for (size_t k = 0; k < i; ++k) open += replies[k].ended > replies[i].sent ? 1 : 0;
    EXPECT_LT(open, 2) << i;
  }
  EXPECT_EQ(server.accepted(), 5);
}

TEST(HttpCalls, NameWhatWentWrong) {
  const CannedServer refuses({"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"},
                             milliseconds(0));
  const HttpReply status = call(refuses.url(), {0.0})[0];
  EXPECT_EQ(status.error, CallError::kStatus);
  EXPECT_EQ(status.message, "429: busy");
  const CannedServer breaks({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"}, milliseconds(0));
  EXPECT_EQ(call(breaks.url(), {0.0})[0].error, CallError::kBroken);
  const CannedServer slow(kStream, milliseconds(300));
  CallLimits limits;
  limits.timeout_seconds = 0.1;
  EXPECT_EQ(call(slow.url(), {0.0}, limits)[0].error, CallError::kTimeout);
  std::string nobody;
  {
    const CannedServer gone(kStream, milliseconds(0));
    nobody = gone.url();
  }
  EXPECT_EQ(call(nobody, {0.0})[0].error, CallError::kConnect);
}

TEST(AskServer, WaitsWhileAModelLoads) {
  const std::string body = R"({"data":[{"id":"nano","owned_by":"foretoken"}]})";
  const CannedServer server(
      {"HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body},
      milliseconds(0), 2);
  const auto kind = ask_server(server.url(), "", {});
  ASSERT_TRUE(kind) << kind.error().message;
  EXPECT_EQ(kind->model, "nano");
  EXPECT_TRUE(kind->is_ours());
  EXPECT_EQ(server.accepted(), 3);
}

}  // namespace
}  // namespace ft::eval
