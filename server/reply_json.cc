#include "server/reply_json.h"

#include <cmath>
#include <iterator>
#include <vector>

#include "encoding/ordered_json.h"
#include "encoding/utf8.h"
#include "server/version.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

void append_integer(std::string& out, int64_t value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_logprob(std::string& out, float logprob) {
  if (std::isfinite(logprob)) {
    fmt::format_to(std::back_inserter(out), "{}", logprob);
  } else {
    out += "-9999.0";
  }
}

std::string token_text(const encoding::Tokenizer& tokenizer, int32_t token) {
  return encoding::replace_ill_formed(tokenizer.token_bytes(token));
}

void append_chat_token(std::string& out, const encoding::Tokenizer& tokenizer, int32_t token, float logprob) {
  out += R"({"token":)";
  append_json_string(out, token_text(tokenizer, token));
  out += R"(,"logprob":)";
  append_logprob(out, logprob);
  out += R"(,"bytes":[)";
  bool first = true;
  for (const char byte : tokenizer.token_bytes(token)) {
    if (!first) out += ',';
    first = false;
    append_integer(out, static_cast<unsigned char>(byte));
  }
  out += ']';
}

void append_chat_tokens(std::string& out, std::span<const ShownToken> tokens, bool reasoning,
                        const encoding::Tokenizer& tokenizer) {
  out += '[';
  bool first = true;
  for (const ShownToken& token : tokens) {
    if (token.reasoning != reasoning) continue;
    if (!first) out += ',';
    first = false;
    append_chat_token(out, tokenizer, token.event.token, token.event.logprob);
    out += R"(,"top_logprobs":[)";
    for (size_t i = 0; i < token.event.top.size(); ++i) {
      if (i > 0) out += ',';
      append_chat_token(out, tokenizer, token.event.top[i].token, token.event.top[i].logprob);
      out += '}';
    }
    out += "]}";
  }
  out += ']';
}

// {"text": logprob}: the likeliest tokens and the sampled one. Two tokens of one text give one entry, the
// likelier.
void append_top(std::string& out, const ShownToken& token, const encoding::Tokenizer& tokenizer) {
  std::vector<std::string> seen;
  out += '{';
  const auto add = [&](int32_t id, float logprob) {
    std::string text = token_text(tokenizer, id);
    for (const std::string& other : seen) {
      if (other == text) return;
    }
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

std::string completion_logprobs(std::span<const ShownToken> tokens, const encoding::Tokenizer& tokenizer) {
  std::string texts;
  std::string logprobs;
  std::string tops;
  std::string offsets;
  for (const ShownToken& token : tokens) {
    if (!texts.empty()) {
      for (std::string* list : {&texts, &logprobs, &tops, &offsets}) *list += ',';
    }
    append_json_string(texts, token_text(tokenizer, token.event.token));
    append_logprob(logprobs, token.event.logprob);
    append_top(tops, token, tokenizer);
    append_integer(offsets, token.text_offset);
  }
  return fmt::format(R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})",
                     texts, logprobs, tops, offsets);
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

}  // namespace

std::string usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},)"
      R"("completion_tokens_details":{{"reasoning_tokens":{}}},"prompt_cache_hit_tokens":{},"prompt_cache_miss_tokens":{}}})",
      usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens,
      usage.cached_tokens, usage.reasoning_tokens, usage.cached_tokens,
      usage.prompt_tokens - usage.cached_tokens);
}

std::string logprobs_json(ReplyKind kind, std::span<const ShownToken> tokens,
                          const encoding::Tokenizer& tokenizer) {
  if (kind == ReplyKind::kCompletion) return completion_logprobs(tokens, tokenizer);
  std::string out = R"({"content":)";
  append_chat_tokens(out, tokens, false, tokenizer);
  out += R"(,"reasoning_content":)";
  append_chat_tokens(out, tokens, true, tokenizer);
  out += '}';
  return out;
}

ChunkWriter::ChunkWriter(const ReplyHead& head, bool usage_null) : kind_(head.kind) {
  prefix_ = R"(data: {"id":)";
  append_json_string(prefix_, head.id);
  prefix_ +=
      fmt::format(R"(,"object":"{}","created":{},"model":)",
                  kind_ == ReplyKind::kChat ? "chat.completion.chunk" : "text_completion", head.created);
  append_json_string(prefix_, head.model);
  prefix_ += fmt::format(R"(,"system_fingerprint":"{}","choices":[)", kSystemFingerprint);
  suffix_ = usage_null ? "}],\"usage\":null}\n\n" : "}]}\n\n";
}

void ChunkWriter::open(std::string& out, int index) const {
  out += prefix_;
  out += R"({"index":)";
  append_integer(out, index);
}

