#include "verify/grammar/regex_parser.h"

#include <optional>
#include <string>
#include <utility>

#include "verify/grammar/automaton.h"
#include "verify/grammar/regex.h"

namespace ft::grammar {
namespace {

using Kind = RegexNode::Kind;

constexpr int kMaxNesting = 100;
constexpr int kMaxRepeat = 10000;

CharSet digits() {
  return CharSet({{'0', '9'}});
}

CharSet word_characters() {
  return CharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
}

CharSet white_space() {  // WhiteSpace and LineTerminator of ECMA-262
  return CharSet({{9, 13},
                  {' ', ' '},
                  {0xA0, 0xA0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200A},
                  {0x2028, 0x2029},
                  {0x202F, 0x202F},
                  {0x205F, 0x205F},
                  {0x3000, 0x3000},
                  {0xFEFF, 0xFEFF}});
}

CharSet not_line_ends() {
  return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement();
}

RegexNode chars(CharSet set) {
  RegexNode node;
  node.kind = Kind::kChars;
  node.chars = std::move(set);
  return node;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : text_(code_points(pattern)) {}

  Result<RegexNode> parse() {
    Result<RegexNode> node = choice();
    if (node && !at_end()) return refuse("an unmatched )");
    return node;
  }

 private:
  bool at_end() const { return place_ >= text_.size(); }
  bool at(char32_t c) const { return !at_end() && text_[place_] == c; }
  bool at(std::u32string_view word) const {
    return std::u32string_view(text_).substr(place_, word.size()) == word;
  }
  bool take(char32_t c) {
    if (!at(c)) return false;
    ++place_;
    return true;
  }
  tl::unexpected<Error> refuse(std::string_view what) const {
    return fail(ErrorCode::kInvalidArgument, "{} at character {} of the regular expression", what, place_);
  }

  Result<RegexNode> choice() {
    if (++depth_ > kMaxNesting) return refuse("groups nested too deep");
    RegexNode node;
    node.kind = Kind::kChoice;
    do {
      Result<RegexNode> part = sequence();
      if (!part) return part;
      node.parts.push_back(std::move(*part));
    } while (take('|'));
    --depth_;
    return node.parts.size() == 1 ? std::move(node.parts[0]) : std::move(node);
  }

  Result<RegexNode> sequence() {
    RegexNode node;
    node.kind = Kind::kSequence;
    while (!at_end() && !at('|') && !at(')')) {
      Result<RegexNode> part = term();
      if (!part) return part;
      node.parts.push_back(std::move(*part));
    }
    return node;
  }

  Result<RegexNode> term() {
    RegexNode node;
    if (take('^')) {
      node.kind = Kind::kBegin;
      return node;
    }
    if (take('$')) {
      node.kind = Kind::kEnd;
      return node;
    }
    Result<RegexNode> atom = this->atom();
    if (!atom) return atom;
    const size_t before = place_;
    const auto bounds = quantifier();
    if (!bounds) return tl::unexpected(bounds.error());
    if (place_ == before) return atom;
    if (atom->kind == Kind::kAhead) return refuse("a repeated lookahead");
    take('?');  // lazy
    node.kind = Kind::kRepeat;
    node.min = bounds->first;
    node.max = bounds->second;
    node.parts.push_back(std::move(*atom));
    return node;
  }

  // Takes a quantifier, if there is one.
  Result<std::pair<int, int>> quantifier() {
    if (take('*')) return std::pair(0, -1);
    if (take('+')) return std::pair(1, -1);
    if (take('?')) return std::pair(0, 1);
    if (!at('{')) return std::pair(1, 1);
    const size_t begin = place_++;
    const auto min = number();
    auto max = min;
    if (min && take(',')) max = at('}') ? std::optional(-1) : number();
    if (!min || !max || !take('}')) {  // a brace that stands for itself
      place_ = begin;
      return std::pair(1, 1);
    }
    if (*min > kMaxRepeat || *max > kMaxRepeat) return refuse("a repetition over 10,000");
    if (*max >= 0 && *max < *min) return refuse("a repetition with its bounds the wrong way round");
    return std::pair(*min, *max);
  }

  std::optional<int> number() {
    if (at_end() || text_[place_] < '0' || text_[place_] > '9') return std::nullopt;
    int value = 0;
    for (; !at_end() && text_[place_] >= '0' && text_[place_] <= '9'; ++place_)
      value = std::min(value * 10 + static_cast<int>(text_[place_] - '0'), kMaxRepeat + 1);
    return value;
  }

  Result<RegexNode> atom() {
    if (take('(')) return group();
    if (take('[')) return bracket();
    if (take('.')) return chars(not_line_ends());
    if (at('*') || at('+') || at('?')) return refuse("a quantifier with nothing to repeat");
    if (at('\\')) {
      const auto set = escape(false);
      if (!set) return tl::unexpected(set.error());
      return chars(*set);
    }
    return chars(CharSet::of(text_[place_++]));
  }

  Result<RegexNode> group() {
    RegexNode ahead;
    if (at(U"?<=") || at(U"?<!")) return refuse("a lookbehind (?<");
    const bool look = at(U"?=") || at(U"?!");
    if (look) {
      ahead.kind = Kind::kAhead;
      ahead.negative = at(U"?!");
      place_ += 2;
    } else if (at(U"?:")) {
      place_ += 2;
    } else if (at(U"?<")) {  // a named group
      while (!at_end() && !at('>')) ++place_;
      if (!take('>')) return refuse("a group's name without end");
    } else if (at('?')) {
      return refuse("an unknown kind of group (?");
    }
    Result<RegexNode> inner = choice();
    if (!inner) return inner;
    if (!take(')')) return refuse("a group without end");
    if (!look) return inner;
    ahead.parts.push_back(std::move(*inner));
    return ahead;
  }

  Result<RegexNode> bracket() {
    const bool negative = take('^');
    CharSet set;
    while (!at(']')) {
      if (at_end()) return refuse("a class [ without end");
      CharSet low;
      const auto first = class_atom(low);
      if (!first) return tl::unexpected(first.error());
      if (at('-') && place_ + 1 < text_.size() && text_[place_ + 1] != ']') {
        const size_t dash = place_++;
        CharSet high;
        const auto last = class_atom(high);
        if (!last) return tl::unexpected(last.error());
        if (*first && *last) {
          if (**first > **last) return refuse("a range of characters the wrong way round");
          set.add(**first, **last);
          continue;
        }
        // Beside a class such as \d the dash stands for itself.
        set.add(text_[dash], text_[dash]);
        set.add(high);
      }
      set.add(low);
    }
    ++place_;
    return chars(negative ? set.complement() : set);
  }

  // One member of a bracket: its set, and its code point where it is a single one.
  Result<std::optional<CodePoint>> class_atom(CharSet& set) {
    if (at_end()) return refuse("a class [ without end");
    if (at('\\')) {
      const auto escaped = escape(true);
      if (!escaped) return tl::unexpected(escaped.error());
      set = *escaped;
      const auto& ranges = set.ranges();
      if (ranges.size() == 1 && ranges[0].first == ranges[0].last) return std::optional(ranges[0].first);
      return std::optional<CodePoint>();
    }
    const CodePoint point = text_[place_++];
    set = CharSet::of(point);
    return std::optional(point);
  }

  std::optional<CodePoint> hex(int digits) {
    CodePoint value = 0;
    for (int i = 0; i < digits; ++i, ++place_) {
      if (at_end()) return std::nullopt;
      const char32_t c = text_[place_];
      const char32_t lower = c | 0x20;
      if (c >= '0' && c <= '9')
        value = value * 16 + (c - '0');
      else if (lower >= 'a' && lower <= 'f')
        value = value * 16 + (lower - 'a' + 10);
      else
        return std::nullopt;
    }
    return value;
  }

  Result<CharSet> escape(bool in_class) {
    ++place_;  // the backslash
    if (at_end()) return refuse("a backslash at the end");
    const char32_t c = text_[place_++];
    switch (c) {
      case 'd':
        return digits();
      case 'D':
        return digits().complement();
      case 'w':
        return word_characters();
      case 'W':
        return word_characters().complement();
      case 's':
        return white_space();
      case 'S':
        return white_space().complement();
      case 't':
        return CharSet::of('\t');
      case 'n':
        return CharSet::of('\n');
      case 'v':
        return CharSet::of('\v');
      case 'f':
        return CharSet::of('\f');
      case 'r':
        return CharSet::of('\r');
      case 'b':
        if (in_class) return CharSet::of('\b');
        return refuse("a word boundary \\b");
      case 'B':
        return refuse("a word boundary \\B");
      case 'p':
      case 'P':
        return refuse("a Unicode property \\p");
      case 'k':
        return refuse("a back reference \\k");
      case 'c':
        if (!at_end() && (text_[place_] | 0x20) >= 'a' && (text_[place_] | 0x20) <= 'z')
          return CharSet::of(text_[place_++] & 0x1F);
        return refuse("an escape \\c without a letter");
      case 'x':
        if (const auto point = hex(2)) return CharSet::of(*point);
        return refuse("an escape \\x without two digits");
      case 'u':
        return unicode_escape();
      case '0':
        if (!at_end() && text_[place_] >= '0' && text_[place_] <= '9') return refuse("an octal escape");
        return CharSet::of(0);
      default:
        if (c >= '1' && c <= '9') return refuse("a back reference");
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return refuse("an unknown escape");
        return CharSet::of(c);
    }
  }

  Result<CharSet> unicode_escape() {
    if (take('{')) {
      CodePoint value = 0;
      while (!at_end() && !at('}')) {
        const auto digit = hex(1);
        if (!digit || value > kLastCodePoint) return refuse("an escape \\u{ that is no code point");
        value = value * 16 + *digit;
      }
      if (!take('}') || value > kLastCodePoint) return refuse("an escape \\u{ that is no code point");
      return CharSet::of(value);
    }
    const auto high = hex(4);
    if (!high) return refuse("an escape \\u without four digits");
    if (*high >= 0xD800 && *high <= 0xDBFF && at(U"\\u")) {
      const size_t before = place_;
      place_ += 2;
      const auto low = hex(4);
      if (low && *low >= 0xDC00 && *low <= 0xDFFF)
        return CharSet::of(0x10000 + ((*high - 0xD800) << 10) + (*low - 0xDC00));
      place_ = before;
    }
    return CharSet::of(*high);  // half a pair matches nothing: no UTF-8 text holds it
  }

  std::u32string text_;
  size_t place_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<RegexNode> parse_regex(std::string_view pattern) {
  if (pattern.size() > kMaxRegexBytes)
    return fail(ErrorCode::kTooLarge, "a regular expression of {} bytes; at most {} are allowed",
                pattern.size(), kMaxRegexBytes);
  return Parser(pattern).parse();
}

}  // namespace ft::grammar
