// A language of texts, read byte by byte.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "verify/grammar/automaton.h"
#include "verify/grammar/char_classifier.h"
#include "verify/grammar/char_kinds.h"

namespace ft::grammar {

// An automaton over characters with the classifier that feeds it. A position is a state of the automaton and
// a unit of the classifier. Labels of the automaton are kept.
class TextLanguage {
 public:
  struct Position {
    uint32_t state = Automaton::kDead;
    uint32_t unit = CharClassifier::kBoundary;
  };

  TextLanguage(Automaton automaton, TextForm form);

  const Automaton& automaton() const { return automaton_; }
  const CharClassifier& classifier() const { return classifier_; }

  // Moves past a byte; false, and no change, where no text of the language goes on so.
  bool step(Position& position, uint8_t byte) const {
    const int32_t outcome = classifier_.step(position.unit, byte);
    if (outcome > 0) {
      const uint32_t next = automaton_.next(position.state, static_cast<uint32_t>(outcome));
      if (next == Automaton::kDead) return false;
      position = {next, CharClassifier::kBoundary};
      return true;
    }
    if (outcome == CharClassifier::kInvalid || outcome == 0) return false;
    const auto unit = static_cast<uint32_t>(-outcome);
    if (!alive(position.state, unit)) return false;
    position.unit = unit;
    return true;
  }

  // Whether a character begun so can be ended within the language.
  bool alive(uint32_t state, uint32_t unit) const {
    for (uint32_t w = 0; w < words_; ++w)
      if ((live_[state * words_ + w] & reachable_[unit * words_ + w]) != 0) return true;
    return false;
  }

  // Kinds of characters that all lead from the state back to it.
  CharKinds looping_kinds(uint32_t state) const { return looping_[state]; }

  size_t bytes() const;

 private:
  void find_looping_kinds();

  Automaton automaton_;
  CharClassifier classifier_;
  uint32_t words_ = 0;
  std::vector<uint64_t> live_;       // [state]: classes that do not lead to the dead state
  std::vector<uint64_t> reachable_;  // [unit]
  std::vector<CharKinds> looping_;   // [state]
};

// Texts of a string with bounds on its length in characters.
class StringRule {
 public:
  static constexpr uint32_t kNoMaximum = UINT32_MAX;

  // Null when both bounds and the automaton are too large to be followed exactly.
  static std::shared_ptr<const StringRule> make(std::shared_ptr<const TextLanguage> language, uint32_t min,
                                                uint32_t max);

  struct Position {
    TextLanguage::Position text;
    uint32_t length = 0;  // characters ended; stays at the minimum where there is no maximum
  };

  Position start() const { return {{language_->automaton().start(), CharClassifier::kBoundary}, 0}; }
  bool step(Position& position, uint8_t byte) const;
  bool accepts(const Position& position) const {
    return position.text.unit == CharClassifier::kBoundary && position.length >= min_ &&
           language_->automaton().label(position.text.state) != 0;
  }
  // Whether any characters may follow here, as many as this: kNoMaximum for all that may ever follow.
  uint32_t free_characters(const Position& position) const {
    if (position.text.unit != CharClassifier::kBoundary ||
        !language_->automaton().universal(position.text.state))
      return 0;
    return max_ == kNoMaximum ? kNoMaximum : max_ - position.length;
  }
  // Kinds of characters that may follow in any number and order, for at least `characters` of them.
  CharKinds free_kinds(const Position& position, uint32_t characters) const;
  const TextLanguage& language() const { return *language_; }
  bool bounded() const { return min_ > 0 || has_maximum(); }
  bool has_maximum() const { return max_ != kNoMaximum; }

 private:
  bool can_end(uint32_t state, uint32_t length) const;

  std::shared_ptr<const TextLanguage> language_;
  uint32_t min_ = 0;
  uint32_t max_ = kNoMaximum;
  // [state], bit n: a continuation of n characters is accepted. Only with both bounds and an automaton.
  std::vector<uint64_t> lengths_;
  uint32_t length_words_ = 0;
};

}  // namespace ft::grammar
