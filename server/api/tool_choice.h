// What a request says of which tools may, must or must not be called.
#pragma once

#include <string>
#include <vector>

#include "server/api/field_reader.h"

namespace ft::server {

struct ToolChoice {
  enum class Mode {
    kAuto,
    kNone,
    kRequired,  // one call at least
  };
  Mode mode = Mode::kAuto;
  std::vector<std::string> names;     // of the only functions that may be called; empty: all that are offered
  std::string field = "tool_choice";  // that says so
};

// tool_choice of OpenAI's APIs: "auto", "none", "required", a function ({"type": "function"} or "custom", with its name
// in it or in `function`), or {"type": "allowed_tools"} with `mode` and `tools` in it or in `allowed_tools`. Violations
// stay in `fields`.
ToolChoice read_tool_choice(FieldReader& fields);

// tool_choice of Anthropic's: {"type": "auto", "none", "any" or "tool" with a name, "disable_parallel_tool_use"}.
ToolChoice read_anthropic_tool_choice(FieldReader& fields, bool& parallel_calls);

}  // namespace ft::server