void ChunkWriter::close(std::string& out, std::string_view logprobs, std::string_view reason) const {
  out += R"(,"logprobs":)";
  out += logprobs.empty() ? "null" : logprobs;
  out += R"(,"finish_reason":)";
  if (reason.empty()) {
    out += "null";
  } else {
    append_json_string(out, reason);
  }
  out += suffix_;
}

void ChunkWriter::role(std::string& out, int index) const {
  open(out, index);
  out += R"(,"delta":{"role":"assistant","content":""})";
  close(out, "", "");
}

void ChunkWriter::piece(std::string& out, int index, const Piece& piece, std::string_view call_id,
                        std::string_view logprobs) const {
  open(out, index);
  switch (piece.kind) {
    case Piece::Kind::kReasoning:
      out += R"(,"delta":{"reasoning_content":)";
      append_json_string(out, piece.text);
      out += '}';
      break;
    case Piece::Kind::kContent:
      out += R"(,"delta":{"content":)";
      append_json_string(out, piece.text);
      out += '}';
      break;
    case Piece::Kind::kToolBegin:
      out += R"(,"delta":{"tool_calls":[{"index":)";
      append_integer(out, piece.index);
      out += R"(,"id":)";
      append_json_string(out, call_id);
      out += R"(,"type":"function","function":{"name":)";
      append_json_string(out, piece.text);
      out += R"(,"arguments":""}}]})";
      break;
    case Piece::Kind::kToolArguments:
      out += R"(,"delta":{"tool_calls":[{"index":)";
      append_integer(out, piece.index);
      out += R"(,"function":{"arguments":)";
      append_json_string(out, piece.text);
      out += "}}]}";
      break;
  }
  close(out, logprobs, "");
}

void ChunkWriter::text(std::string& out, int index, std::string_view text, std::string_view logprobs) const {
  open(out, index);
  out += R"(,"text":)";
  append_json_string(out, text);
  close(out, logprobs, "");
}

void ChunkWriter::finish(std::string& out, int index, std::string_view reason,
                         std::string_view logprobs) const {
  open(out, index);
  out += kind_ == ReplyKind::kChat ? R"(,"delta":{})" : R"(,"text":"")";
  close(out, logprobs, reason);
}

void ChunkWriter::usage(std::string& out, const Usage& usage, std::string_view metrics) const {
  out += prefix_;
  out += R"(],"usage":)";
  out += usage_json(usage);
  if (!metrics.empty()) {
    out += R"(,"metrics":)";
    out += metrics;
  }
  out += "}\n\n";
}

void append_error_event(std::string& out, const ApiError& error) {
  out += "data: ";
  out += error_json(error);
  out += "\n\n";
}

std::string chat_choice_json(int index, const Choice& choice, bool thinking,
                             std::span<const std::string> call_ids, std::string_view logprobs) {
  std::string calls;
  for (size_t i = 0; i < choice.tool_calls().size(); ++i) {
    if (!choice.tool_calls()[i].complete) continue;  // torn by the token limit
    if (!calls.empty()) calls += ',';
    append_call(calls, choice.tool_calls()[i], call_ids[i]);
  }
  std::string out = fmt::format(R"({{"index":{},"message":{{"role":"assistant","content":)", index);
  if (choice.content().empty() && !calls.empty()) {
    out += "null";
  } else {
    append_json_string(out, choice.content());
  }
  if (thinking) {
    out += R"(,"reasoning_content":)";
    append_json_string(out, choice.reasoning());
  }
  if (!calls.empty()) {
    out += R"(,"tool_calls":[)";
    out += calls;
    out += ']';
  }
  out += fmt::format(R"(}},"logprobs":{},"finish_reason":"{}"}})", logprobs.empty() ? "null" : logprobs,
                     choice.finish_reason());
  return out;
}

std::string completion_choice_json(int index, const Choice& choice, std::string_view echo,
                                   std::string_view logprobs) {
  std::string out = fmt::format(R"({{"index":{},"text":)", index);
  append_json_string(out, std::string(echo) + choice.content());
  out += fmt::format(R"(,"logprobs":{},"finish_reason":"{}"}})", logprobs.empty() ? "null" : logprobs,
                     choice.finish_reason());
  return out;
}

std::string reply_json(const ReplyHead& head, std::span<const std::string> choices, const Usage& usage,
                       std::string_view metrics) {
  std::string out = R"({"id":)";
  append_json_string(out, head.id);
  out += fmt::format(R"(,"object":"{}","created":{},"model":)",
                     head.kind == ReplyKind::kChat ? "chat.completion" : "text_completion", head.created);
  append_json_string(out, head.model);
  out += fmt::format(R"(,"system_fingerprint":"{}","choices":[)", kSystemFingerprint);
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    out += choices[i];
  }
  out += R"(],"usage":)";
  out += usage_json(usage);
  if (!metrics.empty()) {
    out += R"(,"metrics":)";
    out += metrics;
  }
  out += '}';
  return out;
}

}  // namespace ft::server
