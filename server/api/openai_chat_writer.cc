#include "server/api/openai_chat_writer.h"

#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/openai_steps.h"
#include "server/generation/random_id.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

void append_tokens(std::string& out, std::span<const ShownToken> tokens, bool reasoning,
                   const encoding::Tokenizer& tokenizer) {
  out += '[';
  bool first = true;
  for (const ShownToken& token : tokens) {
    if (token.reasoning != reasoning) continue;
    if (!first) out += ',';
    first = false;
    append_token_logprobs(out, token, tokenizer);
  }
  out += ']';
}

void append_call(std::string& out, const ToolCallState& call, std::string_view id) {
  out += R"({"id":)";
  append_json_string(out, id);
  out += R"(,"type":"function","function":{"name":)";
  append_json_string(out, call.name);
  out += R"(,"arguments":)";
  append_json_string(out, call.arguments);
  out += "}}";
}

std::string new_call_id() {
  return "call_" + random_hex(24);
}

class OpenAiChatWriter : public ResponseWriter {
 public:
  OpenAiChatWriter(const ReplyHead& head, const ReplyExtras& extras, const encoding::Tokenizer& tokenizer,
                   bool logprobs, bool thinking)
      : envelope_(head, extras, "chat.completion.chunk", "chat.completion"),
        tokenizer_(tokenizer),
        logprobs_(logprobs),
        thinking_(thinking) {}

  void begin(std::string& out, int choice, std::span<const ShownToken> /*prompt*/) override {
    envelope_.chunk(out, choice, R"(,"delta":{"role":"assistant","content":""})", "", "");
  }

  void delta(std::string& out, int choice, const Piece& piece, std::span<const ShownToken> tokens) override {
    std::string body = R"(,"delta":{)";
    switch (piece.kind) {
      case Piece::Kind::kReasoning:
        body += R"("reasoning_content":)";
        append_json_string(body, piece.text);
        break;
      case Piece::Kind::kContent:
        body += R"("content":)";
        append_json_string(body, piece.text);
        break;
      case Piece::Kind::kToolBegin:
        body += R"("tool_calls":[{"index":)";
        append_integer(body, piece.index);
        body += R"(,"id":)";
        append_json_string(body, new_call_id());
        body += R"(,"type":"function","function":{"name":)";
        append_json_string(body, piece.text);
        body += R"(,"arguments":""}}])";
        break;
      case Piece::Kind::kToolArguments:
        body += R"("tool_calls":[{"index":)";
        append_integer(body, piece.index);
        body += R"(,"function":{"arguments":)";
        append_json_string(body, piece.text);
        body += "}}]";
        break;
    }
    body += '}';
    body += speculation_member(tokens, tokenizer_);
    envelope_.chunk(out, choice, body, logprobs(tokens), "");
  }

  void end(std::string& out, int choice, const Choice& state, std::span<const ShownToken> tokens) override {
    envelope_.chunk(out, choice, R"(,"delta":{})" + speculation_member(tokens, tokenizer_), logprobs(tokens),
                    end_reason_name(state.end_reason()));
  }

  void finish(std::string& out, const ReplyTotals& totals) override { envelope_.finish(out, totals); }
  void error(std::string& out, const ApiError& error) override { envelope_.error(out, error); }

  std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const override {
    std::vector<std::string> written;
    for (const FinishedChoice& choice : choices)
      written.push_back(choice_json(static_cast<int>(written.size()), choice));
    return envelope_.whole(written, totals);
  }
  std::string refused(const ApiError& error) const override { return openai_error_json(error); }

 private:
  // "" where they are not wanted, or there is no token to tell of.
  std::string logprobs(std::span<const ShownToken> tokens) const {
    if (!logprobs_ || tokens.empty()) return {};
    std::string out = R"({"content":)";
    append_tokens(out, tokens, false, tokenizer_);
    out += R"(,"reasoning_content":)";
    append_tokens(out, tokens, true, tokenizer_);
    out += '}';
    return out;
  }

  std::string choice_json(int index, const FinishedChoice& finished) const {
    const Choice& choice = *finished.choice;
    std::string calls;
    for (const ToolCallState& call : choice.tool_calls()) {
      if (!call.complete) continue;  // torn by the token limit
      if (!calls.empty()) calls += ',';
      append_call(calls, call, new_call_id());
    }
    std::string out = fmt::format(R"({{"index":{},"message":{{"role":"assistant","content":)", index);
    if (choice.content().empty() && !calls.empty()) {
      out += "null";
    } else {
      append_json_string(out, choice.content());
    }
    if (thinking_) {
      out += R"(,"reasoning_content":)";
      append_json_string(out, choice.reasoning());
    }
    if (!calls.empty()) {
      out += R"(,"tool_calls":[)";
      out += calls;
      out += ']';
    }
    const std::string logprobs = this->logprobs(finished.tokens);
    out += fmt::format(R"(}}{},"logprobs":{},"finish_reason":"{}"}})",
                       speculation_member(finished.tokens, tokenizer_), logprobs.empty() ? "null" : logprobs,
                       end_reason_name(choice.end_reason()));
    return out;
  }

  const OpenAiEnvelope envelope_;
  const encoding::Tokenizer& tokenizer_;
  const bool logprobs_;
  const bool thinking_;
};

}  // namespace

std::unique_ptr<ResponseWriter> openai_chat_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                   const encoding::Tokenizer& tokenizer, bool logprobs,
                                                   bool thinking) {
  return std::make_unique<OpenAiChatWriter>(head, extras, tokenizer, logprobs, thinking);
}

}  // namespace ft::server
