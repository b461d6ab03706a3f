// What a request says of the form of its answer: a JSON Schema, any JSON object, a regular expression, a choice.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "server/api/field_reader.h"
#include "verify/grammar/grammar.h"

namespace ft::server {

struct OutputFormat {
  std::shared_ptr<const grammar::Grammar> grammar;  // null: any text
  std::string field;                                // that asked for it
};

// Reads response_format (text, json_object, json_schema), vLLM's structured_outputs and guided_json, guided_regex,
// guided_choice, and SGLang's json_schema and regex: at most one of them. A schema or a pattern that cannot
// be enforced is refused with its keyword and path; violations stay in `fields`.
OutputFormat read_output_format(FieldReader& fields);

// Reads one object that says it, `name` of `fields`: {"type": text, json_object or json_schema}, the schema within an
// object json_schema (response_format) or beside the type (text.format of Responses, output_config.format of
// Anthropic).
OutputFormat read_format_object(FieldReader& fields, std::string_view name);

}  // namespace ft::server
