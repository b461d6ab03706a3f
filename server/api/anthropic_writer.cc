#include "server/api/anthropic_writer.h"

#include <optional>
#include <string_view>
#include <utility>

#include "encoding/ordered_json.h"
#include "server/api/anthropic_json.h"
#include "server/generation/random_id.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

// Of thinking blocks. Clients send it back, and want one that is not empty; it proves nothing.
constexpr std::string_view kSignature = "Zm9yZXRva2Vu";

void append_event(std::string& out, std::string_view type, std::string_view members) {
  out += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}}}\n\n", type, members);
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string text_block(std::string_view text) {
  return R"({"type":"text","text":)" + quoted(text) + "}";
}

std::string thinking_block(std::string_view thinking, std::string_view signature) {
  return fmt::format(R"({{"type":"thinking","thinking":{},"signature":"{}"}})", quoted(thinking), signature);
}

// `input` is JSON.
std::string tool_block(std::string_view name, std::string_view input) {
  return fmt::format(R"({{"type":"tool_use","id":"toolu_{}","name":{},"input":{}}})", random_hex(24),
                     quoted(name), input);
}

std::string ending(EndReason reason, const std::string* stop_string) {
  return fmt::format(R"("stop_reason":"{}","stop_sequence":{})", anthropic_stop_reason(reason),
                     stop_string != nullptr ? quoted(*stop_string) : "null");
}

class AnthropicWriter : public ResponseWriter {
 public:
  explicit AnthropicWriter(AnthropicReplyHead head) : head_(std::move(head)) {}

  void begin(std::string& out, int /*choice*/, std::span<const ShownToken> /*prompt*/) override {
    Usage usage;
    usage.prompt_tokens = head_.prompt_tokens;
    append_event(out, "message_start",
                 R"(,"message":)" + message("", R"("stop_reason":null,"stop_sequence":null)", usage));
  }

  void delta(std::string& out, int /*choice*/, const Piece& piece,
             std::span<const ShownToken> /*tokens*/) override {
    switch (piece.kind) {
      case Piece::Kind::kReasoning:
        open(out, piece.kind, thinking_block("", ""));
        if (head_.show_thinking)
          block_delta(out, R"("type":"thinking_delta","thinking":)" + quoted(piece.text));
        break;
      case Piece::Kind::kContent:
        open(out, piece.kind, text_block(""));
        block_delta(out, R"("type":"text_delta","text":)" + quoted(piece.text));
        break;
      case Piece::Kind::kToolBegin:
        close(out);
        open(out, Piece::Kind::kToolArguments, tool_block(piece.text, "{}"));
        break;
      case Piece::Kind::kToolArguments:
        block_delta(out, R"("type":"input_json_delta","partial_json":)" + quoted(piece.text));
        break;
    }
  }

  void end(std::string& out, int /*choice*/, const Choice& state,
           std::span<const ShownToken> /*tokens*/) override {
    if (blocks_ == 0) open(out, Piece::Kind::kContent, text_block(""));
    close(out);
    ending_ = ending(state.end_reason(), state.stop_string());
  }

  void finish(std::string& out, const ReplyTotals& totals) override {
    append_event(out, "message_delta",
                 fmt::format(R"(,"delta":{{{}}},"usage":{})", ending_, anthropic_usage_json(totals.usage)));
    append_event(out, "message_stop", "");
  }

  void error(std::string& out, const ApiError& error) override {
    out += fmt::format("event: error\ndata: {}\n\n", refused(error));
  }

  std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const override {
    const Choice& choice = *choices.front().choice;
    std::string blocks;
    const auto add = [&](const std::string& block) {
      if (!blocks.empty()) blocks += ',';
      blocks += block;
    };
    if (!choice.reasoning().empty())
      add(thinking_block(head_.show_thinking ? choice.reasoning() : "", kSignature));
    if (!choice.content().empty()) add(text_block(choice.content()));
    for (const ToolCallState& call : choice.tool_calls())
      if (call.complete) add(tool_block(call.name, call.arguments));  // others were torn by the token limit
    if (blocks.empty()) add(text_block(""));
    return message(blocks, ending(choice.end_reason(), choice.stop_string()), totals.usage);
  }
  std::string refused(const ApiError& error) const override {
    return anthropic_error_json(error, head_.request_id);
  }

 private:
  std::string message(std::string_view blocks, std::string_view ending, const Usage& usage) const {
    return fmt::format(
        R"({{"id":"{}","type":"message","role":"assistant","model":{},"content":[{}],{},"usage":{}}})",
        head_.id, quoted(head_.model), blocks, ending, anthropic_usage_json(usage));
  }

  // Opens a block of this kind unless it is the open one.
  void open(std::string& out, Piece::Kind kind, std::string_view block) {
    if (open_ == kind) return;
    close(out);
    open_ = kind;
    append_event(out, "content_block_start",
                 fmt::format(R"(,"index":{},"content_block":{})", blocks_, block));
    ++blocks_;
  }

  void close(std::string& out) {
    if (!open_) return;
    if (open_ == Piece::Kind::kReasoning)
      block_delta(out, fmt::format(R"("type":"signature_delta","signature":"{}")", kSignature));
    append_event(out, "content_block_stop", fmt::format(R"(,"index":{})", blocks_ - 1));
    open_.reset();
  }

  void block_delta(std::string& out, std::string_view delta) const {
    append_event(out, "content_block_delta",
                 fmt::format(R"(,"index":{},"delta":{{{}}})", blocks_ - 1, delta));
  }

  const AnthropicReplyHead head_;
  std::optional<Piece::Kind> open_;  // of the block that is open; a tool's is kToolArguments
  int blocks_ = 0;                   // begun so far
  std::string ending_;
};

}  // namespace

std::unique_ptr<ResponseWriter> anthropic_writer(AnthropicReplyHead head) {
  return std::make_unique<AnthropicWriter>(std::move(head));
}

}  // namespace ft::server
