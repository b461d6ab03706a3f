// Framing that is endless, or that two servers would read differently.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/abuse/framing_attacks.h"
#include "tests/abuse/live_server.h"

namespace ft::abuse {
namespace {

class Framing : public LiveServer {
 protected:
  void SetUp() override { start(); }

  std::string whole(std::string_view name, size_t bytes) {
    const std::vector<FramingAttack> all = framing_attacks(server_);
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const FramingAttack& one) { return one.name == name; });
    EXPECT_NE(found, all.end()) << name;
    std::string text = found->begin;
    while (text.size() < found->begin.size() + bytes)
      text += found->filler.substr(0, found->begin.size() + bytes - text.size());
    return text + found->end;
  }
  // The status and that the connection ends, for 64 KiB (where Beast throws) and for 1 MiB.
  void expect_refused(std::string_view name, const std::vector<int>& expected) {
    for (const size_t bytes : {size_t{65'535}, size_t{1} << 20}) {
      RawClient client(server_.port);
      client.send(whole(name, bytes));
      const int status = client.read_response().status;
      EXPECT_NE(std::find(expected.begin(), expected.end(), status), expected.end())
          << name << ", " << bytes << " bytes: " << status;
      EXPECT_TRUE(client.at_end()) << name;
      ASSERT_TRUE(lives()) << name << ", " << bytes << " bytes: " << program_->errors();
    }
  }
};

TEST_F(Framing, ALongTrailerValueIsRefused) {
  expect_refused("trailer value", {400, 431});
}
TEST_F(Framing, ALongTrailerNameIsRefused) {
  expect_refused("trailer name", {400, 431});
}
TEST_F(Framing, ManyTrailersAreRefused) {
  expect_refused("trailer count", {400, 431});
}
TEST_F(Framing, ALongChunkExtensionIsRefused) {
  expect_refused("chunk extension", {400, 431});
}
TEST_F(Framing, ALongChunkSizeLineIsRefused) {
  expect_refused("chunk-size line", {400, 431});
}
TEST_F(Framing, ALongHeaderIsRefused) {
  expect_refused("header value", {400, 431});
  expect_refused("header name", {400, 431});
  expect_refused("blanks in a header", {400, 431});
}
TEST_F(Framing, ManyHeadersAreRefused) {
  expect_refused("header count", {400, 431});
}
TEST_F(Framing, ALongTargetIsRefused) {
  expect_refused("target", {400, 414, 431});
}
TEST_F(Framing, EmptyLinesAheadOfARequestAreCounted) {
  expect_refused("empty lines", {400, 431});
}
TEST_F(Framing, NobodyReadsABodyToNowhere) {
  expect_refused("trailer value, unknown path", {404});
  expect_refused("chunk extension, unknown path", {404});
}

TEST_F(Framing, EndlessFramingTakesNoMemory) {
  serve();  // a model that loads takes memory, too
  for (const char* name :
       {"trailer value", "trailer count", "chunk extension", "chunk-size line", "extensions of many chunks",
        "chunks of one byte", "header value", "empty lines"}) {
    const std::string bytes = whole(name, 48 << 20);
    process().reset_peak();
    const int64_t before = process().memory().resident;
    RawClient client(server_.port);
    client.send(bytes);  // for as long as it is taken
    client.at_end();
    // A body is held up to the limit of 8 MiB, and once more while it grows.
    EXPECT_LT(mib(process().memory().peak - before), 24) << name;
  }
  EXPECT_TRUE(lives());
}

TEST_F(Framing, UnknownTransferEncodingsAreRefused) {
  for (const char* coding : {"xchunked", "gzip", "identity", "\"chunked\"", "chunked, identity",
                             "gzip, chunked", "chunked, chunked", "chunked;q=1", ""}) {
    RawClient client(server_.port);
    client.send(
        fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {}\r\n\r\n"
                    "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    kChat, coding));
    const int status = client.read_response().status;
    EXPECT_TRUE(status == 400 || status == 501) << coding << ": " << status;
    EXPECT_TRUE(client.at_end()) << coding;
    EXPECT_EQ(client.buffered(), "") << coding << ": what follows was taken for a request";
  }
}

TEST_F(Framing, ABodyHasOneLength) {
  for (const char* headers :
       {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n", "Content-Length: +5\r\n", "Content-Length: 0x5\r\n",
        "Content-Length: 99999999999999999999\r\n"}) {
    RawClient client(server_.port);
    client.send(
        fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n0\r\n\r\n"
                    "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    kChat, headers));
    const int status = client.read_response().status;
    EXPECT_TRUE(status == 400 || status == 413 || status == 501) << headers << status;
    EXPECT_TRUE(client.at_end()) << headers;
    EXPECT_EQ(client.buffered(), "") << headers;
  }
}

TEST_F(Framing, FoldedLinesAreRefused) {
  for (const char* headers : {"X: a\r\n b\r\n", "Transfer-Encoding:\r\n chunked\r\n",
                              "Transfer-Encoding: chunked\r\n ,identity\r\n"}) {
    RawClient client(server_.port);
    client.send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n0\r\n\r\n", kChat, headers));
    const int status = client.read_response().status;
    EXPECT_TRUE(status == 400 || status == 501) << headers << status;
    EXPECT_TRUE(client.at_end()) << headers;
  }
}

TEST_F(Framing, ChunkSizesAreHexadecimalNumbers) {
  for (const char* body :
       {"0x5\r\nhello\r\n0\r\n\r\n", "-1\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n", "5\nhello\n0\n\n", "g\r\n\r\n"}) {
    RawClient client(server_.port);
    client.send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                            kChat, body));
    const int status = client.read_response().status;
    EXPECT_TRUE(status == 400 || status == 413) << body << ": " << status;
    EXPECT_TRUE(client.at_end()) << body;
  }
}

TEST_F(Framing, NothingInATrailerIsAHeader) {
  const auto with_trailer = [&](std::string_view trailer) {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\n{{}}\r\n0\r\n{}\r\n\r\n",
        kChat, trailer);
  };
  EXPECT_EQ(answer_to(with_trailer("x-request-id: mine")).head.find("mine"), std::string::npos);
  // Neither does one refuse or redirect the request.
  const int status = status_of(with_trailer("X: y"));
  for (const char* trailer : {"Host: rebind.evil", "Content-Type: text/plain", "Content-Length: 5",
                              "Transfer-Encoding: gzip", "Origin: http://evil"})
    EXPECT_EQ(status_of(with_trailer(trailer)), status) << trailer;
}

TEST_F(Framing, OtherProtocolsAreRefusedOrClosed) {
  for (const std::string& request : doubtful_requests()) {
    RawClient client(server_.port);
    client.send(request);
    client.half_close();
    const int status = client.read_response().status;
    // 503: the model may still be loading.
    EXPECT_TRUE(status < 500 || status == 501 || status == 503) << request << status;
    EXPECT_TRUE(client.at_end()) << request;
  }
  EXPECT_TRUE(lives());
}

}  // namespace
}  // namespace ft::abuse
