#include "server/http/chunk_decoder.h"

#include <algorithm>

namespace ft::server {
namespace {

constexpr int kSizeDigitsMax = 15;  // fits 64 bits with room

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// What may stand in an extension or a trailer: no control characters but the tab.
bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}

}  // namespace

size_t ChunkDecoder::feed(std::string_view input) {
  size_t taken = 0;
  while (taken < input.size() && state_ != State::kDone && fault_ == Fault::kNone) {
    if (state_ != State::kData) {
      take(input[taken++]);
      continue;
    }
    const std::string_view data =
        input.substr(taken, static_cast<size_t>(std::min<uint64_t>(size_, input.size() - taken)));
    if (!sink_(data)) {
      fault_ = Fault::kRejected;
      break;
    }
    taken += data.size();
    size_ -= data.size();
    if (size_ == 0) {
      state_ = State::kDataEnd;
      line_ = 0;
    }
  }
  return taken;
}

void ChunkDecoder::count_framing() {
  if (++line_ > line_bytes_) fault_ = Fault::kLine;
  if (++framing_ > framing_bytes_ && fault_ == Fault::kNone) fault_ = Fault::kFraming;
}

void ChunkDecoder::end_size_line() {
  line_ = 0;
  state_ = size_ == 0 ? State::kTrailer : State::kData;
  line_empty_ = true;
}

// One byte of framing.
void ChunkDecoder::take(char c) {
  count_framing();
  if (fault_ != Fault::kNone) return;
  // A line feed ends a line after a carriage return, and neither may stand elsewhere.
  if (carriage_return_ != (c == '\n')) {
    fault_ = Fault::kMalformed;
    return;
  }
  if (c == '\r') {
    carriage_return_ = true;
    if (state_ == State::kSize && !any_digit_) fault_ = Fault::kMalformed;
    return;
  }
  switch (state_) {
    case State::kSize:
    case State::kExtension:
    case State::kSizeEnd:
      if (c == '\n') {
        end_size_line();
      } else if (const int digit = hex_digit(c); state_ == State::kSize && digit >= 0) {
        any_digit_ = true;
        size_ = size_ * 16 + static_cast<uint64_t>(digit);
        if (size_ > 0 && ++digits_ > kSizeDigitsMax) fault_ = Fault::kMalformed;
      } else if (state_ == State::kExtension) {
        if (!is_text(c)) fault_ = Fault::kMalformed;
      } else if (c == ';' && any_digit_) {
        state_ = State::kExtension;
      } else if ((c == ' ' || c == '\t') && any_digit_) {
        state_ = State::kSizeEnd;  // white space before the semicolon or the end of the line
      } else {
        fault_ = Fault::kMalformed;
      }
      break;
    case State::kDataEnd:
      if (c != '\n') {
        fault_ = Fault::kMalformed;
        break;
      }
      state_ = State::kSize;
      size_ = 0;
      digits_ = 0;
      any_digit_ = false;
      line_ = 0;
      break;
    case State::kTrailer:
      if (c != '\n') {
        if (!is_text(c)) fault_ = Fault::kMalformed;
        line_empty_ = false;
      } else if (line_empty_) {
        state_ = State::kDone;
      } else {
        line_empty_ = true;
      }
      break;
    case State::kData:
    case State::kDone:
      break;
  }
  carriage_return_ = false;
}

}  // namespace ft::server
