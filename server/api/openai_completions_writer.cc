#include "server/api/openai_completions_writer.h"

#include <algorithm>
#include <utility>

#include "encoding/ordered_json.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

// {"text": logprob}: the likeliest tokens and the sampled one. Two tokens of one text give one entry, the
// likelier.
void append_top(std::string& out, const ShownToken& token, const encoding::Tokenizer& tokenizer) {
  std::vector<std::string> seen;
  out += '{';
  const auto add = [&](int32_t id, float logprob) {
    std::string text = token_text(tokenizer, id);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) return;
    if (!seen.empty()) out += ',';
    append_json_string(out, text);
    out += ':';
    append_logprob(out, logprob);
    seen.push_back(std::move(text));
  };
  for (const scheduler::TokenLogprob& top : token.event.top) add(top.token, top.logprob);
  add(token.event.token, token.event.logprob);
  out += '}';
}

class OpenAiCompletionsWriter : public ResponseWriter {
 public:
  OpenAiCompletionsWriter(const ReplyHead& head, const ReplyExtras& extras,
                          const encoding::Tokenizer& tokenizer, bool logprobs,
                          std::vector<std::string> echoes)
      : envelope_(head, extras, "text_completion", "text_completion"),
        tokenizer_(tokenizer),
        logprobs_(logprobs),
        echoes_(std::move(echoes)) {}

  void begin(std::string& out, int choice) override {
    const std::string& echo = echoes_[static_cast<size_t>(choice)];
    if (!echo.empty()) text(out, choice, echo, "", "");
  }

  void delta(std::string& out, int choice, const Piece& piece, std::span<const ShownToken> tokens) override {
    text(out, choice, piece.text, logprobs(tokens), "");
  }

  void end(std::string& out, int choice, const Choice& state, std::span<const ShownToken> tokens) override {
    text(out, choice, "", logprobs(tokens), openai_finish_reason(state.end_reason()));
  }

  void finish(std::string& out, const ReplyTotals& totals) override { envelope_.finish(out, totals); }
  void error(std::string& out, const ApiError& error) override { envelope_.error(out, error); }

  std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const override {
    std::vector<std::string> written;
    for (size_t i = 0; i < choices.size(); ++i) {
      std::string out = fmt::format(R"({{"index":{},"text":)", i);
      append_json_string(out, echoes_[i] + choices[i].choice->content());
      const std::string logprobs = this->logprobs(choices[i].tokens);
      out += fmt::format(R"(,"logprobs":{},"finish_reason":"{}"}})", logprobs.empty() ? "null" : logprobs,
                         openai_finish_reason(choices[i].choice->end_reason()));
      written.push_back(std::move(out));
    }
    return envelope_.whole(written, totals);
  }
  std::string refused(const ApiError& error) const override { return openai_error_json(error); }

 private:
  void text(std::string& out, int choice, std::string_view text, std::string_view logprobs,
            std::string_view reason) const {
    std::string body = R"(,"text":)";
    append_json_string(body, text);
    envelope_.chunk(out, choice, body, logprobs, reason);
  }

  // "" where they are not wanted, or there is no token to tell of.
  std::string logprobs(std::span<const ShownToken> tokens) const {
    if (!logprobs_ || tokens.empty()) return {};
    std::string texts;
    std::string logprobs;
    std::string tops;
    std::string offsets;
    for (const ShownToken& token : tokens) {
      if (!texts.empty()) {
        for (std::string* list : {&texts, &logprobs, &tops, &offsets}) *list += ',';
      }
      append_json_string(texts, token_text(tokenizer_, token.event.token));
      append_logprob(logprobs, token.event.logprob);
      append_top(tops, token, tokenizer_);
      append_integer(offsets, token.text_offset);
    }
    return fmt::format(R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})",
                       texts, logprobs, tops, offsets);
  }

  const OpenAiEnvelope envelope_;
  const encoding::Tokenizer& tokenizer_;
  const bool logprobs_;
  const std::vector<std::string> echoes_;
};

}  // namespace

std::unique_ptr<ResponseWriter> openai_completions_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                          const encoding::Tokenizer& tokenizer, bool logprobs,
                                                          std::vector<std::string> echoes) {
  return std::make_unique<OpenAiCompletionsWriter>(head, extras, tokenizer, logprobs, std::move(echoes));
}

}  // namespace ft::server
