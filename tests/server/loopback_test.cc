// The whole server over real sockets, with a scripted engine.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "server/chat/chat.h"
#include "server/http/http_client.h"
#include "tests/server/loopback_fixture.h"

namespace ft::server {
namespace {

using namespace testing;

TEST_F(Loopback, WholeReply) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", kChat, "x-request-id: mine-7\r\n"));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["choices"][0]["message"]["content"], "The answer is 42.");
  EXPECT_NE(response.head.find("x-request-id: mine-7"), std::string::npos);
  EXPECT_EQ(response.head.find("Access-Control"), std::string::npos);
}

TEST_F(Loopback, StreamedReply) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.complete);
  EXPECT_NE(response.head.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
  // The connection is kept: another request works.
  ASSERT_TRUE(client.get("/health"));
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_F(Loopback, StreamsAreTheSameBytesHoweverTheyArrive) {
  serve(std::chrono::milliseconds(0));
  std::string first;
  for (int i = 0; i < 20; ++i) {
    RawClient client(port());
    ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
    std::string text;
    std::istringstream lines(client.read_response().body);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("data: {")) continue;
      text += json::parse(line.substr(6))["choices"][0]["delta"].value("content", "");
    }
    EXPECT_EQ(text, "The answer is 42.");
  }
}

TEST_F(Loopback, KeepsConnectionsAndAnswersPipelinedRequests) {
  serve();
  RawClient client(port());
  const std::string body = kStream;
  std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  // A stream, a plain request and a whole reply in one packet.
  ASSERT_TRUE(client.send(request + "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n" + request));
  EXPECT_TRUE(client.read_response().body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(json::parse(client.read_response().body)["version"], "0.1.0");
  EXPECT_TRUE(client.read_response().body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(Loopback, AnswersARequestThatArrivesByteByByte) {
  serve();
  RawClient client(port());
  const std::string body = kChat;
  const std::string request = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  for (const char c : request) ASSERT_TRUE(client.send(std::string(1, c)));
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_F(Loopback, TakesChunkedBodies) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"mes\r\n2d\r\nsages\":[{\"role\":\"user\",\"content\":\"chunked\"}]}\r\n0\r\n\r\n"));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200) << response.body;
}

