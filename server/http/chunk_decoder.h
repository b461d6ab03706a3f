// The chunked transfer coding (RFC 9112, 7.1), decoded as it comes. Extensions and trailers are dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace ft::server {

class ChunkDecoder {
 public:
  enum class State { kSize, kExtension, kSizeEnd, kData, kDataEnd, kTrailer, kDone };
  enum class Fault {
    kNone,
    kMalformed,
    kLine,      // a chunk line or the trailer section is larger than `line_bytes`
    kFraming,   // all chunk lines together are larger than `framing_bytes`
    kRejected,  // the sink did not take the data
  };

  // `sink` takes the data, piece by piece; false ends the decoding with kRejected.
  ChunkDecoder(size_t line_bytes, uint64_t framing_bytes, std::function<bool(std::string_view)> sink)
      : line_bytes_(line_bytes), framing_bytes_(framing_bytes), sink_(std::move(sink)) {}

  // Takes `input`, up to the end of the body, and says how many bytes. Nothing is kept between calls but
  // where in a line it stands. After a fault nothing more is to be fed.
  size_t feed(std::string_view input);

  bool done() const { return state_ == State::kDone; }
  Fault fault() const { return fault_; }

 private:
  void take(char c);
  void count_framing();
  void end_size_line();

  const size_t line_bytes_;
  const uint64_t framing_bytes_;
  const std::function<bool(std::string_view)> sink_;
  State state_ = State::kSize;
  Fault fault_ = Fault::kNone;
  uint64_t size_ = 0;  // of the chunk, then what is left of it
  int digits_ = 0;     // of the size, leading zeros aside
  bool any_digit_ = false;
  bool carriage_return_ = false;  // the last byte of a line was one
  bool line_empty_ = true;        // of the trailer
  size_t line_ = 0;               // bytes of this line, or of the whole trailer section
  uint64_t framing_ = 0;
};

}  // namespace ft::server
