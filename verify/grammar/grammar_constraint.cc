#include "verify/grammar/grammar_constraint.h"

#include <algorithm>
#include <utility>

#include "verify/grammar/grammar_state.h"

namespace ft::grammar {
namespace {

class Within : public Constraint::State {
 public:
  explicit Within(GrammarState state) : state_(std::move(state)) {}

  void fill_mask(std::span<uint32_t> mask) const override { state_.fill_mask(mask); }
  std::span<const int32_t> forced() const override { return state_.forced_tokens(); }

  std::shared_ptr<const State> after(int32_t token) const override {
    auto next = state_.after(token);
    return next ? std::make_shared<const Within>(std::move(*next)) : nullptr;
  }

 private:
  GrammarState state_;
};

class Before : public Constraint::State, public std::enable_shared_from_this<Before> {
 public:
  Before(int32_t marker, Constraint inner, std::shared_ptr<const Vocabulary> vocabulary,
         std::vector<int32_t> never)
      : marker_(marker),
        inner_(std::move(inner)),
        vocabulary_(std::move(vocabulary)),
        never_(std::move(never)) {
    never_.insert(never_.end(), vocabulary_->end_tokens().begin(), vocabulary_->end_tokens().end());
  }

  void fill_mask(std::span<uint32_t> mask) const override {
    std::fill(mask.begin(), mask.end(), ~uint32_t{0});
    if (const auto rest = static_cast<uint32_t>(vocabulary_->size() % 32); rest != 0)
      mask.back() = (uint32_t{1} << rest) - 1;
    for (const int32_t token : never_) mask[token / 32] &= ~(uint32_t{1} << token % 32);
  }

  std::shared_ptr<const State> after(int32_t token) const override {
    if (token < 0 || token >= vocabulary_->size() ||
        std::find(never_.begin(), never_.end(), token) != never_.end())
      return nullptr;
    return token == marker_ ? inner_.shared_state() : shared_from_this();
  }

 private:
  int32_t marker_;
  Constraint inner_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<int32_t> never_;
};

class Repeated : public Constraint::State {
 public:
  Repeated(std::shared_ptr<const State> begin, std::shared_ptr<const State> now,
           std::shared_ptr<const Vocabulary> vocabulary)
      : begin_(std::move(begin)), now_(std::move(now)), vocabulary_(std::move(vocabulary)) {}

  void fill_mask(std::span<uint32_t> mask) const override { now_->fill_mask(mask); }
  std::span<const int32_t> forced() const override { return now_->forced(); }

  std::shared_ptr<const State> after(int32_t token) const override {
    std::shared_ptr<const State> next = now_->after(token);
    if (next == nullptr) return nullptr;
    const auto& ends = vocabulary_->end_tokens();
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) next = begin_;
    return std::make_shared<const Repeated>(begin_, std::move(next), vocabulary_);
  }

 private:
  std::shared_ptr<const State> begin_;
  std::shared_ptr<const State> now_;
  std::shared_ptr<const Vocabulary> vocabulary_;
};

}  // namespace

Constraint grammar_constraint(std::shared_ptr<const Grammar> grammar,
                              std::shared_ptr<const Vocabulary> vocabulary) {
  return Constraint(std::make_shared<const Within>(GrammarState(std::move(grammar), std::move(vocabulary))));
}

Constraint behind_token(int32_t marker, Constraint inner, std::shared_ptr<const Vocabulary> vocabulary,
                        std::vector<int32_t> never) {
  return Constraint(
      std::make_shared<const Before>(marker, std::move(inner), std::move(vocabulary), std::move(never)));
}

Constraint repeated(Constraint inner, std::shared_ptr<const Vocabulary> vocabulary) {
  return Constraint(
      std::make_shared<const Repeated>(inner.shared_state(), inner.shared_state(), std::move(vocabulary)));
}

}  // namespace ft::grammar
