#include "encoding/completion_parser.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "encoding/chat_profile.h"
#include "encoding/ordered_json.h"

namespace ft::encoding {
namespace {

// White space at the end of text that waits for what follows; more than this is shown.
constexpr size_t kMaxHeldSpace = 64;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

size_t trailing_space(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && length < kMaxHeldSpace && is_space(text[text.size() - 1 - length])) ++length;
  return length;
}

TagMatch match_word(std::string_view text, std::string_view word) {
  if (text.starts_with(word)) return TagMatch::kFound;
  return word.starts_with(text) ? TagMatch::kTorn : TagMatch::kNone;
}

// Whether a value that was read has no number that JSON cannot write (NaN, Infinity).
bool is_finite(const Json& value) {
  switch (value.type()) {
    case Json::Type::kDouble:
      return std::isfinite(*value.to_double());
    case Json::Type::kArray:
      return std::all_of(value.as_array().begin(), value.as_array().end(), is_finite);
    case Json::Type::kObject:
      return std::all_of(value.as_object().begin(), value.as_object().end(),
                         [](const Json::Member& member) { return is_finite(member.second); });
    default:
      return true;
  }
}

}  // namespace

CompletionParser::CompletionParser(ParserOptions options)
    : options_(options),
      state_(options.thinking ? State::kStart : State::kText),
      reasoning_(options.thinking) {}

std::vector<ParserEvent> CompletionParser::feed(std::string_view text) {
  buffer_ += text;
  run();
  return std::exchange(events_, {});
}

std::vector<ParserEvent> CompletionParser::finish(TextEnd end) {
  ended_ = true;
  end_ = end;
  run();
  emit(Kind::kDone, {});
  return std::exchange(events_, {});
}

void CompletionParser::run() {
  while (step()) {
  }
  buffer_.erase(0, at_);
  at_ = 0;
}

// One step of the state; false when it needs more text.
bool CompletionParser::step() {
  switch (state_) {
    case State::kStart:
      return read_start();
    case State::kText:
      return read_text();
    case State::kBlock:
      return read_block();
    case State::kHead:
      return read_head();
    case State::kCall:
      return read_call();
    case State::kParameter:
      return read_parameter();
    case State::kValue:
      return read_value();
    case State::kBody:
      return read_body();
    case State::kDone:
      at_ = buffer_.size();
      return false;
  }
  return false;
}

void CompletionParser::enter(State state, size_t taken) {
  state_ = state;
  at_ += taken;
  scanned_ = 0;
}

bool CompletionParser::read_start() {
  const TagMatch open = match_word(rest(), kThinkOpenToken);
  if (open == TagMatch::kTorn && !ended_) return false;
  enter(State::kText, open == TagMatch::kFound ? kThinkOpenToken.size() : 0);
  return true;
}

// Reasoning and content: everything up to markup is shown as it comes, but for white space before it.
bool CompletionParser::read_text() {
  const std::string_view text = rest();
  const size_t mark = std::min(text.find('<', scanned_), text.size());
  size_t length = 0;
  const char before = mark > 0 ? text[mark - 1] : last_;
  const Found found = mark < text.size() ? classify(text.substr(mark), before, length) : Found::kMore;
  const std::string_view front = text.substr(0, mark);
  switch (found) {
    case Found::kText:
      scanned_ = mark + 1;
      return true;
    case Found::kMore: {
      const size_t shown = ended_ ? mark : mark - trailing_space(front);
      emit_text(front.substr(0, shown));
      enter(State::kText, shown);
      return false;
    }
    case Found::kThinkClose:
      emit_text(front);
      reasoning_ = false;
      leave_markup(State::kText);
      after_markup_ = false;
      break;
    case Found::kEos:
      emit_text(front);
      enter(State::kDone, 0);
      break;
    case Found::kNothing:
      emit_before_markup(front);
      leave_markup(State::kText);
      break;
    case Found::kCall:
    case Found::kBlock:
      emit_before_markup(front);
      in_block_ = found == Found::kBlock;
      enter(in_block_ ? State::kBlock : State::kHead, 0);
      break;
  }
  at_ += mark + length;
  return true;
}

