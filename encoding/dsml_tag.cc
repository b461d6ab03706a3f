#include "encoding/dsml_tag.h"

#include <algorithm>

namespace ft::encoding {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
// No model writes longer names and attributes; what exceeds this is text.
constexpr size_t kMaxHead = size_t{1} << 12;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

size_t name_end(std::string_view text, size_t at) {
  while (at < text.size() && is_name_byte(text[at])) ++at;
  return at;
}

// `word` at `at`: kFound moves `at` behind it.
TagMatch take(std::string_view text, size_t& at, std::string_view word) {
  const std::string_view rest = text.substr(at);
  if (rest.starts_with(word)) {
    at += word.size();
    return TagMatch::kFound;
  }
  return word.starts_with(rest) ? TagMatch::kTorn : TagMatch::kNone;
}

// One or two bars.
TagMatch take_bars(std::string_view text, size_t& at) {
  int bars = 0;
  while (bars < 2) {
    const TagMatch wide = take(text, at, "｜");
    if (wide == TagMatch::kTorn) return TagMatch::kTorn;
    if (wide == TagMatch::kNone && take(text, at, "|") == TagMatch::kNone) break;
    ++bars;
  }
  return bars > 0 ? TagMatch::kFound : TagMatch::kNone;
}

void classify(std::string_view run, DsmlTag& tag) {
  using Kind = DsmlTag::Kind;
  const std::string name = lower(run);
  size_t length = run.size();
  if (name.starts_with("inv")) {
    tag.kind = Kind::kInvoke;
    tag.exact = run.starts_with("invoke");
    if (tag.exact) length = std::string_view("invoke").size();  // the attribute may follow without a space
  } else if (name.starts_with("par")) {
    tag.kind = Kind::kParameter;
    tag.exact = run.starts_with("parameter");
    if (tag.exact) length = std::string_view("parameter").size();
  } else if (name.find("call") != std::string::npos) {
    tag.kind = Kind::kBlock;
    tag.exact = run == "tool_calls";
  }
  tag.length += length;
}

// The end of a quoted value: a quote that something follows which can follow a value. kTorn if it may come.
TagMatch find_quote_end(std::string_view text, size_t begin, char quote, size_t& end) {
  for (end = begin; end < text.size(); ++end) {
    if (text[end] == '<') {
      DsmlTag tag;
      const TagMatch markup = read_tag(text.substr(end), false, false, tag);
      if (markup != TagMatch::kNone) return markup == TagMatch::kTorn ? TagMatch::kTorn : TagMatch::kNone;
    }
    if (text[end] != quote) continue;
    const size_t next = skip_space(text, end + 1);
    if (next == text.size()) return TagMatch::kTorn;
    if (text[next] == '>') return TagMatch::kFound;
    if (text[next] == '/') {
      if (next + 1 == text.size()) return TagMatch::kTorn;
      if (text[next + 1] == '>') return TagMatch::kFound;
    }
    if (next == end + 1) continue;
    const size_t attribute = name_end(text, next);
    if (attribute == text.size()) return TagMatch::kTorn;
    if (attribute > next && text[attribute] == '=') return TagMatch::kFound;
  }
  return TagMatch::kTorn;
}

TagMatch read_attributes(std::string_view text, TagHead& head) {
  size_t at = 0;
  while (true) {
    at = skip_space(text, at);
    if (at == text.size()) return TagMatch::kTorn;
    if (text[at] == '>' || text.substr(at).starts_with("/>")) {
      head.self_closing = text[at] == '/';
      head.length = at + (head.self_closing ? 2 : 1);
      return TagMatch::kFound;
    }
    if (text.substr(at) == "/") return TagMatch::kTorn;
    const size_t end = name_end(text, at);
    if (end == text.size()) return TagMatch::kTorn;
    if (end == at) return TagMatch::kNone;
    const std::string attribute = lower(text.substr(at, end - at));
    head.attributes = true;
    at = skip_space(text, end);
    if (at == text.size()) return TagMatch::kTorn;
    if (text[at] != '=') continue;
    at = skip_space(text, at + 1);
    if (at == text.size()) return TagMatch::kTorn;
    size_t begin = at, value_end = 0;
    if (text[at] == '"' || text[at] == '\'') {
      const TagMatch quoted = find_quote_end(text, ++begin, text[at], value_end);
      if (quoted != TagMatch::kFound) return quoted;
      at = value_end + 1;
    } else {
      value_end = text.find_first_of(" \t\r\n>/<", begin);
      if (value_end == std::string_view::npos) return TagMatch::kTorn;
      at = value_end;
    }
    const std::string_view value = text.substr(begin, value_end - begin);
    if (attribute == "name" && !head.name) head.name = value;
    if (attribute == "string" && !head.string) head.string = lower(value);
  }
}

}  // namespace

TagMatch read_tag(std::string_view text, bool plain, bool ended, DsmlTag& tag) {
  tag = {};
  if (text.empty() || text[0] != '<') return TagMatch::kNone;
  size_t at = 1;
  // The reference reads "<\n/" as "</", too.
  if (text.substr(at).starts_with("\n/")) ++at;
  if (text.substr(at) == "\n") return TagMatch::kTorn;
  const auto take_slash = [&] {
    if (!text.substr(at).starts_with('/')) return;
    tag.closing = true;
    ++at;
  };
  take_slash();
  if (at == text.size()) return TagMatch::kTorn;
  TagMatch match = take_bars(text, at);
  if (match == TagMatch::kTorn) return match;
  tag.plain = match == TagMatch::kNone;
  if (tag.plain && !plain) return TagMatch::kNone;
  if (!tag.plain) {
    if (match = take(text, at, "DSML"); match != TagMatch::kFound) return match;
    if (match = take_bars(text, at); match != TagMatch::kFound) return match;
    take_slash();
    at = skip_space(text, at);
  }
  const size_t end = name_end(text, at);
  if (end == text.size() && !ended) return TagMatch::kTorn;
  tag.length = at;
  classify(text.substr(at, end - at), tag);
  if (tag.plain && !tag.exact) return TagMatch::kNone;
  // The end of the text has torn an opening tag before its name shows what it is.
  const bool torn = end == text.size() && !tag.closing && tag.kind == DsmlTag::Kind::kOther;
  return torn ? TagMatch::kTorn : TagMatch::kFound;
}

TagMatch read_head(std::string_view text, TagHead& head) {
  head = {};
  const TagMatch match = read_attributes(text.substr(0, kMaxHead), head);
  return match == TagMatch::kTorn && text.size() > kMaxHead ? TagMatch::kNone : match;
}

size_t skip_space(std::string_view text, size_t at) {
  const std::string_view near = text.substr(0, std::min(text.size(), at + kMaxSpace));
  return std::min(near.find_first_not_of(kSpace, at), near.size());
}

size_t past_close(std::string_view text, size_t at) {
  const size_t next = skip_space(text, at);
  return next < text.size() && text[next] == '>' ? next + 1 : at;
}

}  // namespace ft::encoding
