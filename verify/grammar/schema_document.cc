#include "verify/grammar/schema_document.h"

#include <fmt/format.h>

#include <charconv>

namespace ft::grammar {
namespace {

using Kind = JsonValue::Kind;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// %XX and, in a pointer's token, ~0 and ~1.
std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else if (text[i] == '~' && i + 1 < text.size()) {
      out += text[++i] == '1' ? '/' : '~';
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string_view combining_keyword(const JsonValue& schema) {
  // Most often to blame first: what a negation leaves is what is hard to express.
  for (const std::string_view keyword : {"not",
                                         "oneOf",
                                         "if",
                                         "allOf",
                                         "anyOf",
                                         "dependentSchemas",
                                         "dependentRequired",
                                         "dependencies",
                                         "$ref",
                                         "uniqueItems",
                                         "enum",
                                         "const",
                                         "minimum",
                                         "maximum",
                                         "exclusiveMinimum",
                                         "exclusiveMaximum",
                                         "multipleOf",
                                         "minLength",
                                         "maxLength",
                                         "minItems",
                                         "maxItems",
                                         "minProperties",
                                         "maxProperties",
                                         "propertyNames",
                                         "patternProperties",
                                         "required",
                                         "properties",
                                         "items",
                                         "prefixItems",
                                         "pattern",
                                         "type"})
    if (schema.find(keyword) != nullptr) return keyword;
  return "";
}

tl::expected<std::unique_ptr<SchemaDocument>, SchemaError> SchemaDocument::parse(std::string_view text) {
  Result<JsonValue> value = parse_json(text);
  if (!value) return tl::make_unexpected(SchemaError{"", "#", value.error().message});
  std::unique_ptr<SchemaDocument> document(new SchemaDocument);
  document->root_ = std::move(*value);
  const JsonValue& root = document->root_;
  if (const JsonValue* dialect = root.find("$schema"); dialect != nullptr && dialect->is(Kind::kString)) {
    if (dialect->text.find("draft-03") != std::string::npos)
      return tl::make_unexpected(SchemaError{"$schema", "#", "draft 3 is not supported"});
    for (const char* draft : {"draft-04", "draft-05", "draft-06", "draft-07"})
      if (dialect->text.find(draft) != std::string::npos) document->ref_stands_alone_ = true;
    document->draft4_ = dialect->text.find("draft-04") != std::string::npos;
    document->undeclared_ = false;
  }
  document->collect(root, "#", document->begin_resource(root, "#", 0));
  return document;
}

// What stands beside "$ref" in the older drafts is nothing.
std::string_view SchemaDocument::id_of(const JsonValue& value) const {
  if (ref_stands_alone_ && &value != &root_ && value.find("$ref") != nullptr) return {};
  const JsonValue* id = value.find("$id");
  if (id == nullptr && (draft4_ || undeclared_ || &value == &root_)) id = value.find("id");
  if (id == nullptr || !id->is(Kind::kString)) return {};
  std::string_view text = id->text;
  if (text.ends_with('#')) text.remove_suffix(1);
  return text;
}

size_t SchemaDocument::begin_resource(const JsonValue& value, const std::string& path, size_t resource) {
  const std::string_view id = id_of(value);
  if (&value != &root_ && (id.empty() || id[0] == '#')) return resource;
  const std::string base = resources_.empty() ? "" : resources_[resource].base;
  const std::string full = id.find(':') == std::string_view::npos ? base + std::string(id) : std::string(id);
  resources_.push_back({{&value, path}, full.substr(0, full.rfind('/') + 1)});
  for (const std::string_view name : {std::string_view(full), id})
    if (!name.empty()) ids_.try_emplace(std::string(name), resources_.size() - 1);
  // Where no draft is named, an "id" is a name to refer to and changes nothing else.
  const bool begins = &value == &root_ || draft4_ || value.find("$id") != nullptr;
  return begins ? resources_.size() - 1 : resource;
}

void SchemaDocument::collect(const JsonValue& value, const std::string& path, size_t resource) {
  if (resource != 0 && value.find("$ref") != nullptr) holders_.emplace(&value, resource);
  if (const JsonValue* anchor = value.find("$anchor"); anchor != nullptr && anchor->is(Kind::kString))
    anchors_.try_emplace({resource, anchor->text}, SchemaPlace{&value, path});
  // An anchor of the older drafts.
  if (const std::string_view id = id_of(value); id.size() > 1 && id[0] == '#')
    anchors_.try_emplace({resource, std::string(id.substr(1))}, SchemaPlace{&value, path});
  const auto descend = [&](const JsonValue& part, const std::string& below) {
    if (part.is(Kind::kObject) || part.is(Kind::kArray))
      collect(part, below, begin_resource(part, below, resource));
  };
  for (const auto& [name, member] : value.members) descend(member, path + "/" + name);
  for (size_t i = 0; i < value.items.size(); ++i) descend(value.items[i], fmt::format("{}/{}", path, i));
}

std::optional<SchemaPlace> SchemaDocument::follow(const SchemaPlace& from, std::string_view pointer) const {
  SchemaPlace place = from;
  while (!pointer.empty()) {
    if (pointer[0] != '/') return std::nullopt;
    const size_t end = std::min(pointer.find('/', 1), pointer.size());
    const std::string token = unescaped(pointer.substr(1, end - 1));
    pointer.remove_prefix(end);
    if (place.schema->is(Kind::kArray)) {
      size_t index = 0;
      const auto read = std::from_chars(token.data(), token.data() + token.size(), index);
      if (read.ec != std::errc() || read.ptr != token.data() + token.size()) return std::nullopt;
      if (index >= place.schema->items.size()) return std::nullopt;
      place.schema = &place.schema->items[index];
    } else {
      place.schema = place.schema->find(token);
      if (place.schema == nullptr) return std::nullopt;
    }
    (place.path += '/') += token;
  }
  return place;
}

// A pointer or an anchor.
std::optional<SchemaPlace> SchemaDocument::find(size_t resource, std::string_view fragment) const {
  if (fragment.empty() || fragment[0] == '/') return follow(resources_[resource].place, fragment);
  const auto known = anchors_.find({resource, std::string(fragment)});
  if (known == anchors_.end()) return std::nullopt;
  return known->second;
}

std::optional<SchemaPlace> SchemaDocument::resolve(const JsonValue& holder, std::string_view ref) const {
  const auto held = holders_.find(&holder);
  const size_t within = held != holders_.end() ? held->second : 0;
  const size_t hash = std::min(ref.find('#'), ref.size());
  const std::string document(ref.substr(0, hash));
  const std::string_view fragment = hash < ref.size() ? ref.substr(hash + 1) : std::string_view();
  if (!document.empty()) {
    auto known = ids_.find(resources_[within].base + document);
    if (known == ids_.end()) known = ids_.find(document);
    if (known == ids_.end()) return std::nullopt;
    return find(known->second, fragment);
  }
  // Authors mean the root, too, where their part has nothing of that name.
  auto found = find(within, fragment);
  return found || within == 0 ? found : find(0, fragment);
}

}  // namespace ft::grammar
