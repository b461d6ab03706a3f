#include "server/api/openai_steps.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

#include "encoding/ordered_json.h"
#include "server/api/openai_json.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

std::string_view source_name(draft::DraftSource source) {
  switch (source) {
    case draft::DraftSource::kModel:
      return "model";
    case draft::DraftSource::kNgram:
      return "ngram";
    case draft::DraftSource::kPrediction:
      return "prediction";
    case draft::DraftSource::kForced:
      return "forced";
    case draft::DraftSource::kBoth:
      break;
  }
  return "both";
}

void append_text(std::string& out, int32_t token, const encoding::Tokenizer& tokenizer) {
  out += R"({"token":)";
  append_json_string(out, token_text(tokenizer, token));
}

void append_token(std::string& out, const ShownToken& token, const encoding::Tokenizer& tokenizer) {
  append_text(out, token.event.token, tokenizer);
  fmt::format_to(std::back_inserter(out), R"(,"reasoning":{},"step":{})", token.reasoning, token.event.step);
  if (token.event.node < 0) {
    out += R"(,"depth":0,"source":"target","probability":null})";
    return;
  }
  const scheduler::VerifiedNode& node = token.event.detail->nodes[static_cast<size_t>(token.event.node)];
  fmt::format_to(std::back_inserter(out), R"(,"depth":{},"source":"{}","probability":{:.4g}}})", node.depth,
                 source_name(node.source), node.path_probability);
}

void append_step(std::string& out, const scheduler::StepDetail& step, const encoding::Tokenizer& tokenizer) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"step":{},"draft_ms":{:.3f},"verify_ms":{:.3f},"commit_ms":{:.3f},"tree":[)", step.step,
                 step.draft_ms, step.verify_ms, step.commit_ms);
  bool first = true;
  for (const scheduler::VerifiedNode& node : step.nodes) {
    if (!first) out += ',';
    first = false;
    append_text(out, node.token, tokenizer);
    fmt::format_to(std::back_inserter(out),
                   R"(,"parent":{},"depth":{},"probability":{:.4g},"source":"{}","accepted":{}}})",
                   node.parent, node.depth, node.path_probability, source_name(node.source), node.accepted);
  }
  out += "]}";
}

}  // namespace

std::string speculation_member(std::span<const ShownToken> tokens, const encoding::Tokenizer& tokenizer) {
  std::string listed;
  std::string steps;
  for (const ShownToken& token : tokens) {
    if (token.event.detail == nullptr) continue;
    if (!listed.empty()) listed += ',';
    append_token(listed, token, tokenizer);
    if (!token.opens_step) continue;
    if (!steps.empty()) steps += ',';
    append_step(steps, *token.event.detail, tokenizer);
  }
  if (listed.empty()) return {};
  return fmt::format(R"(,"speculation":{{"tokens":[{}],"steps":[{}]}})", listed, steps);
}

}  // namespace ft::server
