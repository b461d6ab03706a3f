// What a request says of the form of its answer: a JSON Schema, any JSON object, a regular expression, a choice.
#pragma once

#include <memory>
#include <string>

#include "server/api/field_reader.h"
#include "verify/grammar/grammar.h"

namespace ft::server {

struct OutputFormat {
  std::shared_ptr<const grammar::Grammar> grammar;  // null: any text
  std::string field;                                // that asked for it
};

// Reads response_format (text, json_object, json_schema), vLLM's structured_outputs and guided_json, guided_regex,
// guided_choice, and SGLang's json_schema and regex: at most one of them. A schema or a pattern that cannot be enforced
// is refused with its keyword and path; violations stay in `fields`.
OutputFormat read_output_format(FieldReader& fields);

}  // namespace ft::server
