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
  }
  for (const char* keyword : {"$id", "id"})
    if (const JsonValue* id = root.find(keyword); id != nullptr && id->is(Kind::kString)) {
      document->base_ = id->text.substr(0, id->text.rfind('/') + 1);
      break;
    }
  document->collect(root, "#");
  return document;
}

void SchemaDocument::collect(const JsonValue& value, const std::string& path) {
  for (const char* keyword : {"$id", "id"})
    if (const JsonValue* id = value.find(keyword); id != nullptr && id->is(Kind::kString)) {
      std::string name = id->text;
      if (name.ends_with('#')) name.pop_back();
      ids_.try_emplace(name, SchemaPlace{&value, path});
      if (!base_.empty() && name.find(':') == std::string::npos)
        ids_.try_emplace(base_ + name, SchemaPlace{&value, path});
    }
  if (const JsonValue* anchor = value.find("$anchor"); anchor != nullptr && anchor->is(Kind::kString))
    ids_.try_emplace("#" + anchor->text, SchemaPlace{&value, path});
  for (const auto& [name, member] : value.members)
    if (member.is(Kind::kObject) || member.is(Kind::kArray)) collect(member, path + "/" + name);
  for (size_t i = 0; i < value.items.size(); ++i) {
    const JsonValue& item = value.items[i];
    if (item.is(Kind::kObject) || item.is(Kind::kArray)) collect(item, fmt::format("{}/{}", path, i));
  }
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

std::optional<SchemaPlace> SchemaDocument::resolve(std::string_view ref) const {
  if (const auto known = ids_.find(ref); known != ids_.end()) return known->second;
  const size_t hash = std::min(ref.find('#'), ref.size());
  const std::string_view document = ref.substr(0, hash);
  const std::string_view fragment = hash < ref.size() ? ref.substr(hash + 1) : std::string_view();
  SchemaPlace from = root();
  if (!document.empty()) {
    auto known = ids_.find(document);
    if (known == ids_.end()) known = ids_.find(base_ + std::string(document));
    if (known == ids_.end()) return std::nullopt;
    from = known->second;
  }
  return follow(from, fragment);
}

}  // namespace ft::grammar
