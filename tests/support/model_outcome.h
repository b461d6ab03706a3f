// All that a model says to some tokens, so that its bits on several ranks can be held against those on one.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/weights.h"
#include "tests/support/temp_dir.h"

namespace ft::support {

struct ModelOutcome {
  std::vector<float> logits;
  std::vector<float> hidden;  // streams, and what a draft reads of them
  std::vector<int32_t> routes;
};

// Of 40 tokens, read in pieces.
ModelOutcome outcome_of(Backend& backend, const Checkpoint& checkpoint);

template <class Value>
bool same_bits(const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Value)) == 0;
}

// The path of a small random checkpoint in `directory`; its attention groups, expert columns and words divide in eight.
std::string divisible_checkpoint(const TempDir& directory);

}  // namespace ft::support
