// Citations of the specifications in docs/spec: "model.md 3.2.4", "dspark.md sections 1, 2 and 6.2".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ft::tidy {

struct Citation {
  size_t offset = 0;   // in the text that cites
  std::string book;    // its name with .md
  std::string before;  // the path in front of it, "docs/spec/"; empty for the name alone
  std::vector<std::string>
      parts;  // "3.2.4", "6.3b", "10a", "A"; both ends of a range. Empty: no section is named.
};

// The citations in `text`, which may run over line breaks.
std::vector<Citation> citations(std::string_view text);

// One specification: its sections by number ("3.2", "10a", "A") with their text up to the next heading.
class Book {
 public:
  explicit Book(std::string_view markdown);

  // A section, or a point of one: "3.2.4" is item 4 of the numbered list in section 3.2, "6.3b" what section
  // 6.3 marks with (b).
  bool has(std::string_view part) const;

 private:
  std::map<std::string, std::string, std::less<>> sections_;
};

}  // namespace ft::tidy
