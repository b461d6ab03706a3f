// What the documents promise: questions with their answers, and command lines.
//
// A question is a row of a table | kind | question | reply |, where "(thinking off)" in the kind is part of
// the request; or a block of code with a request for /v1/chat/completions, as the body of a curl command or
// alone, and the quotation that follows it. In a reply, a space stands for any white space.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ft::documents {

struct Example {
  std::string where;  // "README.md:21"
  nlohmann::json request;
  std::string reply;  // "" where the document has none
};

struct Command {
  std::string where;
  std::vector<std::string> words;  // of a `./foretoken ...`, without ./foretoken and without a comment
};

std::vector<Example> examples(const std::string& document, std::string_view markdown);
std::vector<Command> commands(const std::string& document, std::string_view markdown);

// What a person sees of a message of the API: its content, or its calls as "calls NAME with ARGUMENTS".
std::string reply_text(const nlohmann::json& message);

// `text` with every run of white space as one space, and none at its ends.
std::string one_line(std::string_view text);

}  // namespace ft::documents
