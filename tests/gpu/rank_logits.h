// What the tests of several ranks compare.
#pragma once

#include <string>
#include <vector>

#include "core/backend.h"

namespace ft::test {

// Logits of some made-up tokens, read in pieces of changing size; the ranks of `backend` call it together.
std::vector<float> rank_logits(Backend& backend, const std::string& checkpoint);

}  // namespace ft::test
