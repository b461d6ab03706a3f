// A JSON Schema as it was given, and what its references mean.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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
  // What the "$ref" of `holder` names: a schema with an "$id" in this document, or a pointer or an anchor in one or
  // in the one that `holder` is part of; empty for others.
  std::optional<SchemaPlace> resolve(const JsonValue& holder, std::string_view ref) const;

 private:
  // A schema with an "$id", or the root. Pointers and anchors are its own.
  struct Resource {
    SchemaPlace place;
    std::string base;  // its "$id" up to the last slash
  };

  SchemaDocument() = default;
  void collect(const JsonValue& value, const std::string& path, size_t resource);
  // The resource that begins at `value`, or else the one that it is part of.
  size_t begin_resource(const JsonValue& value, const std::string& path, size_t resource);
  std::string_view id_of(const JsonValue& value) const;
  std::optional<SchemaPlace> find(size_t resource, std::string_view fragment) const;
  std::optional<SchemaPlace> follow(const SchemaPlace& from, std::string_view pointer) const;

  JsonValue root_;
  bool ref_stands_alone_ = false;
  bool draft4_ = false;              // "id" is what "$id" is in later ones
  bool undeclared_ = true;           // no "$schema" says which draft it is
  std::vector<Resource> resources_;  // the root first
  std::map<std::string, size_t, std::less<>> ids_;
  std::map<std::pair<size_t, std::string>, SchemaPlace> anchors_;
  std::unordered_map<const JsonValue*, size_t> holders_;  // values with a "$ref" outside the root's resource
};

}  // namespace ft::grammar
