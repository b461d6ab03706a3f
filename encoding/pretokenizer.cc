#include "encoding/pretokenizer.h"

#include <cstddef>
#include <cstdint>

#include "encoding/unicode_category.h"
#include "encoding/utf8.h"

namespace ft::encoding {

const std::string_view kPretokenizerPatterns[3] = {
    "\\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
};

namespace {

bool is_ascii_letter(char32_t c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
bool is_newline(char32_t c) {
  return c == '\r' || c == '\n';
}
bool is_cjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
}

// One character at a byte offset, with what the patterns ask about it.
struct Char {
  char32_t code_point = 0;
  uint32_t length = 0;  // 0: the end
  CharClass cls = CharClass::kOther;

  bool end() const { return length == 0; }
  bool letter_or_mark() const { return cls == CharClass::kLetter || cls == CharClass::kMark; }
  bool punctuation_or_symbol() const { return cls == CharClass::kPunctuation || cls == CharClass::kSymbol; }
  bool ascii_punctuation() const { return code_point < 0x80 && punctuation_or_symbol(); }
};

Char char_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const Utf8Step step = read_utf8(text, at);
  return {step.code_point, step.length, char_class(step.code_point)};
}

// End of the run of characters from `at` on that satisfy `in_run`.
template <class Predicate>
size_t run_end(std::string_view text, size_t at, Predicate in_run) {
  while (true) {
    const Char c = char_at(text, at);
    if (c.end() || !in_run(c)) return at;
    at += c.length;
  }
}

// Alternatives 4 to 6 for a whitespace run that begins at `at`: through its last newline; else all of it at
// the end of the piece; else all but its last character, which may belong to what follows.
size_t white_space_end(std::string_view text, size_t at) {
  size_t end = at, last_begin = at, after_newline = at;
  while (true) {
    const Char c = char_at(text, end);
    if (c.end() || !is_white_space(c.code_point)) break;
    last_begin = end;
    end += c.length;
    if (is_newline(c.code_point)) after_newline = end;
  }
  if (after_newline > at) return after_newline;
  if (end == text.size() || last_begin == at) return end;
  return last_begin;
}

// End of the match of the third pattern at `at`, or `at` if there is none.
size_t match_end(std::string_view text, size_t at) {
  const auto letters = [](const Char& c) { return c.letter_or_mark(); };
  const auto signs = [](const Char& c) { return c.punctuation_or_symbol(); };
  const Char c = char_at(text, at);
  const size_t next_at = at + c.length;
  const Char next = char_at(text, next_at);
  if (c.ascii_punctuation() && is_ascii_letter(next.code_point)) {
    return run_end(text, next_at, [](const Char& x) { return is_ascii_letter(x.code_point); });
  }
  if (c.letter_or_mark()) return run_end(text, next_at, letters);
  if (!is_newline(c.code_point) && !c.punctuation_or_symbol() && next.letter_or_mark()) {
    return run_end(text, next_at, letters);
  }
  if (c.punctuation_or_symbol() || (c.code_point == ' ' && next.punctuation_or_symbol())) {
    const size_t end = run_end(text, next_at, signs);
    return run_end(text, end, [](const Char& x) { return is_newline(x.code_point); });
  }
  if (is_white_space(c.code_point)) return white_space_end(text, at);
  return at;
}

}  // namespace

std::string_view PieceSplitter::take_until(size_t end) {
  const std::string_view piece = text_.substr(at_, end - at_);
  at_ = end;
  return piece;
}

// The first two patterns match disjoint sets of characters, so they are applied in one pass: maximal runs of
// numbers, of CJK characters and of the rest. Numbers in groups of three cannot be cut further by the third
// pattern.
std::string_view PieceSplitter::next() {
  if (at_ == text_.size()) return {};
  if (at_ == run_end_) {
    const auto number = [](const Char& c) { return c.cls == CharClass::kNumber; };
    const auto cjk = [](const Char& c) { return is_cjk(c.code_point); };
    const auto rest = [&](const Char& c) { return !number(c) && !cjk(c); };
    const Char c = char_at(text_, at_);
    if (number(c)) return next_number();
    run_end_ = cjk(c) ? run_end(text_, at_, cjk) : run_end(text_, at_, rest);
    match_end_ = at_;
  }
  return next_word();
}

std::string_view PieceSplitter::next_number() {
  size_t end = at_;
  for (int digits = 0; digits < 3; ++digits) {
    const Char digit = char_at(text_, end);
    if (digit.end() || digit.cls != CharClass::kNumber) break;
    end += digit.length;
  }
  run_end_ = end;
  return take_until(end);
}

// Third pattern on one piece of the second; characters that nothing matches gather in a gap piece.
std::string_view PieceSplitter::next_word() {
  const std::string_view run = text_.substr(0, run_end_);
  if (match_end_ > at_) return take_until(match_end_);
  size_t gap_end = at_;
  while (gap_end < run_end_ && (match_end_ = match_end(run, gap_end)) == gap_end) {
    gap_end += char_at(run, gap_end).length;
  }
  return take_until(gap_end > at_ ? gap_end : match_end_);
}

size_t settled_end(std::string_view text) {
  size_t words_end = 0;
  for (size_t at = 0; at < text.size();) {
    const Char c = char_at(text, at);
    at += c.length;
    if (!is_white_space(c.code_point)) words_end = at;
  }
  PieceSplitter splitter(text);
  size_t settled = 0;
  for (size_t end = splitter.next().size(); end < text.size() && end <= words_end;
       end += splitter.next().size())
    settled = end;
  return settled;
}

}  // namespace ft::encoding