TEST_F(Loopback, ContinuesWhenAsked) {
  serve();
  RawClient client(port());
  const std::string body = kChat;
  ASSERT_TRUE(client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n"));
  EXPECT_EQ(client.read_response().status, 100);
  ASSERT_TRUE(client.send(body));
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_F(Loopback, ClosesForHttp10) {
  serve();
  RawClient client(port());
  const std::string body = kStream;
  ASSERT_TRUE(client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body));
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(client.buffered().find("Transfer-Encoding"), std::string::npos);
  EXPECT_TRUE(client.buffered().ends_with("data: [DONE]\n\n"));
}

TEST_F(Loopback, RefusesMalformedInput) {
  serve();
  {
    RawClient client(port());
    ASSERT_TRUE(client.post("/v1/chat/completions", "{\"messages\":"));
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(json::parse(response.body)["error"]["type"], "invalid_request_error");
    ASSERT_TRUE(client.get("/health"));  // the connection survives
    EXPECT_EQ(client.read_response().status, 200);
  }
  for (const char* request :
       {"nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n"}) {
    RawClient client(port());
    ASSERT_TRUE(client.send(request));
    EXPECT_EQ(client.read_response().status, 400) << request;
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(Loopback, RefusesLargeBodies) {
  options_.max_body_bytes = 1000;
  serve();
  {
    RawClient client(port());
    client.post("/v1/chat/completions", std::string(200000, 'x'));
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 413);
    EXPECT_EQ(json::parse(response.body)["error"]["code"], "body_too_large");
  }
  {
    RawClient client(port());  // a client that waits for permission gets the refusal instead
    client.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
        "1001\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 413);
  }
  {
    RawClient client(port());
    client.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
        std::string(0x400, 'x') + "\r\n0\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 413);
  }
}

TEST_F(Loopback, RefusesLargeHeads) {
  options_.max_header_bytes = 1000;
  serve();
  RawClient client(port());
  client.send("GET /health HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 431);
}

TEST_F(Loopback, KeysAndPathsAreCheckedBeforeTheBody) {
  options_.api_keys = {"secret"};
  serve();
  const auto ask = [&](const std::string& head) {
    RawClient client(port());
    client.send(head);
    return client.read_response().status;
  };
  const std::string large = "Host: localhost\r\nContent-Length: 1000000\r\n\r\n";
  EXPECT_EQ(ask("POST /v1/chat/completions HTTP/1.1\r\n" + large), 401);
  EXPECT_EQ(ask("POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\n" + large), 401);
  EXPECT_EQ(ask("POST /nowhere HTTP/1.1\r\n" + large), 404);
  EXPECT_EQ(ask("POST /health HTTP/1.1\r\n" + large), 405);
  RawClient kept(port());  // a short body is read, and the connection goes on
  ASSERT_TRUE(kept.post("/v1/chat/completions", kChat));
  EXPECT_EQ(kept.read_response().status, 401);
  ASSERT_TRUE(kept.get("/health"));
  EXPECT_EQ(kept.read_response().status, 200);
}

TEST_F(Loopback, KeysInTrailersOpenNothing) {
  options_.api_keys = {"secret"};
  serve();
  RawClient client(port());
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\nAuthorization: Bearer secret\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 401);
}

TEST_F(Loopback, EndlessFramingIsRefused) {
  serve();
  const std::string chunked =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string x(1 << 20, 'b');
  for (const std::string& text : {chunked + "0\r\n" + x, chunked + "0\r\nX: " + x + "\r\n\r\n",
                                  chunked + "5;" + x, chunked + std::string(1 << 20, '0'),
                                  "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + x, "GET /" + x}) {
    RawClient client(port());
    client.send(text);
    EXPECT_EQ(client.read_response().status, 431);
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(Loopback, SlowRequestsAreToldSo) {
  options_.request_seconds = 1;
  serve();
  for (const char* text :
       {"GET /health HT",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab"}) {
    RawClient client(port());
    client.send(text);
    EXPECT_EQ(client.read_response().status, 408) << text;
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(Loopback, LargeRequestsDelayNobody) {
  options_.io_threads = 1;
  serve();
  const std::string body = R"({"messages":[{"role":"user","content":")" + std::string(1 << 20, 'x') + "\"}]}";
  RawClient large(port());
  ASSERT_TRUE(large.post("/v1/chat/completions", body));
  RawClient left(port());  // one that leaves before its turn
  ASSERT_TRUE(left.post("/v1/chat/completions", body));
  left.close();
  RawClient small(port());
  ASSERT_TRUE(small.post("/v1/chat/completions", kChat));
  EXPECT_EQ(small.read_response().status, 200);
  EXPECT_EQ(large.read_response(30000).status, 200);
}

TEST_F(Loopback, AnswersHeadWithoutABody) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.send(
      "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  ASSERT_TRUE(client.read_until("version\":"));
  EXPECT_EQ(client.buffered().find("status"), std::string::npos);
}

// The three ways to hang up, while streaming, while waiting for a whole reply, and while queued.
TEST_F(Loopback, DisconnectCancelsWithinASecond) {
  serve();
  int64_t expected = 0;
  for (const char* body : {kEndlessStream, kEndless}) {
    for (int way = 0; way < 2; ++way) {
      for (const bool queued : {false, true}) {
        backend_->hold(queued);
        RawClient client(port());
        ASSERT_TRUE(client.post("/v1/chat/completions", body));
        wait_until_running(1);
        if (body == kEndlessStream && !queued) {
          ASSERT_TRUE(client.read_until("data: "));
        }
        if (way == 0) client.close();
        if (way == 1) client.reset();
        EXPECT_LT(seconds_until_cancelled(++expected), 1.0) << body << " way " << way << " queued " << queued;
        EXPECT_EQ(backend_->running(), 0);
      }
    }
  }
}

TEST_F(Loopback, FinishedRepliesAreNotCancelled) {
  serve();
  {
    RawClient client(port());
    ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
    EXPECT_TRUE(client.read_response().complete);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(backend_->cancelled(), 0);
}

TEST_F(Loopback, SlowReaderHindersNobody) {
  serve(std::chrono::milliseconds(0));
  RawClient slow(port(), 4096);
  ASSERT_TRUE(
      slow.post("/v1/chat/completions",
                R"({"messages":[{"role":"user","content":"endless"}],"stream":true,"max_tokens":80000})"));
  ASSERT_TRUE(slow.read_until("data: "));
  // The engine is not held up: the slow one's tokens are all produced while it reads nothing.
  const auto begin = Clock::now();
  while (backend_->stats().requests_finished < 1 && Clock::now() - begin < std::chrono::seconds(20)) {
    RawClient client(port());
    ASSERT_TRUE(client.post("/v1/chat/completions", kChat));
    ASSERT_EQ(client.read_response().status, 200);
  }
  EXPECT_GE(backend_->stats().requests_finished, 1);
  EXPECT_TRUE(slow.read_until("data: [DONE]"));  // and nothing was lost
}

TEST_F(Loopback, ClientThatStopsReadingIsDropped) {
  options_.write_seconds = 1;
  serve(std::chrono::milliseconds(0));
  RawClient slow(port(), 4096);
  ASSERT_TRUE(slow.post("/v1/chat/completions", kEndlessStream));
  ASSERT_TRUE(slow.read_until("data: "));
  wait_until_closed();
  EXPECT_EQ(server_->connections(), 0);
  EXPECT_EQ(backend_->running(), 0);
}

TEST_F(Loopback, KeepsSilentStreamsAlive) {
  serve();
  backend_->hold(true);
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", kStream));
  ASSERT_TRUE(client.read_until(": keepalive\n\n"));
  backend_->hold(false);
  ASSERT_TRUE(client.read_until("data: [DONE]"));
}

TEST_F(Loopback, ClosesIdleAndStalledConnections) {
  options_.idle_seconds = 1;
  options_.request_seconds = 1;
  serve();
  RawClient idle(port());
  RawClient stalled(port());
  ASSERT_TRUE(stalled.send("POST /v1/chat/completions HTTP/1.1\r\nContent-Le"));
  EXPECT_TRUE(idle.at_end());
  EXPECT_TRUE(stalled.at_end());
  wait_until_closed();
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(Loopback, RefusesWhenFull) {
  serve(std::chrono::milliseconds(1), 1);
  backend_->hold(true);
  RawClient first(port());
  ASSERT_TRUE(first.post("/v1/chat/completions", kStream));
  wait_until_running(1);
  RawClient second(port());
  ASSERT_TRUE(second.post("/v1/chat/completions", kStream));
  const RawResponse response = second.read_response();
  EXPECT_EQ(response.status, 429);
  EXPECT_NE(response.head.find("Retry-After: 1"), std::string::npos);
  backend_->hold(false);
  EXPECT_TRUE(first.read_response().complete);
}

TEST_F(Loopback, LimitsConnections) {
  options_.max_connections = 2;
  serve();
  RawClient a(port());
  RawClient b(port());
  ASSERT_TRUE(a.get("/health") && b.get("/health"));
  EXPECT_EQ(a.read_response().status, 200);
  EXPECT_EQ(b.read_response().status, 200);
  RawClient c(port());
  EXPECT_EQ(c.read_response().status, 503);
  a.close();
  for (int attempt = 0;; ++attempt) {  // the place is free once the server has noticed
    RawClient d(port());
    d.get("/health");
    if (d.read_response().status == 200) break;
    ASSERT_LT(attempt, 1000);
  }
}

TEST_F(Loopback, ServesManyAtOnce) {
  serve(std::chrono::milliseconds(0));
  std::vector<std::thread> threads;
  std::atomic<int> complete{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      RawClient client(port());
      for (int i = 0; i < 25; ++i) {
        if (!client.post("/v1/chat/completions", i % 2 == 0 ? kStream : kChat)) return;
        if (!client.read_response().complete) return;
        ++complete;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(complete, 200);
}

TEST_F(Loopback, StopLetsRepliesFinish) {
  serve(std::chrono::milliseconds(20));
  RawClient busy(port());
  RawClient idle(port());
  ASSERT_TRUE(busy.post("/v1/chat/completions", kStream));
  wait_until_running(1);
  service_->begin_stop();
  server_->stop(std::chrono::seconds(10));
  const RawResponse response = busy.read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(idle.at_end());
  EXPECT_EQ(backend_->cancelled(), 0);
  EXPECT_FALSE(RawClient(port()).connected());
}

TEST_F(Loopback, StopCancelsWhatDoesNotFinish) {
  serve();
  RawClient stream(port());
  RawClient whole(port());
  ASSERT_TRUE(stream.post("/v1/chat/completions", kEndlessStream));
  ASSERT_TRUE(whole.post("/v1/chat/completions", kEndless));
  wait_until_running(2);
  const auto begin = Clock::now();
  service_->begin_stop();
  server_->stop(std::chrono::milliseconds(100));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(4));
  const RawResponse streamed = stream.read_response();
  EXPECT_NE(streamed.body.find(R"("error":{"message":"the request was cancelled)"), std::string::npos);
  EXPECT_TRUE(streamed.body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(whole.read_response().status, 503);
  EXPECT_EQ(backend_->cancelled(), 2);
}

TEST_F(Loopback, DestructionWithOpenConnections) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", kEndlessStream));
  wait_until_running(1);
  server_.reset();
  EXPECT_LT(seconds_until_cancelled(1), 1.0);
}

TEST_F(Loopback, ReportsAddressesThatCannotBeBound) {
  serve();
  Options taken = options_;
  taken.port = port();
  const auto second = HttpServer::start(taken, *service_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(port())), std::string::npos);
  taken.host = "no such host";
  EXPECT_FALSE(HttpServer::start(taken, *service_));
}

TEST_F(Loopback, ChatsInTheTerminal) {
  serve();
  ChatOptions options;
  options.url = "http://127.0.0.1:" + std::to_string(port());
  std::istringstream lines("/help\nhi\n/reasoning\n/think off\n\nhi again\n/history\n/exit\nnot read\n");
  std::ostringstream out;
  StreamInput in(lines, out);
  EXPECT_EQ(run_chat(options, in, out, false), 0);
  const std::string text = out.str();
  EXPECT_NE(text.find("fake-v4 at 127.0.0.1"), std::string::npos);
  EXPECT_NE(text.find("The answer is 42.\n[18 tokens in 6 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("/continue"), std::string::npos);
  EXPECT_NE(text.find("> hi\nThe answer is 42.\n> hi again\nThe answer is 42.\n"), std::string::npos) << text;
  EXPECT_EQ(backend_->requests().size(), 2U);
  EXPECT_GT(backend_->requests()[1].prompt.size(), backend_->requests()[0].prompt.size());  // it remembers
  options.url = "http://127.0.0.1:1";
  std::ostringstream nobody;
  EXPECT_EQ(run_chat(options, in, nobody, false), 2);
  EXPECT_NE(nobody.str().find("cannot reach"), std::string::npos);
}

TEST(HttpClient, ParsesUrls) {
  EXPECT_EQ(parse_url("http://h:81/a/")->path, "/a");
  EXPECT_EQ(parse_url("h")->port, "80");
  EXPECT_EQ(parse_url("http://[::1]:5")->host, "::1");
  for (const char* bad : {"https://h", "http://", "http://h:x", "http://:1"})
    EXPECT_FALSE(parse_url(bad)) << bad;
}

}  // namespace
}  // namespace ft::server
