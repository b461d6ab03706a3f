#include "verify/grammar/schema_compiler.h"

#include "verify/grammar/node_builder.h"
#include "verify/grammar/normaliser.h"

namespace ft::grammar {

tl::expected<std::shared_ptr<const Grammar>, SchemaError> compile_schema(std::string_view schema) {
  auto document = SchemaDocument::parse(schema);
  if (!document) return tl::make_unexpected(document.error());
  Normaliser normaliser(**document);
  return NodeBuilder(normaliser).build();
}

}  // namespace ft::grammar
