// What clients of such servers do with a connection that is easily answered wrong: one row for each kind, as in
// client_inputs_test.cc.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "server/log.h"
#include "tests/server/loopback_fixture.h"

namespace ft::server {
namespace {

using namespace testing;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

class ClientConnections : public Loopback {
 protected:
  // What the log says of the one request that `leave` gives up once it runs.
  template <class Leave>
  std::string logged(const char* body, Leave leave) {
    ::testing::internal::CaptureStderr();
    start_logging(LogLevel::kInfo);
    {
      RawClient client(port());
      EXPECT_TRUE(client.post("/v1/chat/completions", body));
      wait_until_running(1);
      leave(client);
    }
    wait_until_closed();
    stop_logging();
    // The engine has seen it too: what runs then is the next one.
    while (backend_->running() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return ::testing::internal::GetCapturedStderr();
  }
};

// A client that sends nothing more may still wait for its reply.
TEST_F(ClientConnections, HalfClosedConnectionsAreAnswered) {
  serve(std::chrono::milliseconds(50));
  for (const char* body : {kChat, kStream}) {
    RawClient client(port());
    ASSERT_TRUE(client.post("/v1/chat/completions", body));
    wait_until_running(1);
    client.half_close();
    EXPECT_TRUE(client.read_until("42", 5000)) << client.buffered();
    EXPECT_TRUE(client.at_end());
    EXPECT_EQ(client.buffered().find("error"), std::string::npos);
  }
  EXPECT_EQ(backend_->cancelled(), 0);
}

TEST_F(ClientConnections, HalfClosedConnectionsMayHaveSentSeveralRequests) {
  serve();
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", kChat));
  ASSERT_TRUE(client.get("/version"));
  ASSERT_TRUE(client.send("GET /health"));  // and the beginning of one
  client.half_close();
  EXPECT_TRUE(client.read_until("\"version\"")) << client.buffered();
  EXPECT_TRUE(client.at_end());
}

TEST_F(ClientConnections, TakesCompressedBodies) {
  serve();
  RawClient client(port());
  const std::string packed = gzip(kChat);
  ASSERT_TRUE(client.post("/v1/chat/completions", packed, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(client.read_response().status, 200);
  ASSERT_TRUE(client.post("/v1/chat/completions", packed, "Content-Encoding: br\r\n"));
  EXPECT_EQ(client.read_response().status, 415);
  ASSERT_TRUE(client.post("/v1/chat/completions", kChat, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(client.read_response().status, 400);
  ASSERT_TRUE(
      client.post("/v1/chat/completions", packed.substr(0, packed.size() - 9), "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(client.read_response().status, 400);
  // What it holds counts, not what was sent.
  ASSERT_TRUE(
      client.post("/v1/chat/completions", gzip(std::string(64 << 20, ' ')), "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(client.read_response(20000).status, 413);
}

// A million Chinese tokens are 10.8 MB as \u escapes.
TEST_F(ClientConnections, BodiesMayBeAsLargeAsTheContextAllows) {
  std::string escaped;
  while (escaped.size() < 9 << 20) escaped += "\\u0061";
  const std::string body = R"({"messages":[{"role":"user","content":")" + escaped + "\"}]}";
  serve();  // a context of 2 Mi tokens, which are bytes here
  RawClient client(port());
  ASSERT_TRUE(client.post("/v1/chat/completions", body));
  EXPECT_EQ(client.read_response(20000).status, 200);
  EXPECT_GT(backend_->requests().back().prompt.size(), escaped.size() / 6);
  // A smaller one would not hold it.
  server_.reset();
  serve(std::chrono::milliseconds(1), 64, 1 << 16);
  RawClient other(port());
  other.post("/v1/chat/completions", body);
  const RawResponse refused = other.read_response(20000);
  EXPECT_EQ(refused.status, 413);
  EXPECT_NE(refused.body.find("8388608"), std::string::npos) << refused.body;
}

TEST_F(ClientConnections, TakesTargetsAsClientsWriteThem) {
  serve();
  for (const char* target : {"//v1//models", "/v1/models/", "http://localhost/v1/models", "/beta/models"}) {
    RawClient client(port());
    ASSERT_TRUE(client.send(std::string("\r\n\r\nGET ") + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    EXPECT_EQ(client.read_response().status, 200) << target;
  }
  // The host of the target counts, so that this is no way around the check of it.
  RawClient client(port());
  ASSERT_TRUE(client.send("GET http://elsewhere.example/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_EQ(client.read_response().status, 403);
}

// The work that was done for a client that left is in the log: the prompt was read, steps were taken.
TEST_F(ClientConnections, TheLogCountsWhatWasCancelled) {
  serve();
  std::string text =
      logged(kEndlessStream, [](RawClient& client) { EXPECT_TRUE(client.read_until(R"("content":".")")); });
  const std::string prompt = fmt::format(" cancelled prompt={} ", backend_->requests().back().prompt.size());
  EXPECT_NE(text.find(prompt), std::string::npos) << text;
  const auto number = [&](std::string_view name) {
    const size_t at = text.find(name);
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + name.size());
  };
  EXPECT_GE(number(" completion="), 17) << text;  // the bytes of "The answer is 42."
  EXPECT_GE(number(" steps="), 5) << text;        // four bytes each
  EXPECT_LE(number(" steps="), number(" completion=")) << text;
  // One that waited for its turn, or for a whole reply, had its prompt too.
  for (const bool queued : {true, false}) {
    backend_->hold(queued);
    text = logged(kEndless, [](RawClient& client) { client.close(); });
    EXPECT_NE(text.find(prompt), std::string::npos) << text;
    EXPECT_TRUE(!queued || number(" steps=") == 0) << text;
  }
}

}  // namespace
}  // namespace ft::server
