#include "server/api/tool_choice.h"

#include <optional>
#include <string_view>
#include <utility>

namespace ft::server {
namespace {

using encoding::Json;
using Mode = ToolChoice::Mode;

std::optional<Mode> mode_of(std::string_view name) {
  if (name == "auto") return Mode::kAuto;
  if (name == "none") return Mode::kNone;
  if (name == "required") return Mode::kRequired;
  return std::nullopt;
}

// The name of a function, in `tool` itself or in its `function`.
void read_name(FieldReader& tool, ToolChoice& choice) {
  std::optional<std::string> name = tool.text("name");
  for (const char* inner : {"function", "custom"}) {
    const Json* object = tool.object(inner);
    if (name || object == nullptr) continue;
    FieldReader reader(*object, tool.path(inner));
    name = reader.text("name");
    if (reader.error()) tool.refuse(*reader.error());
  }
  if (tool.ok() && !name) tool.refuse("name", fmt::format("'{}' is missing", tool.path("name")));
  if (name) choice.names.push_back(std::move(*name));
}

void read_allowed(FieldReader& fields, ToolChoice& choice) {
  const auto mode = fields.text("mode");
  if (mode && *mode == "required") choice.mode = Mode::kRequired;
  if (mode && *mode != "required" && *mode != "auto")
    fields.refuse("mode", fmt::format("'{}' must be 'auto' or 'required'", fields.path("mode")));
  const Json* tools = fields.array("tools");
  if (fields.ok() && tools == nullptr)
    fields.refuse("tools", fmt::format("'{}' is missing", fields.path("tools")));
  if (tools != nullptr && tools->size() == 0)
    fields.refuse("tools", fmt::format("'{}' is empty", fields.path("tools")));
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    const std::string path = fmt::format("{}[{}]", fields.path("tools"), i);
    const Json& tool = tools->as_array()[i];
    if (!tool.is_object()) return fields.refuse(bad_field(path, type_message(path, "an object", tool)));
    FieldReader reader(tool, path);
    read_name(reader, choice);
    if (reader.error()) return fields.refuse(*reader.error());
  }
}

void read_object(FieldReader& fields, const Json& object, ToolChoice& choice) {
  FieldReader reader(object, choice.field);
  const auto type = reader.text("type");
  if (type == "function" || type == "custom") {
    choice.mode = Mode::kRequired;
    read_name(reader, choice);
  } else if (type == "allowed_tools") {
    const Json* inner = reader.object("allowed_tools");
    FieldReader allowed(inner != nullptr ? *inner : object,
                        inner != nullptr ? reader.path("allowed_tools") : choice.field);
    read_allowed(allowed, choice);
    if (allowed.error()) reader.refuse(*allowed.error());
  } else if (reader.ok()) {
    reader.refuse("type", "'tool_choice.type' must be 'function', 'custom' or 'allowed_tools'");
  }
  if (reader.error()) fields.refuse(*reader.error());
}

}  // namespace

ToolChoice read_tool_choice(FieldReader& fields) {
  ToolChoice choice;
  const Json* given = fields.any(choice.field);
  choice.field = fields.path(choice.field);
  if (given == nullptr) return choice;
  if (given->is_object()) {
    read_object(fields, *given, choice);
    return choice;
  }
  const auto mode = given->is_string() ? mode_of(given->as_string()) : std::nullopt;
  if (mode) {
    choice.mode = *mode;
  } else {
    fields.refuse("tool_choice", "'tool_choice' must be 'auto', 'none', 'required' or an object");
  }
  return choice;
}

ToolChoice read_anthropic_tool_choice(FieldReader& fields, bool& parallel_calls) {
  ToolChoice choice;
  const Json* object = fields.object("tool_choice");
  if (object == nullptr) return choice;
  FieldReader reader(*object, fields.path("tool_choice"));
  const auto type = reader.text("type");
  if (reader.ok() && !type) reader.refuse("type", "'tool_choice.type' is missing");
  if (type == "none") choice.mode = Mode::kNone;
  if (type == "any" || type == "tool") choice.mode = Mode::kRequired;
  if (type == "tool") read_name(reader, choice);
  if (type && *type != "auto" && *type != "none" && *type != "any" && *type != "tool")
    reader.refuse("type", "'tool_choice.type' must be 'auto', 'any', 'tool' or 'none'");
  choice.field = reader.path("type");
  parallel_calls = !reader.boolean("disable_parallel_tool_use").value_or(false);
  if (reader.error()) fields.refuse(*reader.error());
  return choice;
}

}  // namespace ft::server
