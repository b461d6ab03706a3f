// Grammars as constraints of the sampler.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/constraint.h"
#include "verify/grammar/grammar.h"
#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

// A reply that is a text of the grammar from its first token on. The vocabulary has as many tokens as the model has
// logits.
Constraint grammar_constraint(std::shared_ptr<const Grammar> grammar,
                              std::shared_ptr<const Vocabulary> vocabulary);

// Any tokens but the vocabulary's end tokens and those in `never`, up to and including `marker`, such as the end of
// reasoning; then `inner`.
Constraint behind_token(int32_t marker, Constraint inner, std::shared_ptr<const Vocabulary> vocabulary,
                        std::vector<int32_t> never = {});

// Outputs of `inner`, one behind the other: where one may end, an end token begins the next. For end tokens that end
// nothing.
Constraint repeated(Constraint inner, std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace ft::grammar
