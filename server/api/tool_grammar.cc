#include "server/api/tool_grammar.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "verify/grammar/call_grammar.h"

namespace ft::server {
namespace {

using encoding::Json;

bool is_strict(const Json& tool) {
  return tool.get("strict").truthy() || tool.get("function").get("strict").truthy();
}

bool has_name(const Json& tool, const std::string& name) {
  return tool.get("function").get("name") == Json(name);
}

ApiError schema_error(size_t tool, const grammar::CallError& error) {
  const std::string path =
      fmt::format("tools[{}].function.{}", tool, error.why.keyword == "name" ? "name" : "parameters");
  return bad_field(
      path, error.why.keyword.empty()
                ? fmt::format("'{}' cannot be enforced at {}: {}", path, error.why.path, error.why.message)
                : fmt::format("'{}' cannot be enforced: '{}' at {}: {}", path, error.why.keyword,
                              error.why.path, error.why.message));
}

// The tools that may be called, with their places in `tools`.
struct Callable {
  std::vector<grammar::CallableTool> tools;
  std::vector<size_t> places;
};

Callable callable_tools(const Json& tools, const ToolChoice& choice) {
  const bool required = choice.mode == ToolChoice::Mode::kRequired;
  Callable callable;
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json& tool = tools.as_array()[i];
    const std::string& name = tool.get("function").get("name").as_string();
    if (!choice.names.empty() && std::ranges::find(choice.names, name) == choice.names.end()) continue;
    grammar::CallableTool& one = callable.tools.emplace_back();
    one.name = name;
    // Without strict, a schema that cannot be enforced is advice, as it is where no call is required.
    one.advice = !is_strict(tool);
    const Json& parameters = tool.get("function").get("parameters");
    if (!one.advice || (required && parameters.is_object()))
      one.schema = parameters.is_object() ? parameters.dump() : R"({"type": "object", "properties": {}})";
    callable.places.push_back(i);
  }
  return callable;
}

}  // namespace

ApiResult<void> bind_tools(const Json* tools, const ToolChoice& choice, ChatRequest& request) {
  const bool required = choice.mode == ToolChoice::Mode::kRequired;
  if (choice.mode == ToolChoice::Mode::kNone) return {};
  if (request.params.ignore_eos && required)
    return refuse(
        bad_field("ignore_eos",
                  fmt::format("'ignore_eos' does not go with '{}', which asks for a call", choice.field)));
  const bool offered = tools != nullptr && tools->size() > 0;
  for (const std::string& name : choice.names)
    if (!offered ||
        std::ranges::none_of(tools->as_array(), [&](const Json& tool) { return has_name(tool, name); }))
      return refuse(bad_field(choice.field,
                              fmt::format("'{}' names '{}', which is none of 'tools'", choice.field, name)));
  if (!offered) {
    if (!required) return {};
    return refuse(
        bad_field(choice.field, fmt::format("'{}' asks for a call, but there are no 'tools'", choice.field)));
  }
  const Callable callable = callable_tools(*tools, choice);
  auto made = grammar::call_grammar(callable.tools, {.required = required,
                                                     .several = request.parallel_tool_calls,
                                                     .answer = request.params.format.grammar});
  if (made) {
    request.calls = std::move(*made);
    return {};
  }
  const auto refused = std::ranges::find(callable.tools, made.error().tool, &grammar::CallableTool::name);
  FT_CHECK(refused != callable.tools.end(), made.error().tool);
  return refuse(
      schema_error(callable.places[static_cast<size_t>(refused - callable.tools.begin())], made.error()));
}

}  // namespace ft::server