CompletionParser::Found CompletionParser::classify(std::string_view text, char before, size_t& length) const {
  for (const auto& [match, found, size] :
       {std::tuple{reasoning_ ? match_word(text, kThinkCloseToken) : TagMatch::kNone, Found::kThinkClose,
                   kThinkCloseToken.size()},
        std::tuple{at_eos(text), Found::kEos, kEosToken.size()}}) {
    if (match == TagMatch::kTorn) return ended_ ? Found::kText : Found::kMore;
    length = size;
    if (match == TagMatch::kFound) return found;
  }
  DsmlTag tag;
  const TagMatch match = read_tag(text, false, ended_, tag);
  if (match == TagMatch::kNone) return Found::kText;
  if (match == TagMatch::kTorn) return torn_markup(text, length);
  if (!tag.closing && tag.kind == DsmlTag::Kind::kBlock) return classify_block(text, tag, before, length);
  if (!tag.closing && tag.kind == DsmlTag::Kind::kInvoke) return classify_call(text, tag, length);
  if (!tag.closing && tag.kind == DsmlTag::Kind::kOther) return Found::kText;
  return classify_stray(text, tag, before, length);
}

// Markup that the end of the text tears is not shown.
CompletionParser::Found CompletionParser::torn_markup(std::string_view text, size_t& length) const {
  if (!ended_) return Found::kMore;
  length = text.size();
  return text.find("DSML") != std::string_view::npos ? Found::kNothing : Found::kText;
}

CompletionParser::Found CompletionParser::classify_block(std::string_view text, const DsmlTag& tag,
                                                         char before, size_t& length) const {
  length = past_close(text, tag.length);
  const std::string_view next = text.substr(skip_space(text, length));
  if (next.empty()) return torn_markup(text, length);
  if (const TagMatch eos = at_eos(next); eos != TagMatch::kNone) {
    return eos == TagMatch::kFound ? Found::kNothing : torn_markup(text, length);
  }
  DsmlTag inner;
  const TagMatch match = read_tag(next, true, ended_, inner);
  if (match == TagMatch::kTorn) return torn_markup(text, length);
  const bool empty = inner.closing && inner.kind == DsmlTag::Kind::kBlock;
  if (match == TagMatch::kFound && (empty || inner.kind == DsmlTag::Kind::kInvoke)) return Found::kBlock;
  // On a line of its own it is no quoted text. The text that follows may be, so that is kept.
  return before == '\n' && text[length] == '\n' ? Found::kNothing : Found::kText;
}

// A call without a block around it. Its head alone may be quoted text.
CompletionParser::Found CompletionParser::classify_call(std::string_view text, const DsmlTag& tag,
                                                        size_t& length) const {
  TagHead head;
  const TagMatch match = encoding::read_head(text.substr(tag.length), head);
  if (match == TagMatch::kTorn) return torn_markup(text, length);
  length = 0;
  if (match == TagMatch::kNone || !head.name) return Found::kText;
  if (head.self_closing) return Found::kCall;
  const size_t end = tag.length + head.length;
  const std::string_view next = text.substr(skip_space(text, end));
  if (next.empty()) return torn_markup(text, length);
  if (next.front() == '{') return Found::kCall;
  if (const TagMatch eos = at_eos(next); eos != TagMatch::kNone) {
    length = end;
    return eos == TagMatch::kFound ? Found::kNothing : torn_markup(text, length);
  }
  DsmlTag inner;
  const TagMatch follows = read_tag(next, true, ended_, inner);
  if (follows == TagMatch::kTorn) return torn_markup(text, length);
  return follows == TagMatch::kFound ? Found::kCall : Found::kText;
}

CompletionParser::Found CompletionParser::classify_stray(std::string_view text, const DsmlTag& tag,
                                                         char before, size_t& length) const {
  length = past_close(text, tag.length);
  if (!tag.closing) {
    TagHead head;
    const TagMatch match = encoding::read_head(text.substr(tag.length), head);
    if (match == TagMatch::kTorn) return torn_markup(text, length);
    if (match == TagMatch::kFound) length = tag.length + head.length;
  }
  if (!ended_ && skip_space(text, length) == text.size()) return Found::kMore;
  const std::string_view next = text.substr(length);
  const bool quoted = std::string_view(" `\"'(").find(before) != std::string_view::npos && !next.empty() &&
                      std::string_view("\r\n<").find(next.front()) == std::string_view::npos;
  return quoted ? Found::kText : Found::kNothing;
}

