#include "server/http/event_stream.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/_experimental/test/stream.hpp>

namespace ft::server {
namespace {

namespace beast = boost::beast;
namespace net = boost::asio;
using Error = boost::system::error_code;
using TestStream = beast::test::stream;

// Sends a head, three events and the end; the first error and what arrived.
struct Sent {
  Error error;
  std::string bytes;
  int sends_done = 0;
};

Sent send_all(TestStream& stream, net::io_context& context, bool chunked) {
  Sent sent;
  TestStream peer(context);
  stream.connect(peer);
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        EventStream<TestStream> events(stream, chunked);
        sent.error = co_await events.open("HEAD\r\n\r\n");
        if (sent.error) co_return;
        for (const char* event : {"data: one\n\n", "data: two two two\n\n", ": keepalive\n\n"}) {
          events.events() += event;
          if (!events.send(false, sent.error)) sent.error = co_await events.send_rest();
          if (sent.error) co_return;
          ++sent.sends_done;
        }
        if (!events.send(true, sent.error)) sent.error = co_await events.send_rest();
      },
      [](std::exception_ptr failure) { EXPECT_FALSE(failure); });
  context.run();
  sent.bytes = std::string(peer.str());
  return sent;
}

const std::string kChunked =
    "HEAD\r\n\r\nb\r\ndata: one\n\n\r\n13\r\ndata: two two two\n\n\r\nd\r\n: keepalive\n\n\r\n0\r\n\r\n";
const std::string kPlain = "HEAD\r\n\r\ndata: one\n\ndata: two two two\n\n: keepalive\n\n";

TEST(EventStream, FramesEvents) {
  for (const bool chunked : {true, false}) {
    net::io_context context;
    TestStream stream(context);
    const Sent sent = send_all(stream, context, chunked);
    EXPECT_FALSE(sent.error);
    EXPECT_EQ(sent.bytes, chunked ? kChunked : kPlain);
  }
}

TEST(EventStream, EndsTheBodyWithItsLastEvents) {
  net::io_context context;
  TestStream stream(context);
  TestStream peer(context);
  stream.connect(peer);
  EventStream<TestStream> events(stream, true);
  events.events() += "data: one\n\n";
  Error error;
  EXPECT_TRUE(events.send(true, error));
  EXPECT_FALSE(error);
  EXPECT_EQ(peer.str(), "b\r\ndata: one\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(stream.nwrite(), 1U);  // with one call
}

// The stream fails at its N-th operation, for every N: the error comes back, and what was sent is a prefix.
TEST(EventStream, SurvivesEveryFailingOperation) {
  for (const size_t write_max : {1U, 3U, 1024U}) {
    for (size_t operation = 1;; ++operation) {
      ASSERT_LT(operation, 500U);
      net::io_context context;
      beast::test::fail_count failure(operation);
      TestStream stream(context, failure);
      stream.write_size(write_max);
      const Sent sent = send_all(stream, context, true);
      EXPECT_TRUE(kChunked.starts_with(sent.bytes));
      if (!sent.error) {
        EXPECT_EQ(sent.bytes, kChunked);
        EXPECT_GE(operation, 5U);  // the loop did pass through failures
        break;
      }
      EXPECT_EQ(sent.error, beast::test::error::test_failure);
      EXPECT_LT(sent.bytes.size(), kChunked.size());
    }
  }
}

TEST(EventStream, ReportsAPeerThatIsGone) {
  net::io_context context;
  TestStream stream(context);
  {
    TestStream peer(context);
    stream.connect(peer);
  }
  Error error;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        EventStream<TestStream> events(stream, true);
        events.events() += "data: x\n\n";
        if (!events.send(false, error)) error = co_await events.send_rest();
      },
      [](std::exception_ptr failure) { EXPECT_FALSE(failure); });
  context.run();
  EXPECT_TRUE(error);
}

}  // namespace
}  // namespace ft::server
