#include "verify/grammar/schema_compiler.h"

#include "verify/grammar/normaliser.h"

namespace ft::grammar {

tl::expected<std::shared_ptr<const Grammar>, SchemaError> compile_schema(std::string_view schema) {
  auto document = SchemaDocument::parse(schema);
  if (!document) return tl::make_unexpected(document.error());
  Normaliser normaliser(**document);
  return NodeBuilder(normaliser).build();
}

tl::expected<NodeBuilder::Call, SchemaError> compile_call(std::string_view schema,
                                                          const AutomatonRef& outside, size_t& work) {
  auto document = SchemaDocument::parse(schema);
  if (!document) return tl::make_unexpected(document.error());
  Normaliser normaliser(**document);
  auto call = NodeBuilder(normaliser).build_call(outside);
  work += normaliser.work() + (call ? call->grammar->nodes.size() : 0);
  return call;
}

}  // namespace ft::grammar
