#include "server/http/chunk_decoder.h"

#include <gtest/gtest.h>

#include <string>

namespace ft::server {
namespace {

using Fault = ChunkDecoder::Fault;

struct Decoded {
  std::string data;
  Fault fault = Fault::kNone;
  bool done = false;
  size_t taken = 0;
};

// Feeds `input` in pieces of `step` bytes.
Decoded decode(const std::string& input, size_t step, size_t line_bytes = 64, uint64_t framing_bytes = 1000) {
  Decoded out;
  ChunkDecoder decoder(line_bytes, framing_bytes, [&](std::string_view data) {
    out.data += data;
    return true;
  });
  while (out.taken < input.size() && !decoder.done() && decoder.fault() == Fault::kNone) {
    const std::string piece = input.substr(out.taken, step);
    out.taken += decoder.feed(piece);
  }
  out.fault = decoder.fault();
  out.done = decoder.done();
  return out;
}

TEST(ChunkDecoder, DecodesAtEverySplit) {
  const std::string body =
      "4\r\nWiki\r\n6;name=\"v\" \r\npedia \r\nE \r\n in\r\n\r\nchunks.\r\n0\r\nX: y\r\n\r\n";
  for (size_t step = 1; step <= body.size(); ++step) {
    const Decoded out = decode(body + "GET", step);
    EXPECT_EQ(out.data, "Wikipedia  in\r\n\r\nchunks.") << step;
    EXPECT_TRUE(out.done) << step;
    EXPECT_EQ(out.taken, body.size()) << step;
  }
}

TEST(ChunkDecoder, AnEmptyBodyIsDone) {
  for (size_t step = 1; step <= 5; ++step) EXPECT_TRUE(decode("0\r\n\r\n", step).done) << step;
}

TEST(ChunkDecoder, RefusesWhatOthersReadDifferently) {
  for (const char* body : {"\r\n", "g\r\n", "-1\r\n", "0x5\r\nabcde\r\n", " 5\r\nabcde\r\n", ";x\r\n",
                           "5\nabcde\r\n", "5\r\nabcdeX", "5\r\nabcde\n", "5\r\rabcde", "5 5\r\nabcde",
                           "5;\x01\r\nabcde", "10000000000000000\r\n", "5;a\nb\r\nabcde", "0\r\nX: y\n\n",
                           "0\r\n\rX", "0\r\nX\r\r\n\r\n", "+5\r\nabcde\r\n"}) {
    for (const size_t step : {1, 3, 100}) EXPECT_EQ(decode(body, step).fault, Fault::kMalformed) << body;
  }
}

TEST(ChunkDecoder, BoundsLinesTrailersAndFraming) {
  const std::string x(100, 'x');
  for (const size_t step : {1, 7, 1000}) {
    EXPECT_EQ(decode("5;" + x + "\r\n", step).fault, Fault::kLine);
    EXPECT_EQ(decode(std::string(100, '0') + "5\r\n", step).fault, Fault::kLine);
    EXPECT_EQ(decode("0\r\nX: " + x + "\r\n\r\n", step).fault, Fault::kLine);
    std::string trailers = "0\r\n";
    for (int i = 0; i < 20; ++i) trailers += "X: y\r\n";
    EXPECT_EQ(decode(trailers + "\r\n", step).fault, Fault::kLine);
    std::string chunks;
    for (int i = 0; i < 20; ++i) chunks += "1;" + x.substr(0, 50) + "\r\na\r\n";
    EXPECT_EQ(decode(chunks + "0\r\n\r\n", step).fault, Fault::kFraming);
  }
}

TEST(ChunkDecoder, EndsWhenTheSinkRefuses) {
  ChunkDecoder decoder(64, 1000, [](std::string_view) { return false; });
  decoder.feed("3\r\nabc\r\n");
  EXPECT_EQ(decoder.fault(), Fault::kRejected);
}

}  // namespace
}  // namespace ft::server
