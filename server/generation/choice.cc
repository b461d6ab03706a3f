#include "server/generation/choice.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "encoding/chat_profile.h"

namespace ft::server {
namespace {

using encoding::ParserEvent;

int64_t count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

// Tokens of the format, by their text: "<｜...｜>" and the two around reasoning. What spells one out in several
// tokens is text.
bool is_control(std::string_view token) {
  return (token.starts_with("<｜") && token.ends_with("｜>")) || token == encoding::kThinkOpenToken ||
         token == encoding::kThinkCloseToken;
}

bool contains(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

}  // namespace

std::string_view end_reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::kLength:
      return "length";
    case EndReason::kToolCalls:
      return "tool_calls";
    case EndReason::kStop:
    case EndReason::kStopString:
      break;
  }
  return "stop";
}

Choice::Choice(ChoiceOptions options)
    : options_(std::move(options)),
      detokenizer_(*options_.tokenizer, options_.skip_special),
      parser_(options_.parser),
      stop_matcher_(options_.stop) {}

bool Choice::ends_the_turn(int32_t token) const {
  return contains(options_.eos, token) || contains(options_.stop_tokens, token);
}

// A control token where the format has none: not the end of reasoning, nor a part of a call's arguments.
bool Choice::is_stray(int32_t token) const {
  const std::string_view text = options_.tokenizer->token_bytes(token);
  if (!is_control(text) || parser_.in_call()) return false;
  return text != encoding::kThinkCloseToken || parser_.reasoning_ended();
}

void Choice::feed(scheduler::TokenEvent event) {
  FT_CHECK(!finished_);
  if (stopped_ || options_.silent) return;
  ++completion_tokens_;
  const bool reasoning = options_.chat && !parser_.reasoning_ended();
  if (reasoning) ++reasoning_tokens_;
  if (options_.prediction) options_.prediction->advance(event.token);
  if (ends_the_turn(event.token)) return;  // also with ignore_eos: control text is never shown
  const int32_t token = event.token;
  if (options_.chat && is_stray(token)) return;
  const bool opens_step = std::exchange(step_, event.step) != event.step;
  pending_.push_back({ShownToken{std::move(event), reasoning, opens_step, known_characters_},
                      content_known_ + parser_.held_text()});
  add_text(detokenizer_.feed(token));
}

void Choice::add_text(const std::string& text) {
  if (text.empty()) return;
  if (options_.chat) {
    add_events(parser_.feed(text));
  } else {
    add_content(text);
  }
}

void Choice::add_events(const std::vector<ParserEvent>& events) {
  for (const ParserEvent& event : events) {
    if (stopped_) return;
    switch (event.kind) {
      case ParserEvent::Kind::kReasoning:
        reasoning_ += event.text;
        add_piece(Piece::Kind::kReasoning, event.text);
        break;
      case ParserEvent::Kind::kContent:
        add_content(event.text);
        break;
      case ParserEvent::Kind::kToolCallBegin:
        show_content(stop_matcher_.flush());  // content is over: nothing can complete a stop string any more
        tool_calls_.push_back({event.text, "", false});
        add_piece(Piece::Kind::kToolBegin, event.text, event.index);
        break;
      case ParserEvent::Kind::kToolArguments:
        tool_calls_.back().arguments += event.text;
        add_piece(Piece::Kind::kToolArguments, event.text, event.index);
        break;
      case ParserEvent::Kind::kToolCallEnd:
        tool_calls_.back().complete = true;
        stopped_ = options_.single_call && !finished_;
        break;
      case ParserEvent::Kind::kDone:
        break;
    }
  }
}

void Choice::add_content(const std::string& text) {
  content_known_ += text.size();
  known_characters_ += count_characters(text);
  show_content(stop_matcher_.feed(text));
  if (!stop_matcher_.match()) return;
  stopped_ = true;
  const size_t end = stop_matcher_.match()->begin;
  std::erase_if(pending_, [&](const Pending& p) { return !p.token.reasoning && p.content_begin >= end; });
}

void Choice::show_content(const std::string& text) {
  if (text.empty()) return;
  content_ += text;
  add_piece(Piece::Kind::kContent, text);
}

void Choice::add_piece(Piece::Kind kind, const std::string& text, int index) {
  if (kind != Piece::Kind::kToolBegin && !pieces_.empty() && pieces_.back().kind == kind &&
      pieces_.back().index == index) {
    pieces_.back().text += text;
  } else {
    pieces_.push_back({kind, text, index});
  }
}

void Choice::finish(const scheduler::RequestReport& report) {
  FT_CHECK(!finished_);
  finished_ = true;
  if (options_.silent) {
    end_reason_ = EndReason::kLength;
    return;
  }
  if (!stopped_) {
    completion_tokens_ = report.completion_tokens;
    add_text(detokenizer_.flush());
    const bool ended =
        report.finish_reason == scheduler::FinishReason::kStop && contains(options_.eos, report.stop_token);
    if (options_.chat) add_events(parser_.finish(ended ? encoding::TextEnd::kEos : encoding::TextEnd::kCut));
    show_content(stop_matcher_.flush());
  }
  const bool called =
      std::any_of(tool_calls_.begin(), tool_calls_.end(), [](const ToolCallState& c) { return c.complete; });
  if (stopped_) {
    end_reason_ = stop_matcher_.match() ? EndReason::kStopString : EndReason::kToolCalls;
  } else if (report.finish_reason == scheduler::FinishReason::kLength) {
    end_reason_ = EndReason::kLength;
  } else {
    end_reason_ = called ? EndReason::kToolCalls : EndReason::kStop;
  }
}

std::vector<Piece> Choice::take() {
  return std::exchange(pieces_, {});
}

std::vector<ShownToken> Choice::take_shown() {
  std::vector<ShownToken> shown;
  size_t count = 0;
  // A token waits for its first byte of content to show; a reasoning token's text cannot be taken back.
  while (count < pending_.size() &&
         (finished_ || pending_[count].token.reasoning || pending_[count].content_begin < content_.size())) {
    shown.push_back(std::move(pending_[count++].token));
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
  return shown;
}

}  // namespace ft::server
