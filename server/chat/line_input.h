// Where the lines of a chat come from.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

namespace ft::server {

class LineInput {
 public:
  virtual ~LineInput() = default;
  // Nothing at the end.
  virtual std::optional<std::string> next(const std::string& prompt) = 0;
};

// Lines of a stream; prompts go to `out`.
class StreamInput final : public LineInput {
 public:
  StreamInput(std::istream& in, std::ostream& out) : in_(in), out_(out) {}
  std::optional<std::string> next(const std::string& prompt) override;

 private:
  std::istream& in_;
  std::ostream& out_;
};

// Lines that are edited in the terminal on stdin and stdout, with the arrow keys going through earlier ones.
class TerminalInput final : public LineInput {
 public:
  TerminalInput();
  std::optional<std::string> next(const std::string& prompt) override;
};

}  // namespace ft::server
