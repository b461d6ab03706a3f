#include "server/api/responses_tools.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "server/api/chat_messages.h"
#include "server/api/content_parts.h"

namespace ft::server {
namespace {

using encoding::Json;

Json one_text(std::string_view name) {
  Json property = Json::object();
  property.set("type", "string");
  Json properties = Json::object();
  properties.set(name, std::move(property));
  Json required = Json::array();
  required.push_back(name);
  Json schema = Json::object();
  schema.set("type", "object");
  schema.set("properties", std::move(properties));
  schema.set("required", std::move(required));
  schema.set("additionalProperties", false);
  return schema;
}

bool is_left_out(std::string_view type) {
  return type.starts_with("web_search") || type == "tool_search";
}

class ToolReader {
 public:
  explicit ToolReader(ResponsesTools& out) : out_(out) {}

  ApiResult<void> add_all(const Json& tools, const std::string& path, const std::string& name_space) {
    for (size_t i = 0; i < tools.size(); ++i) {
      auto added = add(tools.as_array()[i], fmt::format("{}[{}]", path, i), name_space);
      if (!added) return added;
    }
    return {};
  }

 private:
  ApiResult<void> add(const Json& tool, const std::string& path, const std::string& name_space) {
    if (!tool.is_object()) return refuse(bad_field(path, type_message(path, "an object", tool)));
    FieldReader fields(tool, path);
    auto type = required_text(fields, "type");
    if (!type) return refuse(type.error());
    if (is_left_out(*type)) return {};
    if (*type == "namespace" && name_space.empty()) return add_namespace(fields);
    if (*type != "function" && *type != "custom") {
      return refuse(bad_field(
          fields.path("type"),
          fmt::format("'{}' is '{}': this server has no tools of its own, so each must be a function, a "
                      "custom tool or a namespace of these",
                      fields.path("type"), type->substr(0, 80))));
    }
    auto name = required_text(fields, "name");
    if (!name) return refuse(name.error());
    if (name->empty()) return refuse(missing(fields, "name"));
    auto description = fields.text("description").value_or("");
    Json parameters;
    if (*type == "custom") {
      parameters = one_text(kCustomInput);
      description += grammar_text(fields);
    } else if (const Json* schema = fields.object("parameters")) {
      parameters = *schema;
    }
    const bool strict = fields.boolean("strict").value_or(false);
    if (fields.error()) return refuse(*fields.error());
    offer({prompt_tool_name(name_space, *name), *name, name_space, *type == "custom"}, description,
          std::move(parameters), strict);
    if (out_.offered.size() > kToolsMax)
      return refuse(bad_field("tools", fmt::format("'tools' has more than {} entries", kToolsMax)));
    return {};
  }

  ApiResult<void> add_namespace(FieldReader& fields) {
    auto name = required_text(fields, "name");
    if (!name) return refuse(name.error());
    const Json* tools = fields.array("tools");
    if (fields.error()) return refuse(*fields.error());
    if (tools == nullptr) return refuse(missing(fields, "tools"));
    return add_all(*tools, fields.path("tools"), *name);
  }

  // The grammar of a custom tool's input, told to the model: it is not enforced.
  static std::string grammar_text(FieldReader& fields) {
    const Json* format = fields.object("format");
    if (format == nullptr) return {};
    FieldReader reader(*format, fields.path("format"));
    const auto type = reader.text("type");
    const auto syntax = reader.text("syntax");
    const auto definition = reader.text("definition");
    if (reader.error()) fields.refuse(*reader.error());
    if (type != "grammar" || !definition) return {};
    return fmt::format("\n\n'{}' follows this {} grammar:\n{}", kCustomInput, syntax.value_or(""),
                       *definition);
  }

  void offer(ResponsesTool tool, const std::string& description, Json parameters, bool strict) {
    Json function = Json::object();
    function.set("name", tool.prompt_name);
    if (!description.empty()) function.set("description", description);
    if (!parameters.is_null()) function.set("parameters", std::move(parameters));
    Json entry = Json::object();
    entry.set("type", "function");
    if (strict) entry.set("strict", true);
    entry.set("function", std::move(function));
    out_.functions.push_back(std::move(entry));
    out_.offered.push_back(std::move(tool));
  }

  ResponsesTools& out_;
};

}  // namespace

std::string prompt_tool_name(std::string_view name_space, std::string_view name) {
  return name_space.empty() ? std::string(name) : fmt::format("{}.{}", name_space, name);
}

ResponsesTool ResponsesTools::called(std::string_view prompt_name) const {
  const ResponsesTool* own = nullptr;
  bool several = false;
  for (const ResponsesTool& tool : offered) {
    if (tool.prompt_name == prompt_name) return tool;
    if (tool.name != prompt_name) continue;
    several = own != nullptr;
    own = &tool;
  }
  if (own != nullptr && !several) return *own;
  return {std::string(prompt_name), std::string(prompt_name), "", false};
}

ApiResult<void> add_responses_tools(const Json& tools, const std::string& path, ResponsesTools& out) {
  return ToolReader(out).add_all(tools, path, "");
}

}  // namespace ft::server
