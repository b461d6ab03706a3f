// A constraint by rule: after n tokens, token v is allowed where the script says so.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "verify/constraint.h"

namespace ft::verify {

class ScriptedConstraint : public Constraint {
 public:
  using Rule = std::function<bool(const std::vector<int32_t>& history, int32_t token)>;

  ScriptedConstraint(int64_t vocab, Rule rule) : vocab_(vocab), rule_(std::move(rule)) {}

  void fill_mask(std::span<uint32_t> mask) override {
    ++masks_filled;
    for (uint32_t& word : mask) word = 0;
    for (int32_t v = 0; v < vocab_; ++v) {
      if (rule_(history, v)) mask[static_cast<size_t>(v) / 32] |= 1u << (v % 32);
    }
  }

  bool advance(int32_t token) override {
    if (!rule_(history, token)) return false;
    history.push_back(token);
    return true;
  }

  void rollback(int64_t count) override { history.resize(history.size() - static_cast<size_t>(count)); }

  std::vector<int32_t> history;
  int masks_filled = 0;

 private:
  int64_t vocab_;
  Rule rule_;
};

}  // namespace ft::verify
