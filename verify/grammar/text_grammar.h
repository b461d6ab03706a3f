// Grammars of plain texts.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"
#include "verify/grammar/grammar.h"

namespace ft::grammar {

// Texts that match a regular expression from begin to end. Errors: as compile_regex, and kInvalidArgument for one that
// nothing matches.
Result<std::shared_ptr<const Grammar>> regex_grammar(std::string_view pattern);

// One of these texts. kInvalidArgument for none, kTooLarge for more than an automaton may hold.
Result<std::shared_ptr<const Grammar>> choice_grammar(std::span<const std::string> texts);

}  // namespace ft::grammar
