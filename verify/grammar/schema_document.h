// A JSON Schema as it was given, and what its references mean.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "verify/grammar/json_value.h"

namespace ft::grammar {

// Why a schema is refused.
struct SchemaError {
  std::string keyword;  // the keyword that cannot be enforced, or empty
  std::string path;     // JSON pointer to the schema that holds it, "#" for the root
  std::string message;
};

// The keyword of `schema` to name where its parts are right by themselves and fail together; "" where none is there.
std::string_view combining_keyword(const JsonValue& schema);

// A schema within the document.
struct SchemaPlace {
  const JsonValue* schema = nullptr;
  std::string path;
};

class SchemaDocument {
 public:
  static tl::expected<std::unique_ptr<SchemaDocument>, SchemaError> parse(std::string_view text);
  SchemaDocument(const SchemaDocument&) = delete;

  SchemaPlace root() const { return {&root_, "#"}; }
  // Drafts 4 to 7 ignore what stands beside "$ref".
  bool ref_stands_alone() const { return ref_stands_alone_; }
  // What a "$ref" names: the root, a JSON pointer, an anchor or an "$id" of this document; empty for others.
  std::optional<SchemaPlace> resolve(std::string_view ref) const;

 private:
  SchemaDocument() = default;
  void collect(const JsonValue& value, const std::string& path);
  std::optional<SchemaPlace> follow(const SchemaPlace& from, std::string_view pointer) const;

  JsonValue root_;
  bool ref_stands_alone_ = false;
  std::string base_;  // "$id" of the root up to its last slash
  std::map<std::string, SchemaPlace, std::less<>> ids_;
};

}  // namespace ft::grammar
