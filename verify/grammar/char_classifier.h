// Reads the bytes of text and says, character by character, which class of a partition the character has.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verify/grammar/char_set.h"

namespace ft::grammar {

enum class TextForm {
  // Inside a JSON string. Each character has exactly one form: UTF-8, but \" \\ \b \f \n \r \t and, for the
  // other
  // control characters, \u00 with two lower-case digits. So equal strings are equal bytes.
  kJsonString,
  kPlain,  // UTF-8 as it is
};

// Appends the one form that a character has.
void append_character(std::string& out, CodePoint point, TextForm form);
std::string encoded(std::u32string_view text, TextForm form);

class CharClassifier {
 public:
  static constexpr int32_t kInvalid = INT16_MIN;
  static constexpr uint32_t kBoundary = 0;  // between characters

  CharClassifier(const Partition& partition, TextForm form);

  // What `byte` does in `unit`: a class (1 or more) when it ends a character, -u when it leads to unit u
  // within a character, or kInvalid.
  int32_t step(uint32_t unit, uint8_t byte) const { return steps_[unit][byte]; }
  // Classes that a character begun so may still turn out to have, ascending.
  const std::vector<uint16_t>& reachable(uint32_t unit) const { return reachable_[unit]; }
  uint32_t unit_count() const { return static_cast<uint32_t>(steps_.size()); }
  size_t bytes() const { return steps_.size() * sizeof(steps_[0]); }

 private:
  static constexpr CodePoint kTail = 64;  // code points per byte of a UTF-8 tail

  uint32_t add_unit();
  // A unit that reads `count` more bytes of the code points from `low` on; units with one outcome are shared.
  uint32_t tail(CodePoint low, int count);
  void add_lead(uint8_t lead, CodePoint low, int count, uint8_t first, uint8_t last);
  void add_json_escapes();
  void find_reachable();

  const Partition* partition_;  // while constructing
  std::vector<std::array<int16_t, 256>> steps_;
  std::vector<std::vector<uint16_t>> reachable_;
  std::map<std::pair<int, uint16_t>, uint32_t> shared_tails_;  // by bytes to come and class
};

}  // namespace ft::grammar
