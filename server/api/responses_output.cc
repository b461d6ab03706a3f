#include "server/api/responses_output.h"

#include <utility>

#include "encoding/ordered_json.h"
#include "server/api/openai_json.h"
#include "server/generation/random_id.h"

namespace ft::server {
namespace {

using encoding::append_json_string;
using encoding::Json;
using Kind = Piece::Kind;

constexpr std::string_view kFirstPart = R"(,"content_index":0)";
constexpr std::string_view kFirstSummary = R"(,"summary_index":0)";

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string part(std::string_view type, std::string_view text) {
  return fmt::format(R"({{"type":"{}","text":{}}})", type, quoted(text));
}

std::string member(std::string_view name, std::string_view json) {
  return fmt::format(R"(,"{}":{})", name, json);
}

std::string_view status_of(bool whole) {
  return whole ? "completed" : "incomplete";
}

// The text that a custom tool's arguments hold; all of them where they are not as asked for.
std::string custom_input(const std::string& arguments) {
  const auto json = Json::parse(arguments);
  const Json* input = json ? json->find(kCustomInput) : nullptr;
  return input != nullptr && input->is_string() ? input->as_string() : arguments;
}

}  // namespace

void ResponsesEvents::send(std::string& out, std::string_view type, std::string_view members) {
  out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1}{2}}}\n\n", type, next_++,
                     members);
}

std::string ResponsesOutput::place() const {
  return fmt::format(R"(,"item_id":"{}","output_index":{})", open_->id, items_.size());
}

std::string ResponsesOutput::reasoning_item(std::string_view status, bool begun) const {
  const std::string content = begun ? part("reasoning_text", open_->text) : "";
  const std::string summary = begun && style_.summary ? part("summary_text", open_->text) : "";
  // Clients that keep nothing here send back this member alone. Nothing in it is secret.
  const std::string hidden = !style_.encrypted ? "" : member("encrypted_content", quoted(open_->text));
  return fmt::format(R"({{"id":"{}","type":"reasoning","summary":[{}],"content":[{}]{},"status":"{}"}})",
                     open_->id, summary, content, hidden, status);
}

std::string ResponsesOutput::message_item(std::string_view status, std::string_view content) const {
  return fmt::format(R"({{"id":"{}","type":"message","status":"{}","role":"assistant","content":[{}]}})",
                     open_->id, status, content);
}

std::string ResponsesOutput::text_part() const {
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":[{}]}})",
                     quoted(open_->text), open_->logprobs);
}

// `written` is the arguments of a function, or the input of a custom tool.
std::string ResponsesOutput::call_item(std::string_view status, std::string_view written) const {
  const ResponsesTool& tool = open_->tool;
  std::string item = fmt::format(R"({{"id":"{}","type":"{}","status":"{}","call_id":"{}","name":{})",
                                 open_->id, tool.custom ? "custom_tool_call" : "function_call", status,
                                 open_->call_id, quoted(tool.name));
  if (!tool.name_space.empty()) item += member("namespace", quoted(tool.name_space));
  return item + member(tool.custom ? kCustomInput : "arguments", quoted(written)) + "}";
}

void ResponsesOutput::add(std::string& out, ResponsesEvents& events, const Piece& piece,
                          std::span<const ShownToken> tokens) {
  const Kind kind = piece.kind == Kind::kToolBegin ? Kind::kToolArguments : piece.kind;
  if (!open_ || open_->kind != kind || open_->call != piece.index) {
    close(out, events, true);
    open(out, events, piece);
  }
  if (piece.kind == Kind::kToolBegin) return;
  open_->text += piece.text;
  const std::string delta = member("delta", quoted(piece.text));
  switch (kind) {
    case Kind::kReasoning:
      events.send(out, "response.reasoning_text.delta", place() + std::string(kFirstPart) + delta);
      if (style_.summary)
        events.send(out, "response.reasoning_summary_text.delta",
                    place() + std::string(kFirstSummary) + delta);
      break;
    case Kind::kContent:
      events.send(
          out, "response.output_text.delta",
          place() + std::string(kFirstPart) + delta + member("logprobs", "[" + add_logprobs(tokens) + "]"));
      break;
    default:
      // A custom tool's input shows when its JSON can be read.
      if (!open_->tool.custom) events.send(out, "response.function_call_arguments.delta", place() + delta);
      break;
  }
}

// What it adds to the open message's.
std::string ResponsesOutput::add_logprobs(std::span<const ShownToken> tokens) {
  std::string added;
  if (!style_.logprobs) return added;
  for (const ShownToken& token : tokens) {
    if (token.reasoning) continue;
    if (!added.empty()) added += ',';
    append_token_logprobs(added, token, *style_.tokenizer);
  }
  if (!open_->logprobs.empty() && !added.empty()) open_->logprobs += ',';
  open_->logprobs += added;
  return added;
}