TagMatch CompletionParser::at_eos(std::string_view text) const {
  return options_.eos_in_text ? match_word(text, kEosToken) : TagMatch::kNone;
}

// In a block, text between calls is skipped.
bool CompletionParser::read_block() {
  const std::string_view text = rest();
  const size_t mark = std::min(text.find('<', scanned_), text.size());
  const std::string_view markup = text.substr(mark);
  DsmlTag tag;
  const TagMatch eos = at_eos(markup), match = read_tag(markup, true, ended_, tag);
  if (markup.empty() || eos == TagMatch::kTorn || match == TagMatch::kTorn) {
    enter(State::kBlock, mark);
    return false;
  }
  if (eos == TagMatch::kFound) {
    enter(State::kDone, mark);
  } else if (match == TagMatch::kFound && tag.kind == DsmlTag::Kind::kInvoke && !tag.closing) {
    enter(State::kHead, mark);
  } else if (match == TagMatch::kFound && tag.kind == DsmlTag::Kind::kBlock && tag.closing) {
    if (!ended_ && skip_space(markup, tag.length) == markup.size()) return false;
    in_block_ = false;
    at_ += mark + past_close(markup, tag.length);
    leave_markup(State::kText);
  } else {
    scanned_ = mark + 1;
  }
  return true;
}

CompletionParser::Opening CompletionParser::read_opening() const {
  Opening opening;
  read_tag(rest(), true, ended_, opening.tag);
  opening.match = encoding::read_head(rest().substr(opening.tag.length), opening.head);
  return opening;
}

bool CompletionParser::leave_torn() {
  if (ended_) enter(State::kDone, 0);
  return ended_;
}

bool CompletionParser::read_head() {
  const auto [tag, head, match] = read_opening();
  if (match == TagMatch::kTorn) return leave_torn();
  if (match == TagMatch::kNone || !head.name) {
    at_ += tag.length;
    leave_call();
    return true;
  }
  enter(State::kCall, tag.length + head.length);
  open_call(*head.name);
  if (head.self_closing) {
    close_call();
    leave_call();
  }
  return true;
}

bool CompletionParser::read_call() {
  const std::string_view text = rest();
  const size_t first = skip_space(text, 0);
  if (members_ == 0 && !whole_ && !junk_ && first < text.size() && text[first] == '{') {
    depth_ = 0;
    quoted_ = escaped_ = false;
    enter(State::kBody, first);
    return true;
  }
  const size_t mark = std::min(text.find('<', scanned_), text.size());
  junk_ = junk_ || first < mark;
  const std::string_view markup = text.substr(mark);
  DsmlTag tag;
  const TagMatch eos = at_eos(markup), match = read_tag(markup, true, ended_, tag);
  if (markup.empty() || eos == TagMatch::kTorn || match == TagMatch::kTorn) {
    // A model that ended its turn itself has said all its parameters; one that was cut has perhaps not.
    if (ended_ && markup.empty() && end_ == TextEnd::kEos) close_call();
    enter(ended_ ? State::kDone : State::kCall, mark);
    return ended_;
  }
  const bool found = match == TagMatch::kFound;
  if (eos == TagMatch::kFound) {
    close_call();
    enter(State::kDone, mark);
  } else if (found && !tag.closing && tag.kind == DsmlTag::Kind::kParameter) {
    enter(State::kParameter, mark);
  } else if (found && !tag.closing && tag.kind == DsmlTag::Kind::kInvoke) {
    close_call();
    enter(State::kHead, mark);
  } else if (found && tag.closing &&
             (tag.kind == DsmlTag::Kind::kInvoke || tag.kind == DsmlTag::Kind::kBlock)) {
    if (!ended_ && skip_space(markup, tag.length) == markup.size()) return false;
    close_call();
    at_ += mark + past_close(markup, tag.length);
    in_block_ = in_block_ && tag.kind == DsmlTag::Kind::kInvoke;
    leave_call();
  } else {
    junk_ = true;
    scanned_ = mark + 1;
  }
  return true;
}

