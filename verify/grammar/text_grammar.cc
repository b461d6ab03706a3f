#include "verify/grammar/text_grammar.h"

#include <utility>
#include <vector>

#include "verify/grammar/grammar_parts.h"
#include "verify/grammar/regex.h"

namespace ft::grammar {
namespace {

std::shared_ptr<const Grammar> grammar_of(Automaton texts) {
  auto grammar = std::make_shared<Grammar>();
  grammar->root = append_text(*grammar, std::move(texts));
  return grammar;
}

}  // namespace

Result<std::shared_ptr<const Grammar>> regex_grammar(std::string_view pattern) {
  Result<Automaton> texts = compile_regex(pattern, RegexMatch::kWhole);
  if (!texts) return tl::make_unexpected(texts.error());
  if (texts->empty()) return fail(ErrorCode::kInvalidArgument, "no text matches the regular expression");
  return grammar_of(std::move(*texts));
}

Result<std::shared_ptr<const Grammar>> choice_grammar(std::span<const std::string> texts) {
  if (texts.empty()) return fail(ErrorCode::kInvalidArgument, "there is nothing to choose from");
  std::vector<std::u32string> points;
  for (const std::string& text : texts) points.push_back(code_points(text));
  auto automaton = Automaton::of(points);
  if (!automaton) return fail(ErrorCode::kTooLarge, "the texts to choose from have too many characters");
  return grammar_of(std::move(*automaton));
}

}  // namespace ft::grammar
