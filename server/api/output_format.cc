#include "server/api/output_format.h"

#include <string_view>
#include <utility>
#include <vector>

#include "verify/grammar/schema_compiler.h"
#include "verify/grammar/text_grammar.h"

namespace ft::server {
namespace {

using encoding::Json;

class FormatReader {
 public:
  explicit FormatReader(FieldReader& fields) : fields_(fields) {}

  OutputFormat read() {
    read_object("response_format");
    if (const Json* schema = fields_.any("guided_json")) take_schema(fields_, "guided_json", *schema);
    if (const Json* schema = fields_.any("json_schema")) take_schema(fields_, "json_schema", *schema);
    for (const char* name : {"guided_regex", "regex"})
      if (const auto pattern = fields_.text(name)) take_regex(fields_, name, *pattern);
    if (const Json* choice = fields_.array("guided_choice")) take_choice(fields_, "guided_choice", *choice);
    read_structured_outputs();
    return std::move(format_);
  }

  OutputFormat read_only(std::string_view name) {
    read_object(name);
    return std::move(format_);
  }

 private:
  void read_object(std::string_view name) {
    const Json* object = fields_.object(name);
    if (object == nullptr) return;
    FieldReader reader(*object, fields_.path(name));
    const auto type = reader.text("type");
    if (reader.ok() && !type && object->size() > 0)
      reader.refuse("type", fmt::format("'{}' is missing", reader.path("type")));
    if (type == "json_object") {
      take_schema(reader, "type", any_object());
    } else if (type == "json_schema") {
      read_json_schema(reader, *object, fields_.path(name));
    } else if (type && *type != "text") {
      reader.refuse("type", fmt::format("'{}' is '{}': expected text, json_object or json_schema",
                                        reader.path("type"), type->substr(0, 40)));
    }
    if (reader.error()) fields_.refuse(*reader.error());
  }

  // {"name", "schema", "strict"}, within json_schema or beside the type. It is enforced whether strict or not.
  void read_json_schema(FieldReader& format, const Json& object, const std::string& path) {
    const Json* within = format.object("json_schema");
    if (within == nullptr && format.any("schema") == nullptr) {
      if (format.ok())
        format.refuse("json_schema", fmt::format("'{}' is missing", format.path("json_schema")));
      return;
    }
    FieldReader reader =
        within != nullptr ? FieldReader(*within, format.path("json_schema")) : FieldReader(object, path);
    reader.text("name");
    reader.text("description");
    reader.boolean("strict");
    if (const Json* schema = reader.any("schema")) {
      take_schema(reader, "schema", *schema);
    } else if (reader.ok()) {
      reader.refuse("schema", fmt::format("'{}' is missing", reader.path("schema")));
    }
    if (reader.error()) format.refuse(*reader.error());
  }

  // vLLM's object with one of json, regex, choice and json_object.
  void read_structured_outputs() {
    const Json* object = fields_.object("structured_outputs");
    if (object == nullptr) return;
    FieldReader reader(*object, fields_.path("structured_outputs"));
    if (const Json* schema = reader.any("json")) take_schema(reader, "json", *schema);
    if (const auto pattern = reader.text("regex")) take_regex(reader, "regex", *pattern);
    if (const Json* choice = reader.array("choice")) take_choice(reader, "choice", *choice);
    if (reader.boolean("json_object").value_or(false)) take_schema(reader, "json_object", any_object());
    for (const auto& [key, value] : object->as_object())
      if (key != "json" && key != "regex" && key != "choice" && key != "json_object" && !value.is_null())
        reader.refuse(key, fmt::format("'{}' is not supported: expected json, regex, choice or json_object",
                                       reader.path(key)));
    if (reader.error()) fields_.refuse(*reader.error());
  }

  static Json any_object() { return Json::Object{{"type", "object"}}; }

  // A schema, as a value or as its text.
  void take_schema(FieldReader& reader, std::string_view name, const Json& schema) {
    auto compiled = grammar::compile_schema(schema.is_string() ? schema.as_string() : schema.dump());
    if (compiled) return take(reader, name, std::move(*compiled));
    const grammar::SchemaError& why = compiled.error();
    reader.refuse(name, why.keyword.empty()
                            ? fmt::format("the schema of '{}' cannot be enforced at {}: {}",
                                          reader.path(name), why.path, why.message)
                            : fmt::format("the schema of '{}' cannot be enforced: '{}' at {}: {}",
                                          reader.path(name), why.keyword, why.path, why.message));
  }

  void take_regex(FieldReader& reader, std::string_view name, const std::string& pattern) {
    auto compiled = grammar::regex_grammar(pattern);
    if (compiled) return take(reader, name, std::move(*compiled));
    reader.refuse(name, fmt::format("'{}': {}", reader.path(name), compiled.error().message));
  }

  void take_choice(FieldReader& reader, std::string_view name, const Json& list) {
    std::vector<std::string> texts;
    for (const Json& entry : list.as_array()) {
      if (!entry.is_string()) return reader.refuse(name, type_message(reader.path(name), "texts", entry));
      texts.push_back(entry.as_string());
    }
    auto compiled = grammar::choice_grammar(texts);
    if (compiled) return take(reader, name, std::move(*compiled));
    reader.refuse(name, fmt::format("'{}': {}", reader.path(name), compiled.error().message));
  }

  void take(FieldReader& reader, std::string_view name, std::shared_ptr<const grammar::Grammar> grammar) {
    if (format_.grammar != nullptr)
      return reader.refuse(name, fmt::format("'{}' and '{}' both say what the answer looks like",
                                             format_.field, reader.path(name)));
    format_ = {std::move(grammar), reader.path(name)};
  }

  FieldReader& fields_;
  OutputFormat format_;
};

}  // namespace

OutputFormat read_output_format(FieldReader& fields) {
  return FormatReader(fields).read();
}

OutputFormat read_format_object(FieldReader& fields, std::string_view name) {
  return FormatReader(fields).read_only(name);
}

}  // namespace ft::server
