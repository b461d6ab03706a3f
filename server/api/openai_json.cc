#include "server/api/openai_json.h"

#include <cmath>
#include <iterator>

#include "encoding/ordered_json.h"
#include "encoding/utf8.h"
#include "server/generation/speculation_report.h"
#include "server/version.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

void append_or_null(std::string& out, const std::string& text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

void append_token(std::string& out, const encoding::Tokenizer& tokenizer, int32_t token, float logprob) {
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

std::string opening(const ReplyHead& head, std::string_view object) {
  std::string out = R"({"id":)";
  append_json_string(out, head.id);
  out += fmt::format(R"(,"object":"{}","created":{},"model":)", object, head.created);
  append_json_string(out, head.model);
  out += fmt::format(R"(,"system_fingerprint":"{}","choices":[)", kSystemFingerprint);
  return out;
}

}  // namespace

std::string openai_error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, error.type);
  out += R"(,"param":)";
  append_or_null(out, error.param);
  out += R"(,"code":)";
  append_or_null(out, error.code);
  out += "}}";
  return out;
}

std::string openai_usage_json(const Usage& usage) {
  const std::string predicted =
      !usage.predicted ? ""
                       : fmt::format(R"(,"accepted_prediction_tokens":{},"rejected_prediction_tokens":{})",
                                     usage.accepted_prediction_tokens, usage.rejected_prediction_tokens);
  return fmt::format(
      R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},)"
      R"("completion_tokens_details":{{"reasoning_tokens":{}{}}},"prompt_cache_hit_tokens":{},"prompt_cache_miss_tokens":{}}})",
      usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens,
      usage.cached_tokens, usage.reasoning_tokens, predicted, usage.cached_tokens,
      usage.prompt_tokens - usage.cached_tokens);
}

std::string token_text(const encoding::Tokenizer& tokenizer, int32_t token) {
  return encoding::replace_ill_formed(tokenizer.token_bytes(token));
}

void append_logprob(std::string& out, float logprob) {
  if (std::isfinite(logprob)) {
    fmt::format_to(std::back_inserter(out), "{}", logprob);
  } else {
    out += "-9999.0";
  }
}

void append_integer(std::string& out, int64_t value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_token_logprobs(std::string& out, const ShownToken& token, const encoding::Tokenizer& tokenizer) {
  append_token(out, tokenizer, token.event.token, token.event.logprob);
  out += R"(,"top_logprobs":[)";
  for (size_t i = 0; i < token.event.top.size(); ++i) {
    if (i > 0) out += ',';
    append_token(out, tokenizer, token.event.top[i].token, token.event.top[i].logprob);
    out += '}';
  }
  out += "]}";
}

OpenAiEnvelope::OpenAiEnvelope(const ReplyHead& head, const ReplyExtras& extras,
                               std::string_view chunk_object, std::string_view whole_object)
    : extras_(extras),
      chunk_prefix_("data: " + opening(head, chunk_object)),
      // Chunks before the usage say that there is none yet.
      chunk_suffix_(extras.usage ? "}],\"usage\":null}\n\n" : "}]}\n\n"),
      whole_prefix_(opening(head, whole_object)) {}

void OpenAiEnvelope::chunk(std::string& out, int index, std::string_view body, std::string_view logprobs,
                           std::string_view reason) const {
  out += chunk_prefix_;
  out += R"({"index":)";
  append_integer(out, index);
  out += body;
  out += R"(,"logprobs":)";
  out += logprobs.empty() ? "null" : logprobs;
  out += R"(,"finish_reason":)";
  if (reason.empty()) {
    out += "null";
  } else {
    append_json_string(out, reason);
  }
  out += chunk_suffix_;
}

// A member behind another one, or "".
std::string OpenAiEnvelope::metrics(const ReplyTotals& totals) const {
  if (!extras_.speculation) return {};
  return R"(,"metrics":{"speculative_decoding":)" + speculation_json(totals.report, extras_.draft_rows) + "}";
}

void OpenAiEnvelope::finish(std::string& out, const ReplyTotals& totals) const {
  if (extras_.usage || extras_.speculation) {
    out += chunk_prefix_;
    out += R"(],"usage":)";
    out += openai_usage_json(totals.usage);
    out += metrics(totals);
    out += "}\n\n";
  }
  out += kDoneEvent;
}

void OpenAiEnvelope::error(std::string& out, const ApiError& error) const {
  out += "data: ";
  out += openai_error_json(error);
  out += "\n\n";
  out += kDoneEvent;
}

std::string OpenAiEnvelope::whole(std::span<const std::string> choices, const ReplyTotals& totals) const {
  std::string out = whole_prefix_;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    out += choices[i];
  }
  out += R"(],"usage":)";
  out += openai_usage_json(totals.usage);
  out += metrics(totals);
  out += '}';
  return out;
}

}  // namespace ft::server
