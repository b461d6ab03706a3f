// Grammars of tool calls, in the DSML form that DeepSeek-V4 writes them in (encoding.md 7).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "verify/grammar/grammar.h"
#include "verify/grammar/schema_document.h"

namespace ft::grammar {

struct CallableTool {
  std::string name;
  // What the arguments must be; empty: any parameters.
  std::optional<std::string> schema;
  bool advice = false;  // a schema that cannot be enforced is as good as none
};

struct CallOptions {
  bool required = false;  // the reply is a block of calls; else it may be, or end with, one
  bool several = true;    // a block may have more than one call
  // What a reply that has no block must be; null: any text. Not used where a call is required.
  std::shared_ptr<const Grammar> answer = {};
};

struct CallError {
  std::string tool;  // the tool whose name or schema is refused
  SchemaError why;
};

// A reply that calls some of `tools`, of which there is at least one. A block begins with two newlines where
// nothing is before it. Text before a block does not have the mark that begins one: text with that mark is a
// block. A parameter comes once at most, in the order of the schema. The text of a parameter has no mark of
// DSML.
tl::expected<std::shared_ptr<const Grammar>, CallError> call_grammar(std::span<const CallableTool> tools,
                                                                     const CallOptions& options);

}  // namespace ft::grammar