void ResponsesOutput::open(std::string& out, ResponsesEvents& events, const Piece& piece) {
  Open& item = open_.emplace(piece.kind == Kind::kToolBegin ? Kind::kToolArguments : piece.kind, piece.index);
  std::string json;
  if (item.kind == Kind::kReasoning) {
    item.id = "rs_" + random_hex(32);
    json = reasoning_item("in_progress", false);
  } else if (item.kind == Kind::kContent) {
    item.id = "msg_" + random_hex(32);
    json = message_item("in_progress", "");
  } else {
    item.tool = style_.tools.called(piece.text);
    item.id = (item.tool.custom ? "ctc_" : "fc_") + random_hex(32);
    item.call_id = "call_" + random_hex(24);
    json = call_item("in_progress", "");
  }
  events.send(out, "response.output_item.added",
              fmt::format(R"(,"output_index":{},"item":{})", items_.size(), json));
  if (item.kind == Kind::kReasoning) {
    events.send(out, "response.content_part.added",
                place() + std::string(kFirstPart) + member("part", part("reasoning_text", "")));
    if (style_.summary)
      events.send(out, "response.reasoning_summary_part.added",
                  place() + std::string(kFirstSummary) + member("part", part("summary_text", "")));
  } else if (item.kind == Kind::kContent) {
    events.send(out, "response.content_part.added",
                place() + std::string(kFirstPart) + member("part", text_part()));
  }
}

std::string ResponsesOutput::close_reasoning(std::string& out, ResponsesEvents& events,
                                             std::string_view status) {
  const std::string text = member("text", quoted(open_->text));
  const std::string first = place() + std::string(kFirstPart);
  events.send(out, "response.reasoning_text.done", first + text);
  events.send(out, "response.content_part.done", first + member("part", part("reasoning_text", open_->text)));
  if (style_.summary) {
    const std::string summary = place() + std::string(kFirstSummary);
    events.send(out, "response.reasoning_summary_text.done", summary + text);
    events.send(out, "response.reasoning_summary_part.done",
                summary + member("part", part("summary_text", open_->text)));
  }
  return reasoning_item(status, true);
}

std::string ResponsesOutput::close_message(std::string& out, ResponsesEvents& events,
                                           std::string_view status) {
  const std::string first = place() + std::string(kFirstPart);
  events.send(out, "response.output_text.done",
              first + member("text", quoted(open_->text)) + member("logprobs", "[" + open_->logprobs + "]"));
  events.send(out, "response.content_part.done", first + member("part", text_part()));
  return message_item(status, text_part());
}

std::string ResponsesOutput::close_call(std::string& out, ResponsesEvents& events, std::string_view status) {
  if (open_->tool.custom) {
    const std::string input = custom_input(open_->text);
    events.send(out, "response.custom_tool_call_input.delta", place() + member("delta", quoted(input)));
    events.send(out, "response.custom_tool_call_input.done", place() + member("input", quoted(input)));
    return call_item(status, input);
  }
  events.send(out, "response.function_call_arguments.done",
              place() + member("name", quoted(open_->tool.name)) + member("arguments", quoted(open_->text)));
  return call_item(status, open_->text);
}

void ResponsesOutput::close(std::string& out, ResponsesEvents& events, bool whole) {
  if (!open_) return;
  const std::string_view status = status_of(whole);
  std::string item = open_->kind == Kind::kReasoning ? close_reasoning(out, events, status)
                     : open_->kind == Kind::kContent ? close_message(out, events, status)
                                                     : close_call(out, events, status);
  events.send(out, "response.output_item.done",
              fmt::format(R"(,"output_index":{},"item":{})", items_.size(), item));
  items_.push_back({std::move(open_->id), std::move(item)});
  open_.reset();
}

void ResponsesOutput::end(std::string& out, ResponsesEvents& events, const Choice& state,
                          std::span<const ShownToken> tokens) {
  if (!open_) return;
  if (open_->kind == Kind::kContent) add_logprobs(tokens);
  const bool whole = open_->kind == Kind::kToolArguments
                         ? state.tool_calls()[static_cast<size_t>(open_->call)].complete
                         : state.end_reason() != EndReason::kLength;
  close(out, events, whole);
}

std::string ResponsesOutput::items_json() const {
  std::string out = "[";
  for (const ResponseItem& item : items_) {
    if (out.size() > 1) out += ',';
    out += item.json;
  }
  return out + "]";
}

}  // namespace ft::server
