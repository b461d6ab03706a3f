#include "server/api/openai_completions_writer.h"

#include <algorithm>
#include <utility>

#include "encoding/ordered_json.h"
#include "server/api/openai_steps.h"

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

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

// The parallel lists of tokens with their probabilities.
class TokenLists {
 public:
  explicit TokenLists(const encoding::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The first token of a prompt.
  void add_first(int32_t token) {
    separate();
    append_json_string(texts_, token_text(tokenizer_, token));
    logprobs_ += "null";
    tops_ += "null";
    offsets_ += '0';
  }
  void add(const ShownToken& token, int64_t offset) {
    separate();
    append_json_string(texts_, token_text(tokenizer_, token.event.token));
    append_logprob(logprobs_, token.event.logprob);
    append_top(tops_, token, tokenizer_);
    append_integer(offsets_, offset);
  }
  // "" where there is none.
  std::string json() const {
    if (texts_.empty()) return {};
    return fmt::format(R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})",
                       texts_, logprobs_, tops_, offsets_);
  }

 private:
  void separate() {
    if (texts_.empty()) return;
    for (std::string* list : {&texts_, &logprobs_, &tops_, &offsets_}) *list += ',';
  }

  const encoding::Tokenizer& tokenizer_;
  std::string texts_;
  std::string logprobs_;
  std::string tops_;
  std::string offsets_;
};

class OpenAiCompletionsWriter : public ResponseWriter {
 public:
  OpenAiCompletionsWriter(const ReplyHead& head, const ReplyExtras& extras,
                          const encoding::Tokenizer& tokenizer, bool logprobs,
                          std::vector<CompletionEcho> echoes)
      : envelope_(head, extras, "text_completion", "text_completion"),
        tokenizer_(tokenizer),
        logprobs_(logprobs),
        echoes_(std::move(echoes)) {}

  void begin(std::string& out, int choice, std::span<const ShownToken> prompt) override {
    TokenLists lists(tokenizer_);
    add_prompt(lists, choice, prompt);
    const std::string logprobs = lists.json();
    const std::string& echo = echoes_[static_cast<size_t>(choice)].text;
    if (!echo.empty() || !logprobs.empty()) chunk(out, choice, echo, "", logprobs, "");
  }

  void delta(std::string& out, int choice, const Piece& piece, std::span<const ShownToken> tokens) override {
    chunk(out, choice, piece.text, speculation_member(tokens, tokenizer_), logprobs(choice, tokens), "");
  }

  void end(std::string& out, int choice, const Choice& state, std::span<const ShownToken> tokens) override {
    chunk(out, choice, "", speculation_member(tokens, tokenizer_), logprobs(choice, tokens),
          end_reason_name(state.end_reason()));
  }

  void finish(std::string& out, const ReplyTotals& totals) override { envelope_.finish(out, totals); }
  void error(std::string& out, const ApiError& error) override { envelope_.error(out, error); }

  std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const override {
    std::vector<std::string> written;
    for (size_t i = 0; i < choices.size(); ++i) {
      std::string out = fmt::format(R"({{"index":{},"text":)", i);
      append_json_string(out, echoes_[i].text + choices[i].choice->content());
      out += speculation_member(choices[i].tokens, tokenizer_);
      TokenLists lists(tokenizer_);
      add_prompt(lists, static_cast<int>(i), choices[i].prompt);
      add_tokens(lists, static_cast<int>(i), choices[i].tokens);
      const std::string logprobs = lists.json();
      out += fmt::format(R"(,"logprobs":{},"finish_reason":"{}"}})", logprobs.empty() ? "null" : logprobs,
                         end_reason_name(choices[i].choice->end_reason()));
      written.push_back(std::move(out));
    }
    return envelope_.whole(written, totals);
  }
  std::string refused(const ApiError& error) const override { return openai_error_json(error); }

 private:
  // `speculation` is a member with its comma, or "".
  void chunk(std::string& out, int choice, std::string_view text, std::string_view speculation,
             std::string_view logprobs, std::string_view reason) const {
    std::string body = R"(,"text":)";
    append_json_string(body, text);
    body += speculation;
    envelope_.chunk(out, choice, body, logprobs, reason);
  }

  // Offsets count the characters of the tokens before; a control token has none in the text.
  void add_prompt(TokenLists& lists, int choice, std::span<const ShownToken> prompt) const {
    const CompletionEcho& echo = echoes_[static_cast<size_t>(choice)];
    if (!logprobs_ || !echo.first_token) return;
    lists.add_first(*echo.first_token);
    int64_t offset = characters_of(*echo.first_token);
    for (const ShownToken& token : prompt) {
      lists.add(token, offset);
      offset += characters_of(token.event.token);
    }
  }
  void add_tokens(TokenLists& lists, int choice, std::span<const ShownToken> tokens) const {
    if (!logprobs_) return;
    const int64_t begin = count_characters(echoes_[static_cast<size_t>(choice)].text);
    for (const ShownToken& token : tokens) lists.add(token, begin + token.text_offset);
  }
  int64_t characters_of(int32_t token) const {
    return tokenizer_.is_special(token) ? 0 : count_characters(tokenizer_.token_bytes(token));
  }
  std::string logprobs(int choice, std::span<const ShownToken> tokens) const {
    TokenLists lists(tokenizer_);
    add_tokens(lists, choice, tokens);
    return lists.json();
  }

  const OpenAiEnvelope envelope_;
  const encoding::Tokenizer& tokenizer_;
  const bool logprobs_;
  const std::vector<CompletionEcho> echoes_;
};

}  // namespace

std::unique_ptr<ResponseWriter> openai_completions_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                          const encoding::Tokenizer& tokenizer, bool logprobs,
                                                          std::vector<CompletionEcho> echoes) {
  return std::make_unique<OpenAiCompletionsWriter>(head, extras, tokenizer, logprobs, std::move(echoes));
}

}  // namespace ft::server
