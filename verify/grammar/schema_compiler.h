// JSON Schema to grammar.
#pragma once

#include <memory>
#include <string_view>

#include "verify/grammar/grammar.h"
#include "verify/grammar/node_builder.h"
#include "verify/grammar/schema_document.h"

namespace ft::grammar {

// The grammar of the values that a schema allows, drafts 4 to 2020-12. It may allow less than the schema,
// never more: the layout, the order of members and the forms of numbers are fixed (grammar.h,
// number_language.h), and negations are not always followed wholly (normaliser.h). Keywords that the
// specifications do not define are annotations. What is defined and cannot be enforced is refused, with its
// keyword and path: minContains and maxContains, unevaluatedProperties, unevaluatedItems, uniqueItems of items
// that equal texts do not tell apart, dynamic references, references out of the document, formats of
// string_format.h, patterns of regex.h, branches of a oneOf that cannot be told apart.
//
// Bounds: the text as parse_json says; kMaxAutomataBytes for all automata, 20,000 conjunctions of schemas,
// 256 alternatives of one value. What exceeds them is refused in a few milliseconds per megabyte.
tl::expected<std::shared_ptr<const Grammar>, SchemaError> compile_schema(std::string_view schema);

// The parameters of a tool whose arguments are what a schema allows (node_builder.h). `outside`: texts that no
// parameter may hold as they stand. Adds to `work` what it has taken, also where it refuses.
tl::expected<NodeBuilder::Call, SchemaError> compile_call(std::string_view schema,
                                                          const AutomatonRef& outside, size_t& work);

}  // namespace ft::grammar