bool CompletionParser::read_parameter() {
  const auto [tag, head, match] = read_opening();
  if (match == TagMatch::kTorn) return leave_torn();
  if (match == TagMatch::kNone) {
    junk_ = true;
    enter(State::kCall, tag.length);
    return true;
  }
  plain_value_ = tag.plain;
  value_.clear();
  value_kind_ = !head.name || whole_     ? ValueKind::kSkipped
                : head.string == "true"  ? ValueKind::kString
                : head.string == "false" ? ValueKind::kJson
                                         : ValueKind::kGuess;
  if (value_kind_ != ValueKind::kSkipped) begin_argument(*head.name);
  enter(State::kValue, tag.length + head.length);
  if (head.self_closing) {
    end_value();
    enter(State::kCall, 0);
  }
  return true;
}

bool CompletionParser::read_value() {
  const std::string_view text = rest();
  const size_t mark = std::min(text.find('<', scanned_), text.size());
  const bool new_line = mark > 0 && text[mark - 1] == '\n';
  size_t length = 0;
  bool loose = false;
  const TagMatch end =
      mark == text.size() ? TagMatch::kTorn : ends_value(text.substr(mark), new_line, length, loose);
  if (end == TagMatch::kNone) {
    scanned_ = mark + 1;
    return true;
  }
  // A newline waits, for it belongs to what follows if that ends the value loosely.
  const bool hold = new_line && (end == TagMatch::kTorn ? !ended_ : loose);
  add_to_value(text.substr(0, mark - hold));
  if (end == TagMatch::kTorn) {
    enter(ended_ ? State::kDone : State::kValue, mark - hold);
    return ended_;
  }
  end_value();
  enter(State::kCall, mark + length);
  return true;
}

TagMatch CompletionParser::ends_value(std::string_view text, bool new_line, size_t& length,
                                      bool& loose) const {
  using TagKind = DsmlTag::Kind;
  DsmlTag tag;
  const TagMatch match = read_tag(text, plain_value_, ended_, tag);
  if (match != TagMatch::kFound) return match;
  if (tag.plain && !(tag.closing && tag.kind == TagKind::kParameter)) return TagMatch::kNone;
  length = tag.length;
  if (tag.closing && tag.exact && tag.kind == TagKind::kParameter) return TagMatch::kFound;
  loose = true;
  const bool opens = !tag.closing && (tag.kind == TagKind::kParameter || tag.kind == TagKind::kInvoke);
  if (!tag.closing && !opens) return TagMatch::kNone;
  size_t end = past_close(text, tag.length);
  if (opens) {
    TagHead head;
    const TagMatch read = encoding::read_head(text.substr(tag.length), head);
    if (read != TagMatch::kFound) return read;
    if (head.attributes) {
      length = 0;
      return head.name && new_line ? TagMatch::kFound : TagMatch::kNone;
    }
    if (tag.kind == TagKind::kInvoke) return TagMatch::kNone;
    end = tag.length + head.length;
  }
  length = tag.kind == TagKind::kInvoke || tag.kind == TagKind::kBlock ? 0 : end;
  return markup_follows(text, end);
}

// Whether the text goes on with markup or is over at `at`. Where the right close tag follows, what stands before it
// is part of the value.
TagMatch CompletionParser::markup_follows(std::string_view text, size_t at) const {
  const std::string_view next = text.substr(skip_space(text, at));
  if (next.empty()) return ended_ ? TagMatch::kFound : TagMatch::kTorn;
  if (const TagMatch eos = at_eos(next); eos != TagMatch::kNone) return eos;
  DsmlTag tag;
  const TagMatch match = read_tag(next, true, ended_, tag);
  const bool closes = tag.closing && tag.exact && tag.kind == DsmlTag::Kind::kParameter;
  return match == TagMatch::kFound && closes ? TagMatch::kNone : match;
}

// A JSON object up to its last bracket, or up to markup.
bool CompletionParser::read_body() {
  const std::string_view text = rest();
  for (size_t& i = scanned_; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted_) {
      quoted_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
      continue;
    }
    if (c == '"') quoted_ = true;
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    DsmlTag tag;
    const TagMatch match = c == '<' ? read_tag(text.substr(i), true, ended_, tag) : TagMatch::kNone;
    if (match == TagMatch::kTorn && !ended_) return false;
    if (match != TagMatch::kFound && depth_ > 0) continue;
    const size_t end = match == TagMatch::kFound ? i : i + 1;
    end_body(text.substr(0, end));
    enter(State::kCall, end);
    return true;
  }
  return leave_torn();
}

