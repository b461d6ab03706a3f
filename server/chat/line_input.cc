#include "server/chat/line_input.h"

#include <editline/readline.h>

#include <clocale>
#include <cstdlib>
#include <istream>
#include <memory>
#include <ostream>

namespace ft::server {

std::optional<std::string> StreamInput::next(const std::string& prompt) {
  out_ << prompt << std::flush;
  std::string line;
  if (!std::getline(in_, line)) return std::nullopt;
  return line;
}

TerminalInput::TerminalInput() {
  std::setlocale(LC_CTYPE, "");  // so that characters of several bytes are edited as one
  using_history();
  stifle_history(1000);
}

std::optional<std::string> TerminalInput::next(const std::string& prompt) {
  struct Free {
    void operator()(char* line) const { std::free(line); }
  };
  const std::unique_ptr<char, Free> line(readline(prompt.c_str()));
  if (line == nullptr) return std::nullopt;
  if (*line != '\0') add_history(line.get());
  return std::string(line.get());
}

}  // namespace ft::server
