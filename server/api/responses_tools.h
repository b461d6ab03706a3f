// The tools of a Responses request: as functions in the prompt, and back to what the client calls them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/http/api_error.h"

namespace ft::server {

// What a call in the reply is in the client's words.
struct ResponsesTool {
  std::string prompt_name;  // as the model writes it
  std::string name;
  std::string name_space;  // "" where it is in none
  bool custom = false;     // its input is text, not JSON: the one argument kCustomInput
};

inline constexpr std::string_view kCustomInput = "input";

struct ResponsesTools {
  encoding::Json functions = encoding::Json::array();  // in the form of chat completions, for attach_tools
  std::vector<ResponsesTool> offered;

  // What a called name stands for: an offered tool, by its full name or, within a namespace, by its own where only one
  // has that; else a function of that name.
  ResponsesTool called(std::string_view prompt_name) const;
};

// How a tool is called in the prompt: "namespace.name", or its name alone.
std::string prompt_tool_name(std::string_view name_space, std::string_view name);

// Adds `tools`, which `path` names in errors: functions, custom tools, and namespaces of these. Web search and tool
// search, which agents offer whether they can be had or not, are left out; other tools of OpenAI's servers are refused
// with their path, as is everything unknown.
ApiResult<void> add_responses_tools(const encoding::Json& tools, const std::string& path,
                                    ResponsesTools& out);

}  // namespace ft::server
