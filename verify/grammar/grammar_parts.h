// Puts grammars together.
#pragma once

#include <memory>

#include "verify/grammar/grammar.h"

namespace ft::grammar {

// Adds all of `part` to `grammar`, and returns what is to be added to the numbers of its nodes there.
NodeId append(Grammar& grammar, const Grammar& part);

// Adds a node of plain texts, and returns it.
NodeId append_text(Grammar& grammar, Automaton texts);

}  // namespace ft::grammar
