#include "eval/structured_requests.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "verify/grammar/grammar_constraint.h"
#include "verify/grammar/json_value.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::eval {
namespace {

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kEndOfThink = "</think>";

// Whether a prompt ends within reasoning.
bool is_reasoning(const std::vector<int32_t>& prompt, int32_t think, int32_t end_of_think) {
  const auto last = std::find_if(prompt.rbegin(), prompt.rend(),
                                 [&](int32_t token) { return token == think || token == end_of_think; });
  return last != prompt.rend() && *last == think;
}

}  // namespace

Result<void> bind_to_schema(const std::string& path, const encoding::Tokenizer& tokenizer,
                            std::shared_ptr<const grammar::Vocabulary> vocabulary,
                            std::span<scheduler::GenerateRequest> requests) {
  const auto text = read_file(path, static_cast<int64_t>(grammar::kMaxJsonBytes));
  if (!text) return tl::make_unexpected(text.error());
  const auto compiled = grammar::compile_schema(*text);
  if (!compiled)
    return fail(ErrorCode::kInvalidArgument, "{}: {}{}{}: {}", path, compiled.error().path,
                compiled.error().keyword.empty() ? "" : "/", compiled.error().keyword,
                compiled.error().message);
  const auto think = tokenizer.id_of(kThink);
  const auto end_of_think = tokenizer.id_of(kEndOfThink);
  for (scheduler::GenerateRequest& request : requests) {
    Constraint constraint = grammar::grammar_constraint(*compiled, vocabulary);
    if (think && end_of_think && is_reasoning(request.prompt, *think, *end_of_think))
      constraint = grammar::behind_token(*end_of_think, std::move(constraint), vocabulary);
    request.constraint = std::make_shared<Constraint>(std::move(constraint));
  }
  return {};
}

}  // namespace ft::eval
