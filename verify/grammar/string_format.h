// The values of JSON Schema's `format` that we enforce.
#pragma once

#include <optional>
#include <string_view>

#include "verify/grammar/automaton.h"

namespace ft::grammar {

enum class FormatKind {
  kText,         // strings, by the automaton
  kInt32,        // integers of 32 bits (OpenAPI)
  kInt64,        // integers of 64 bits (OpenAPI)
  kUnknown,      // no specification defines it: an annotation that constrains nothing
  kUnsupported,  // JSON Schema defines it, and we do not enforce it
};

FormatKind format_kind(std::string_view name);

// The strings that a format of kind kText allows. Dates are those of the calendar; times have no leap second.
const Automaton& format_texts(std::string_view name);

}  // namespace ft::grammar
