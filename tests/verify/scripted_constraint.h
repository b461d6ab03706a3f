// A constraint by rule: after n tokens, token v is allowed where the script says so.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/constraint.h"

namespace ft::verify {

class ScriptedConstraint : public Constraint {
 public:
  using History = std::vector<int32_t>;
  using Rule = std::function<bool(const History& history, int32_t token)>;

  using Forces = std::function<History(const History& history)>;

  // `takes`: what it moves past, where that is not what its masks allow. `forces`: what it says is forced.
  ScriptedConstraint(int64_t vocab, Rule allows, History history = {}, Rule takes = {}, Forces forces = {})
      : Constraint(std::make_shared<const Scripted>(
            std::make_shared<const Script>(vocab, allows, takes ? takes : allows, std::move(forces)),
            std::move(history))) {}

  const History& history() const { return scripted().history; }
  // Masks that this constraint and all states made from it have filled.
  int masks_filled() const { return scripted().script->masks_filled; }

 private:
  struct Script {
    Script(int64_t size, Rule allowed, Rule taken, Forces forced)
        : vocab(size), allows(std::move(allowed)), takes(std::move(taken)), forces(std::move(forced)) {}
    int64_t vocab;
    Rule allows;
    Rule takes;
    Forces forces;
    mutable int masks_filled = 0;
  };

  struct Scripted : public State {
    Scripted(std::shared_ptr<const Script> rules, History tokens)
        : script(std::move(rules)), history(std::move(tokens)) {
      if (script->forces) forced_tokens = script->forces(history);
    }

    std::span<const int32_t> forced() const override { return forced_tokens; }

    void fill_mask(std::span<uint32_t> mask) const override {
      ++script->masks_filled;
      for (uint32_t& word : mask) word = 0;
      for (int32_t v = 0; v < script->vocab; ++v) {
        if (script->allows(history, v)) mask[static_cast<size_t>(v) / 32] |= 1u << (v % 32);
      }
    }

    std::shared_ptr<const State> after(int32_t token) const override {
      if (!script->takes(history, token)) return nullptr;
      History longer = history;
      longer.push_back(token);
      return std::make_shared<const Scripted>(script, std::move(longer));
    }

    std::shared_ptr<const Script> script;
    History history;
    History forced_tokens;
  };

  const Scripted& scripted() const { return static_cast<const Scripted&>(*shared_state()); }
};

}  // namespace ft::verify
