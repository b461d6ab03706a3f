#include "encoding/utf8.h"

#include <algorithm>

namespace ft::encoding {
namespace {

// What a lead byte promises: how many bytes, and which second bytes are allowed (they alone exclude overlong
// forms, surrogates and code points beyond U+10FFFF).
struct Lead {
  uint32_t length;
  uint8_t second_low, second_high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0xC2) return {0, 0, 0};  // continuation bytes and the overlong leads C0, C1
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The first two bytes of an encoded surrogate, with nothing behind them. They are ill-formed already, but the
// reference streams through Python's incremental decoder, which waits for the third byte; the text is the
// same either way.
bool is_torn_surrogate(std::string_view bytes) {
  return bytes.size() == 2 && bytes[0] == '\xED' && static_cast<uint8_t>(bytes[1]) >= 0xA0 &&
         static_cast<uint8_t>(bytes[1]) <= 0xBF;
}

}  // namespace

Utf8Step read_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  if (first < 0x80) return {Utf8Step::Kind::kCharacter, 1, first};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {Utf8Step::Kind::kIllFormed, 1, 0};
  char32_t code_point = first & (0xFFu >> (lead.length + 1));
  for (uint32_t i = 1; i < lead.length; ++i) {
    if (at + i >= text.size()) return {Utf8Step::Kind::kIncomplete, i, 0};
    const uint8_t next = byte(at + i);
    const uint8_t low = i == 1 ? lead.second_low : 0x80;
    const uint8_t high = i == 1 ? lead.second_high : 0xBF;
    if (next < low || next > high) return {Utf8Step::Kind::kIllFormed, i, 0};
    code_point = code_point << 6 | (next & 0x3Fu);
  }
  return {Utf8Step::Kind::kCharacter, lead.length, code_point};
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    at += step.length;
  }
  return true;
}

std::string replace_ill_formed(std::string_view text) {
  Utf8Stream stream;
  std::string out = stream.feed(text);
  out += stream.flush();
  return out;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const uint32_t c = code_point;
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::string Utf8Stream::feed(std::string_view bytes) {
  std::string joined;
  if (!tail_.empty()) {
    joined = tail_.append(bytes);
    bytes = joined;
    tail_.clear();
  }
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    if (is_torn_surrogate(bytes.substr(at))) {
      tail_.assign(bytes.substr(at));
      break;
    }
    const Utf8Step step = read_utf8(bytes, at);
    switch (step.kind) {
      case Utf8Step::Kind::kCharacter:
        out.append(bytes, at, step.length);
        break;
      case Utf8Step::Kind::kIllFormed:
        out += kReplacementCharacter;
        break;
      case Utf8Step::Kind::kIncomplete:
        tail_.assign(bytes.substr(at));
        break;
    }
    at += step.length;
  }
  return out;
}

std::string Utf8Stream::flush() {
  std::string out;
  for (size_t at = 0; at < tail_.size(); at += read_utf8(tail_, at).length) out += kReplacementCharacter;
  tail_.clear();
  return out;
}

}  // namespace ft::encoding
