// What a grammar or schema allows next: the interface between structured output, the sampler and the drafters.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace ft {

// The state of a constraint after some tokens: a value. A copy is cheap and independent of its original, so a node of
// a tree has its parent's state and one token more, and nothing is ever taken back. States made from one another
// belong to one thread at a time.
class Constraint {
 public:
  // What the value holds; immutable as seen from outside.
  class State {
   public:
    virtual ~State() = default;
    virtual void fill_mask(std::span<uint32_t> mask) const = 0;
    virtual std::shared_ptr<const State> after(int32_t token) const = 0;  // null: not allowed
    virtual std::span<const int32_t> forced() const { return {}; }
  };

  explicit Constraint(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  // Writes every word of `mask`, ceil(vocab / 32) words, bit v % 32 of word v / 32: which tokens may come
  // next. End tokens are allowed exactly where the output may end. Bits beyond the vocabulary are 0.
  void fill_mask(std::span<uint32_t> mask) const { state_->fill_mask(mask); }

  // Tokens that must come next, one after the other, as far as that is known: the mask allows the first of them and no
  // other token, and so on behind each. Valid as long as this value.
  std::span<const int32_t> forced() const { return state_->forced(); }

  // The state behind one more token; empty if the token is not allowed here.
  std::optional<Constraint> after(int32_t token) const {
    std::shared_ptr<const State> next = state_->after(token);
    if (next == nullptr) return std::nullopt;
    return Constraint(std::move(next));
  }

  // Becomes the state behind the token. False, and no change, if the token is not allowed here.
  bool advance(int32_t token) {
    std::shared_ptr<const State> next = state_->after(token);
    if (next == nullptr) return false;
    state_ = std::move(next);
    return true;
  }

  const std::shared_ptr<const State>& shared_state() const { return state_; }

 private:
  std::shared_ptr<const State> state_;
};

}  // namespace ft
