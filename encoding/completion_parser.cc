#include "encoding/completion_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "encoding/chat_profile.h"
#include "encoding/marker_search.h"
#include "encoding/unicode_category.h"
#include "encoding/utf8.h"

namespace ft::encoding {

enum class CompletionParser::Marker {
  kThinkClose,
  kEos,
  kBlockOpen,
  kBlockClose,
  kInvokeOpen,
  kInvokeClose,
  kParamOpen,
  kTrueAttribute,
  kFalseAttribute,
  kValueClose,         // as models write it
  kValueCloseNewline,  // the reference's `<$` also matches before a final newline
  kParamClose,         // what the reference looks for
};

namespace {

// In the order of CompletionParser::Marker.
constexpr std::string_view kMarkerText[] = {
    "</think>",
    "<｜end▁of▁sentence｜>",
    "\n\n<｜DSML｜tool_calls",
    "</｜DSML｜tool_calls>",
    "<｜DSML｜invoke",
    "</｜DSML｜invoke",
    "<｜DSML｜parameter",
    "\" string=\"true\">",
    "\" string=\"false\">",
    "</｜DSML｜parameter",
    "<\n/｜DSML｜parameter",
    "/｜DSML｜parameter",
};

constexpr std::string_view kBetweenTags = ">\n";
constexpr std::string_view kParamHeadOpen = " name=\"";
// No model writes longer markup between two tags; what exceeds it is given up in tolerant mode, so that a
// runaway completion cannot grow the buffer without end.
constexpr size_t kMaxTolerantHead = size_t{1} << 20;
// Text that is looked at together.
constexpr size_t kFeedBytes = size_t{4} << 10;

// Bytes of the first piece of `text`, which ends between characters.
size_t first_piece(std::string_view text) {
  if (text.size() <= kFeedBytes) return text.size();
  size_t size = kFeedBytes;
  while (size > kFeedBytes - 4 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return size;
}

// Python's `\s`: White_Space and the four separators U+001C-U+001F.
bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string_view without_leading_space(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text, 0);
    if (step.kind != Utf8Step::Kind::kCharacter || !is_python_space(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  return text;
}

// The function name in an invoke head: optional space, `name="`, the name, `">`, newline and optionally one
// more. In tolerant mode any whitespace may end it.
std::optional<std::string_view> name_in_head(std::string_view head, bool strict) {
  constexpr std::string_view kOpen = "name=\"", kClose = "\">";
  head = without_leading_space(head);
  if (!head.starts_with(kOpen)) return std::nullopt;
  head.remove_prefix(kOpen.size());
  if (strict) {
    if (!head.ends_with('\n')) return std::nullopt;
    head.remove_suffix(1);
    if (head.ends_with('\n')) head.remove_suffix(1);
  } else {
    head = head.substr(0, head.find_last_not_of(" \t\r\n") + 1);
  }
  if (!head.ends_with(kClose)) return std::nullopt;
  head.remove_suffix(kClose.size());
  return head;
}

}  // namespace

CompletionParser::CompletionParser(ParserOptions options)
    : options_(options),
      state_(!options.thinking ? State::kContent
             : options.strict  ? State::kReasoning
                               : State::kStart) {}

std::vector<ParserEvent> CompletionParser::feed(std::string_view text) {
  // Every marker is searched for, and cut off, in what is left of the buffer: a long text comes in pieces.
  do {
    if (error_) break;
    const size_t size = first_piece(text);
    buffer_ += text.substr(0, size);
    text.remove_prefix(size);
    while (!error_ && step()) {
    }
  } while (!text.empty());
  return std::exchange(events_, {});
}

std::vector<ParserEvent> CompletionParser::finish(TextEnd end) {
  std::vector<ParserEvent> out;
  if (end == TextEnd::kEos && options_.strict && state_ != State::kDone) out = feed(kEosToken);
  if (!error_) check_end(end);
  emit(Kind::kDone, {});
  for (ParserEvent& event : events_) out.push_back(std::move(event));
  events_.clear();
  buffer_.clear();
  state_ = State::kDone;
  return out;
}

bool CompletionParser::step() {
  switch (state_) {
    case State::kStart:
      return read_start();
    case State::kReasoning:
      return read_text(Kind::kReasoning);
    case State::kContent:
      return read_text(Kind::kContent);
    case State::kBetween:
      return read_between();
    case State::kHead:
      return read_head();
    case State::kParamHead:
      return read_param_head();
    case State::kValue:
      return read_value();
    case State::kAfterParam:
      return read_after_param();
    case State::kAfterBlock:
    case State::kDone:
      return read_rest();
  }
  return false;
}

// If one of the markers is in the buffer: the text before it, both consumed. Otherwise remembers how far it
// looked.
std::optional<CompletionParser::Marker> CompletionParser::take_until(std::span<const Marker> markers,
                                                                     std::string& before) {
  std::vector<std::string_view> texts;
  for (const Marker marker : markers) texts.push_back(kMarkerText[static_cast<size_t>(marker)]);
  const std::span<const std::string_view> wanted(texts);
  const MarkerHit hit = find_marker(std::string_view(buffer_), wanted, searched_);
  if (!hit.found()) {
    searched_ = std::max(searched_, buffer_.size() - held_back(std::string_view(buffer_), wanted));
    return std::nullopt;
  }
  before.assign(buffer_, 0, hit.begin);
  buffer_.erase(0, hit.begin + texts[hit.marker].size());
  searched_ = 0;
  return markers[hit.marker];
}

bool CompletionParser::read_start() {
  if (buffer_.starts_with(kThinkOpenToken)) {
    buffer_.erase(0, kThinkOpenToken.size());
  } else if (kThinkOpenToken.starts_with(buffer_)) {
    return false;
  }
  enter(State::kReasoning);
  return true;
}

// Reasoning and content: everything up to a marker is shown as it comes.
bool CompletionParser::read_text(Kind kind) {
  std::vector<Marker> markers;
  if (kind == Kind::kReasoning) markers.push_back(Marker::kThinkClose);
  // The strict reader does not look for EOS in reasoning; it refuses it there at the end.
  if (options_.strict ? kind == Kind::kContent : options_.eos_in_text) markers.push_back(Marker::kEos);
  if (options_.strict || options_.tools_offered) markers.push_back(Marker::kBlockOpen);

  std::string before;
  const std::optional<Marker> marker = take_until(markers, before);
  if (!marker) {
    emit(kind, std::string_view(buffer_).substr(0, searched_));
    buffer_.erase(0, searched_);
    searched_ = 0;
    return false;
  }
  emit(kind, before);
  switch (*marker) {
    case Marker::kThinkClose:
      enter(State::kContent);
      return true;
    case Marker::kEos:
      enter(State::kDone);
      return true;
    default:
      if (options_.strict && kind == Kind::kReasoning) {
        return refuse(ErrorKind::kAssertionError, "missing </think> before the tool calls");
      }
      enter(State::kBetween);
      return true;
  }
}

bool CompletionParser::read_between() {
  std::vector<Marker> markers{Marker::kInvokeOpen, Marker::kBlockClose};
  if (!options_.strict && options_.eos_in_text) markers.push_back(Marker::kEos);
  std::string between;
  const std::optional<Marker> marker = take_until(markers, between);
  if (!marker) {
    if (!options_.strict) {
      buffer_.erase(0, searched_);
      searched_ = 0;
    }
    return false;
  }
  if (options_.strict && between != kBetweenTags) {
    return refuse(ErrorKind::kValueError,
                  fmt::format("expected \">\\n\" before a call but got \"{}\"", between));
  }
  after_call_marker(*marker);
  return true;
}

bool CompletionParser::read_head() {
  std::vector<Marker> markers{Marker::kParamOpen, Marker::kInvokeClose};
  if (!options_.strict) {
    markers.insert(markers.end(), {Marker::kInvokeOpen, Marker::kBlockClose});
    if (options_.eos_in_text) markers.push_back(Marker::kEos);
  }
  std::string head;
  const std::optional<Marker> marker = take_until(markers, head);
  if (!marker) {
    if (!options_.strict && buffer_.size() > kMaxTolerantHead) enter(State::kAfterParam);
    return false;
  }
  const std::optional<std::string_view> name = name_in_head(head, options_.strict);
  if (name) {
    open_call(*name);
  } else if (options_.strict) {
    return refuse(ErrorKind::kValueError, fmt::format("tool name format: \"{}\"", head));
  }
  after_call_marker(*marker);
  return true;
}

bool CompletionParser::read_param_head() {
  const std::string_view seen = std::string_view(buffer_).substr(0, kParamHeadOpen.size());
  const bool opened = seen == kParamHeadOpen;
  if (!opened && kParamHeadOpen.starts_with(seen)) return false;
  value_skipped_ = !opened || (!options_.strict && buffer_.size() > kMaxTolerantHead);
  if (!value_skipped_) {
    // The key is the shortest text that an attribute follows.
    searched_ = std::max(searched_, kParamHeadOpen.size());
    std::string head;
    const Marker markers[] = {Marker::kTrueAttribute, Marker::kFalseAttribute, Marker::kParamClose};
    const std::optional<Marker> marker = take_until(markers, head);
    if (!marker) return false;
    value_skipped_ = *marker == Marker::kParamClose;
    if (!value_skipped_) {
      argument(std::string_view(head).substr(kParamHeadOpen.size()), *marker == Marker::kTrueAttribute);
      return true;
    }
    // The parameter ended before its attributes did: nothing of it is left to skip.
    if (!options_.strict) {
      enter(State::kAfterParam);
      return true;
    }
  }
  if (options_.strict)
    return refuse(ErrorKind::kValueError, "parameter format: no name and string attributes");
  enter(State::kValue);
  return true;
}

bool CompletionParser::read_value() {
  std::vector<Marker> markers{Marker::kValueClose, Marker::kValueCloseNewline};
  if (options_.strict) markers.push_back(Marker::kParamClose);
  std::string value;
  const std::optional<Marker> marker = take_until(markers, value);
  if (!marker) {
    value = buffer_.substr(0, searched_);
    buffer_.erase(0, searched_);
    searched_ = 0;
  }
  if (marker == Marker::kParamClose) {
    return refuse(ErrorKind::kValueError, "parameter format: no '<' before the close tag");
  }
  if (call_open_ && !value_skipped_) {
    if (value_is_string_) {
      std::string escaped;
      append_json_escaped(escaped, value);
      if (marker) escaped += '"';
      value = std::move(escaped);
    }
    emit(Kind::kToolArguments, value);
  }
  if (marker) enter(State::kAfterParam);
  return marker.has_value();
}

bool CompletionParser::read_after_param() {
  std::vector<Marker> markers{Marker::kParamOpen, Marker::kInvokeClose};
  if (!options_.strict) {
    markers.insert(markers.end(), {Marker::kInvokeOpen, Marker::kBlockClose});
    if (options_.eos_in_text) markers.push_back(Marker::kEos);
  }
  std::string between;
  const std::optional<Marker> marker = take_until(markers, between);
  if (!marker) {
    if (!options_.strict) {
      buffer_.erase(0, searched_);
      searched_ = 0;
    }
    return false;
  }
  if (options_.strict && between != kBetweenTags) {
    return refuse(ErrorKind::kValueError,
                  fmt::format("expected \">\\n\" after a parameter but got \"{}\"", between));
  }
  after_call_marker(*marker);
  return true;
}

// After the block or EOS: tolerant mode ignores what comes, strict mode keeps it for check_end.
bool CompletionParser::read_rest() {
  if (!options_.strict) {
    buffer_.clear();
  } else if (state_ == State::kAfterBlock && buffer_.starts_with(kEosToken)) {
    buffer_.erase(0, kEosToken.size());
    enter(State::kDone);
  }
  return false;
}

// Where a marker inside the block leads. All but the parameter opener end a call that is open.
void CompletionParser::after_call_marker(Marker marker) {
  if (marker == Marker::kParamOpen) {
    enter(State::kParamHead);
    return;
  }
  close_call();
  if (marker == Marker::kInvokeOpen) {
    enter(State::kHead);
  } else if (marker == Marker::kBlockClose) {
    enter(State::kAfterBlock);
  } else {
    enter(marker == Marker::kEos ? State::kDone : State::kBetween);
  }
}

void CompletionParser::open_call(std::string_view name) {
  keys_.clear();
  call_open_ = true;
  events_.push_back({Kind::kToolCallBegin, std::string(name), calls_++});
}

void CompletionParser::argument(std::string_view key, bool string) {
  const bool repeated = keys_.contains(std::string(key));
  if (repeated && options_.strict) {
    refuse(ErrorKind::kValueError, fmt::format("duplicate parameter name \"{}\"", key));
    return;
  }
  value_skipped_ = repeated;
  value_is_string_ = string;
  if (!repeated) {
    std::string piece = keys_.empty() ? "{" : ", ";
    append_json_string(piece, key);
    piece += ": ";
    if (string) piece += '"';
    if (call_open_) emit(Kind::kToolArguments, piece);
    keys_.emplace(key);
  }
  enter(State::kValue);
}

void CompletionParser::close_call() {
  if (!call_open_) return;
  emit(Kind::kToolArguments, keys_.empty() ? "{}" : "}");
  events_.push_back({Kind::kToolCallEnd, "", calls_ - 1});
  call_open_ = false;
  ++complete_calls_;
}

void CompletionParser::enter(State state) {
  state_ = state;
  searched_ = 0;
}

// Adds to the last event where it is of the same kind, so that one feed never splits a delta needlessly.
void CompletionParser::emit(Kind kind, std::string_view text) {
  if (text.empty() && kind != Kind::kDone) return;
  if (options_.strict && kind == Kind::kReasoning) reasoning_ += text;
  if (options_.strict && kind == Kind::kContent) content_ += text;
  if (!events_.empty() && events_.back().kind == kind) {
    events_.back().text += text;
    return;
  }
  events_.push_back({kind, std::string(text), kind == Kind::kToolArguments ? calls_ - 1 : -1});
}

bool CompletionParser::refuse(ErrorKind kind, std::string message) {
  error_ = EncodingError{kind, std::move(message)};
  return false;
}

// The text is over: what the state makes of the rest of the buffer.
void CompletionParser::check_end(TextEnd end) {
  if (!options_.strict) {
    if (state_ == State::kStart || state_ == State::kReasoning || state_ == State::kContent) {
      // A torn block opener is markup already, if it got past its first special token.
      if (buffer_.find(kDsmlToken) == std::string::npos) {
        emit(state_ == State::kContent ? Kind::kContent : Kind::kReasoning, buffer_);
      }
    } else {
      end_torn_call(end);
    }
    return;
  }
  switch (state_) {
    case State::kStart:
    case State::kReasoning:
      refuse(ErrorKind::kAssertionError, "missing </think>");
      return;
    case State::kContent:
      refuse(ErrorKind::kAssertionError, "missing the end-of-sentence token");
      return;
    case State::kBetween:
      if (!buffer_.empty()) refuse(ErrorKind::kValueError, "the block of tool calls has no end");
      break;
    case State::kHead: {
      const std::optional<std::string_view> name = name_in_head(buffer_, true);
      if (name) {
        open_call(*name);
        close_call();
      } else {
        refuse(ErrorKind::kValueError, "the text ends in the head of a call");
      }
      break;
    }
    case State::kParamHead:
    case State::kValue:
      refuse(ErrorKind::kValueError, "the text ends in a parameter");
      break;
    case State::kAfterParam:
      if (buffer_ == kBetweenTags) {
        close_call();
      } else {
        refuse(ErrorKind::kValueError, "the text ends after a parameter");
      }
      break;
    case State::kAfterBlock:
    case State::kDone:
      if (!buffer_.empty()) refuse(ErrorKind::kAssertionError, "unexpected text after the end");
      break;
  }
  if (!error_) check_specials();
}

// A model that ended its turn itself has said all its parameters; one that was cut has perhaps not.
void CompletionParser::end_torn_call(TextEnd end) {
  if (end != TextEnd::kEos) return;
  if (state_ == State::kHead) {
    if (const std::optional<std::string_view> name = name_in_head(buffer_, false)) open_call(*name);
  }
  if (state_ == State::kHead || state_ == State::kAfterParam) close_call();
}

void CompletionParser::check_specials() {
  for (const std::string_view token : {kBosToken, kEosToken, kThinkOpenToken, kThinkCloseToken, kDsmlToken}) {
    if (content_.find(token) != std::string::npos || reasoning_.find(token) != std::string::npos) {
      refuse(ErrorKind::kAssertionError, fmt::format("unexpected special token \"{}\" in the text", token));
      return;
    }
  }
}

Json AssistantMessage::to_json() const {
  Json calls = Json::array();
  for (const ToolCall& call : tool_calls) {
    calls.push_back(
        Json::Object{{"type", "function"},
                     {"function", Json::Object{{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return Json::Object{{"role", "assistant"},
                      {"content", content},
                      {"reasoning_content", reasoning_content},
                      {"tool_calls", std::move(calls)}};
}

void MessageBuilder::add(const ParserEvent& event) {
  switch (event.kind) {
    case ParserEvent::Kind::kReasoning:
      message_.reasoning_content += event.text;
      break;
    case ParserEvent::Kind::kContent:
      message_.content += event.text;
      break;
    case ParserEvent::Kind::kToolCallBegin:
      open_ = {event.text, ""};
      break;
    case ParserEvent::Kind::kToolArguments:
      open_.arguments += event.text;
      break;
    case ParserEvent::Kind::kToolCallEnd:
      message_.tool_calls.push_back(std::move(open_));
      break;
    case ParserEvent::Kind::kDone:
      break;
  }
}

EncodingResult<AssistantMessage> parse_completion(std::string_view text, const ParserOptions& options,
                                                  TextEnd end) {
  CompletionParser parser(options);
  MessageBuilder builder;
  for (const ParserEvent& event : parser.feed(text)) builder.add(event);
  for (const ParserEvent& event : parser.finish(end)) builder.add(event);
  if (parser.error()) return tl::unexpected<EncodingError>(*parser.error());
  return builder.message();
}

}  // namespace ft::encoding