void CompletionParser::end_body(std::string_view body) {
  const EncodingResult<Json> value = Json::parse(body);
  if (value && value->is_object() && is_finite(*value)) {
    if (call_open_) emit(Kind::kToolArguments, body);
    whole_ = true;
    return;
  }
  while (!body.empty() && is_space(body.back())) body.remove_suffix(1);
  value_kind_ = ValueKind::kString;
  begin_argument("arguments");
  add_to_value(body);
  end_value();
}

void CompletionParser::begin_argument(std::string_view key) {
  std::string piece = members_++ == 0 ? "{" : ", ";
  append_json_string(piece, key);
  piece += ": ";
  if (value_kind_ == ValueKind::kString) piece += '"';
  emit(Kind::kToolArguments, piece);
}

void CompletionParser::add_to_value(std::string_view text) {
  if (value_kind_ != ValueKind::kString) {
    value_ += text;
    return;
  }
  std::string escaped;
  append_json_escaped(escaped, text);
  emit(Kind::kToolArguments, escaped);
}

void CompletionParser::end_value() {
  if (value_kind_ == ValueKind::kSkipped) return;
  if (value_kind_ == ValueKind::kString) {
    emit(Kind::kToolArguments, "\"");
    return;
  }
  const EncodingResult<Json> value = Json::parse(value_);
  if (value && is_finite(*value) && !(value_kind_ == ValueKind::kGuess && value->is_string())) {
    emit(Kind::kToolArguments, value_);
    return;
  }
  std::string text;
  append_json_string(text, value_);
  emit(Kind::kToolArguments, text);
}

void CompletionParser::open_call(std::string_view name) {
  members_ = 0;
  whole_ = junk_ = false;
  if (!options_.tools_offered) return;
  call_open_ = true;
  reasoning_ = false;
  events_.push_back({Kind::kToolCallBegin, std::string(name), calls_++});
}

void CompletionParser::close_call() {
  if (!call_open_) return;
  if (!whole_) emit(Kind::kToolArguments, members_ == 0 ? "{}" : "}");
  events_.push_back({Kind::kToolCallEnd, "", calls_ - 1});
  call_open_ = false;
  ++complete_calls_;
}

void CompletionParser::leave_call() {
  if (in_block_) {
    enter(State::kBlock, 0);
  } else {
    leave_markup(State::kText);
  }
}

void CompletionParser::leave_markup(State state) {
  enter(state, 0);
  last_ = '\n';
  after_markup_ = true;
}

// Text after a call is not shown.
void CompletionParser::emit_text(std::string_view text) {
  if (text.empty() || calls_ > 0) return;
  if (after_markup_) {
    // White space behind markup shows with the text that follows it, and no more of it than can wait for that text.
    const auto first =
        static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin());
    if (first == text.size()) return;
    text.remove_prefix(first - std::min(first, kMaxHeldSpace));
  }
  after_markup_ = false;
  last_ = text.back();
  emit(reasoning_ ? Kind::kReasoning : Kind::kContent, text);
}

void CompletionParser::emit_before_markup(std::string_view text) {
  text.remove_suffix(text.ends_with("\n\n") ? 2 : trailing_space(text));
  emit_text(text);
}

// Adds to the last event where it is of the same kind, so that one feed never splits a delta needlessly.
void CompletionParser::emit(Kind kind, std::string_view text) {
  if (kind == Kind::kToolArguments && !call_open_) return;
  if (text.empty() && kind != Kind::kDone) return;
  if (!events_.empty() && events_.back().kind == kind) {
    events_.back().text += text;
    return;
  }
  events_.push_back({kind, std::string(text), kind == Kind::kToolArguments ? calls_ - 1 : -1});
}

AssistantMessage parse_completion(std::string_view text, const ParserOptions& options, TextEnd end) {
  CompletionParser parser(options);
  MessageBuilder builder;
  for (const ParserEvent& event : parser.feed(text)) builder.add(event);
  for (const ParserEvent& event : parser.finish(end)) builder.add(event);
  return builder.message();
}

}  // namespace ft::encoding
