// The rules of the tree that no compiler checks. Each is a function of one file, with files that break it and
// files that keep it, so that a rule that cannot fail is found out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace ft::tidy {

struct Violation {
  int line = 0;  // 0: the file as a whole
  std::string what;
};

struct Rule {
  std::string name;  // of its tests
  std::function<std::vector<Violation>(const Source&)> check;
  std::vector<Source> breaks_it;
  std::vector<Source> keeps_it;
};

// Of C++ and CUDA files.
std::vector<Rule> code_rules();

// Of comments and documents.
std::vector<Rule> text_rules();

// A violation at every place of `text` where the ECMAScript `pattern` matches.
std::vector<Violation> violations_of(const std::string& text, const char* pattern, const std::string& why);

}  // namespace ft::tidy
