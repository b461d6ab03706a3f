// Deterministic automata over code points, with the operations of regular languages.
//
// JSON strings are read as code points by them (char_classifier.h turns bytes into classes); texts of numbers
// and literals as bytes, one symbol 0..255 each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verify/grammar/char_set.h"

namespace ft::grammar {

// What building one automaton may take; more is refused. Transitions count states times classes.
inline constexpr size_t kMaxAutomatonStates = 8192;
inline constexpr size_t kMaxTransitions = size_t{1} << 19;

// Immutable once built. State 0 is dead: from it nothing is accepted, and from every other state something
// is.
class Automaton {
 public:
  static constexpr uint32_t kDead = 0;
  static constexpr uint32_t kUnbounded = UINT32_MAX;

  // Accepts nothing.
  Automaton();
  // Accepts every text.
  static Automaton any();
  // Accepts exactly these, each a sequence of symbols. Empty if they have more states than allowed.
  static std::optional<Automaton> of(std::span<const std::u32string> texts);

  // The automaton whose label after a text is combine(label of a, label of b). Empty if it grows over the
  // limits.
  static std::optional<Automaton> product(const Automaton& a, const Automaton& b,
                                          const std::function<uint32_t(uint32_t, uint32_t)>& combine);
  static std::optional<Automaton> intersection(const Automaton& a, const Automaton& b);
  static std::optional<Automaton> difference(const Automaton& a, const Automaton& b);
  static std::optional<Automaton> unite(const Automaton& a, const Automaton& b);
  // Replaces every label, those of texts that are not accepted included (they have 0).
  Automaton relabelled(const std::function<uint32_t(uint32_t)>& map) const;

  uint32_t start() const { return start_; }
  uint32_t state_count() const { return static_cast<uint32_t>(labels_.size()); }
  uint32_t class_count() const { return partition_.count; }
  const Partition& partition() const { return partition_; }
  uint32_t next(uint32_t state, uint32_t klass) const { return table_[state * partition_.count + klass]; }
  // 0 where the text so far is not accepted, else the label given to it (1 unless relabelled).
  uint32_t label(uint32_t state) const { return labels_[state]; }
  uint32_t label_of(std::u32string_view text) const;

  bool empty() const { return start_ == kDead; }
  // Whether every text is accepted from here, all with the same label.
  bool universal(uint32_t state) const { return universal_[state] != 0; }
  // Symbols of the shortest and the longest accepted continuation; kUnbounded where there is no longest.
  uint32_t shortest(uint32_t state) const { return shortest_[state]; }
  uint32_t longest(uint32_t state) const { return longest_[state]; }
  // How many continuations are accepted, at most UINT32_MAX.
  uint32_t continuations(uint32_t state) const { return continuations_[state]; }

  // Bytes that the tables take.
  size_t bytes() const;

 private:
  friend class AutomatonBuilder;
  void finish();  // from a full table with any dead states to the class's promises
  void trim();
  void measure();

  Partition partition_;
  uint32_t start_ = kDead;
  std::vector<uint32_t> table_;   // [state][class]
  std::vector<uint32_t> labels_;  // [state]
  std::vector<uint8_t> universal_;
  std::vector<uint32_t> shortest_;
  std::vector<uint32_t> longest_;
  std::vector<uint32_t> continuations_;
};

// Builds an automaton state by state. State 0 is there and is dead.
class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(Partition partition);
  uint32_t add_state(uint32_t label);
  void set_label(uint32_t state, uint32_t label);
  void set_next(uint32_t from, uint32_t klass, uint32_t to);
  // Whether one more state would go over the limits.
  bool full() const;
  Automaton build(uint32_t start) &&;

 private:
  Automaton automaton_;
};

// The code points of UTF-8 text; ill-formed bytes give U+FFFD each.
std::u32string code_points(std::string_view utf8);

}  // namespace ft::grammar
