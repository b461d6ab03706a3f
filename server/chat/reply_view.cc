#include "server/chat/reply_view.h"

#include <fmt/format.h>

#include <ostream>

#include "server/chat/terminal_text.h"

namespace ft::server {
namespace {

using encoding::Json;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr std::string_view kEraseLine = "\r\x1b[2K";

}  // namespace

std::string error_text(const std::string& body) {
  const auto json = Json::parse(body);
  const Json message = json ? json->get("error").get("message") : Json();
  return terminal_text(message.is_string() ? message.as_string() : body.substr(0, 300));
}

void ReplyView::show(std::string_view data) {
  if (data == "[DONE]") return;
  auto json = Json::parse(data);
  if (!json) return;
  if (json->get("error").is_object()) error_ = error_text(std::string(data));
  const Json& choices = json->get("choices");
  if (choices.is_array() && choices.size() > 0) {
    const Json& choice = choices.as_array()[0];
    const Json& delta = choice.get("delta");
    if (delta.get("reasoning_content").is_string())
      show_reasoning(delta.get("reasoning_content").as_string());
    if (delta.get("content").is_string()) show_content(delta.get("content").as_string());
    show_calls(delta.get("tool_calls"));
    if (choice.get("finish_reason").is_string()) finish_ = choice.get("finish_reason").as_string();
  } else if (json->get("usage").is_object()) {
    last_ = std::move(*json);
  }
}

void ReplyView::show_reasoning(const std::string& text) {
  if (text.empty()) return;
  if (!first_) first_ = Clock::now();
  thinking_ = true;
  reasoning_ += text;
  if (terminal_) out_ << kEraseLine << fmt::format("\x1b[2mthinking, {:.1f} s\x1b[0m", seconds_since(begun_));
}

// One line instead of what was thought.
void ReplyView::fold() {
  if (!std::exchange(thinking_, false)) return;
  if (terminal_) out_ << kEraseLine;
  write_dim(fmt::format("[thought for {:.1f} s; /reasoning shows it]\n", seconds_since(begun_)));
}

void ReplyView::show_content(const std::string& text) {
  if (text.empty()) return;
  if (!first_) first_ = Clock::now();
  fold();
  content_ += text;
  out_ << terminal_text(text);
}

void ReplyView::show_calls(const Json& calls) {
  if (!calls.is_array()) return;
  for (const Json& call : calls.as_array()) {
    fold();
    const Json& function = call.get("function");
    if (function.get("name").is_string()) {
      out_ << (in_call_ || !content_.empty() ? "\n" : "") << "call of "
           << terminal_text(function.get("name").as_string()) << ": ";
      in_call_ = true;
    }
    if (function.get("arguments").is_string()) out_ << terminal_text(function.get("arguments").as_string());
  }
}

void ReplyView::end() {
  fold();
  out_ << "\n";
  if (last_.get("usage").is_object()) write_dim(figures() + "\n");
}

void ReplyView::write_dim(const std::string& text) {
  out_ << (terminal_ ? "\x1b[2m" : "") << text << (terminal_ ? "\x1b[0m" : "") << std::flush;
}

std::string ReplyView::figures() const {
  const auto number = [](const Json& value) { return value.to_double().value_or(0.0); };
  const Json& report = last_.get("metrics").get("speculative_decoding");
  const double tokens = number(last_.get("usage").get("completion_tokens"));
  const double first = first_ ? std::chrono::duration<double>(*first_ - begun_).count() : 0.0;
  const double seconds = seconds_since(begun_) - first;
  const Json& drafter = report.get("drafter");
  return fmt::format(
      "[{} tokens in {} steps, {:.2f} per step; {} drafted {}, {:.0f} % accepted; first after {:.0f} ms, "
      "{:.1f} tokens/s]",
      tokens, number(report.get("num_spec_steps")), number(report.get("mean_acceptance_length")),
      drafter.is_string() ? drafter.as_string() : "none", number(report.get("num_draft_tokens")),
      100.0 * number(report.get("draft_acceptance_rate")), 1e3 * first,
      seconds > 0.0 ? (tokens - 1.0) / seconds : 0.0);
}

}  // namespace ft::server
