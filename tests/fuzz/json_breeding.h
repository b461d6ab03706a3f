// JSON bred from good JSON: what changes are values, members and elements, so that most of it gets past the parser.
#pragma once

#include <string>
#include <vector>

#include "tests/fuzz/breeding.h"

namespace ft::fuzz {

// As breed(), with inputs that are JSON.
void breed_json(Target target, const std::vector<std::string>& seeds, int rounds);

}  // namespace ft::fuzz
