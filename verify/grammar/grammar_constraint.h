// Grammars as constraints of the sampler.
#pragma once

#include <cstdint>
#include <memory>

#include "verify/constraint.h"
#include "verify/grammar/grammar.h"
#include "verify/grammar/vocabulary.h"

namespace ft::grammar {

// A reply that is a text of the grammar from its first token on. The vocabulary has as many tokens as the model has
// logits.
verify::Constraint grammar_constraint(std::shared_ptr<const Grammar> grammar,
                                      std::shared_ptr<const Vocabulary> vocabulary);

// Any tokens but the vocabulary's end tokens up to and including `marker`, such as the end of reasoning; then `inner`.
verify::Constraint behind_token(int32_t marker, verify::Constraint inner,
                                std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace ft::grammar
