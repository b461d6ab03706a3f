#include "server/http/request_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace ft::server {
namespace {

constexpr RequestLimits kLimits{.head_bytes = 300, .body_bytes = 100};

struct Parsed {
  HttpRequest request;
  std::optional<ApiError> fault;
  bool done = false;
  std::string rest;
};

// As a session does it: reads of `step` bytes, what was not taken stays in front.
Parsed parse(const std::string& input, size_t step, BodyBudget& budget,
             const RequestLimits& limits = kLimits) {
  RequestParser parser(limits, budget);
  std::string buffer;
  size_t read = 0;
  for (;;) {
    buffer.erase(0, parser.feed(buffer));
    if (parser.fault() || parser.done()) break;
    if (parser.head_done() && !buffer.empty()) continue;
    if (read == input.size()) break;
    buffer += input.substr(read, step);
    read += std::min(step, input.size() - read);
  }
  return {std::move(parser.request()), parser.fault(), parser.done(), buffer + input.substr(read)};
}

int status_of(const std::string& input, size_t step = 1000) {
  BodyBudget budget(1000);
  const Parsed parsed = parse(input, step, budget);
  return parsed.fault ? parsed.fault->status : parsed.done ? 200 : 0;
}

TEST(RequestParser, ReadsRequestsAtEverySplit) {
  const std::string first =
      "\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nX-Two:  v \r\nContent-Length: 5\r\n\r\nhello";
  const std::string second =
      "POST /c HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nHost: "
      "t\r\n\r\n";
  for (const std::string& text : {first, second}) {
    for (size_t step = 1; step <= text.size() + 3; ++step) {
      BodyBudget budget(1000);
      const Parsed parsed = parse(text + "GET", step, budget);
      ASSERT_TRUE(parsed.done) << step;
      EXPECT_EQ(parsed.request.body, "hello");
      EXPECT_EQ(parsed.request.method, "POST");
      EXPECT_EQ(parsed.request.header("host"), "h");
      EXPECT_EQ(parsed.rest, "GET");
      EXPECT_EQ(budget.used(), 0);
    }
  }
}

TEST(RequestParser, TrailersAreDropped) {
  BodyBudget budget(1000);
  const Parsed parsed = parse(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer "
      "k\r\nConnection: "
      "close\r\nContent-Length: 9\r\n\r\n",
      1000, budget);
  EXPECT_TRUE(parsed.done);
  EXPECT_EQ(parsed.request.headers.size(), 2U);
  EXPECT_TRUE(parsed.request.keep_alive);
}

TEST(RequestParser, RefusesOtherTransferEncodings) {
  const auto with = [](const std::string& fields, const char* version = "1.1") {
    return status_of(std::string("POST / HTTP/") + version + "\r\nHost: h\r\n" + fields + "\r\n0\r\n\r\n");
  };
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\n"), 200);
  for (const char* value : {"xchunked", "gzip", "identity", "\"chunked\"", "chunked, identity",
                            "gzip, chunked", "chunked, chunked", ""})
    EXPECT_EQ(with("Transfer-Encoding: " + std::string(value) + "\r\n"), 501) << value;
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 501);
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(with("Transfer-Encoding: chunked\r\n", "1.0"), 400);
  EXPECT_EQ(with("Transfer-Encoding:\r\n chunked\r\n"), 400);
}

TEST(RequestParser, RefusesMalformedHeads) {
  for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
                           "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                           "GET / HTTP/1.1\nHost: a\n\n", "\x16\x03\x01\x02\x05\x01",
                           "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"})
    EXPECT_EQ(status_of(text), 400) << text;
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 200);
}

TEST(RequestParser, EveryByteCountsAgainstALimit) {
  const std::string x(1000, 'x');
  const std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const size_t step : {1, 50, 100000}) {
    EXPECT_EQ(status_of("GET /" + x, step), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nX: " + x, step), 431);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nX: " + x + "\r\n\r\n", step), 431);
    EXPECT_EQ(status_of(x, step), 431);
    std::string lines;
    for (int i = 0; i < 200; ++i) lines += "\r\n";
    EXPECT_EQ(status_of(lines, step), 431);
    EXPECT_EQ(status_of(chunked + "5;" + x, step), 431);
    EXPECT_EQ(status_of(chunked + std::string(1000, '0'), step), 431);
    EXPECT_EQ(status_of(chunked + "0\r\nX: " + x, step), 431);
    EXPECT_EQ(status_of(chunked + "0\r\n" + x, step), 431);
    EXPECT_EQ(status_of(chunked + "65\r\n" + x, step), 413);
    EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", step), 413);
  }
  // Exactly as large as it may be.
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
  for (const size_t step : {1, 100000}) {
    EXPECT_EQ(status_of(start + std::string(300 - start.size() - 4, 'x') + "\r\n\r\n", step), 200);
    EXPECT_EQ(status_of(start + std::string(301 - start.size() - 4, 'x') + "\r\n\r\n", step), 431);
  }
}

TEST(RequestParser, BodiesShareABudget) {
  constexpr RequestLimits kLarge{.head_bytes = 300, .body_bytes = 1 << 20};
  const auto post = [](size_t bytes) {
    return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" +
           std::string(bytes, 'x');
  };
  BodyBudget budget(150);
  for (const size_t step : {10000, 1 << 20}) {
    Parsed first = parse(post(kUncountedBytes + 100), step, budget, kLarge);
    EXPECT_TRUE(first.done);
    EXPECT_EQ(budget.used(), 100);
    const Parsed second = parse(post(kUncountedBytes + 51), step, budget, kLarge);
    ASSERT_TRUE(second.fault);
    EXPECT_EQ(second.fault->status, 503);
    EXPECT_EQ(second.fault->retry_after_seconds, 1);
    EXPECT_TRUE(parse(post(kUncountedBytes), step, budget, kLarge).done);  // small ones always have room
    first.request.release_body();
    EXPECT_EQ(budget.used(), 0);
    EXPECT_TRUE(parse(post(kUncountedBytes + 150), step, budget, kLarge).done);
    EXPECT_EQ(budget.used(), 0);
  }
}

TEST(RequestParser, UnwantedBodiesAreNotKept) {
  BodyBudget budget(10);
  RequestParser parser(kLimits, budget);
  parser.feed("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
  ASSERT_TRUE(parser.head_done());
  EXPECT_EQ(parser.announced(), 100U);
  parser.drop_body();
  EXPECT_EQ(parser.feed(std::string(120, 'x')), 100U);
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(parser.request().body, "");
  EXPECT_EQ(budget.used(), 0);
}

}  // namespace
}  // namespace ft::server
