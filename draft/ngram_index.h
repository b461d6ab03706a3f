// Finds where the latest tokens of a sequence occurred before: an incremental index over the token history.
//
// Every run of 2, 3 and 4 tokens is entered once, when the history has grown past it, in a chain of earlier
// runs with the same hash. A lookup walks the chain of the history's own last tokens, newest first, and
// compares tokens, so its cost does not grow with the history.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ft::draft {

// Earlier places whose last `length` tokens equal the last `length` tokens of the history.
struct NgramMatch {
  static constexpr int32_t kOccurrencesMax = 8;

  int32_t length = 0;  // 0: none found
  int32_t count = 0;
  std::array<int64_t, kOccurrencesMax> ends{};  // position of the last token of each, newest first
};

class NgramIndex {
 public:
  static constexpr int32_t kLengthMin = 2;
  static constexpr int32_t kLengthMax = 4;
  // Links followed per lookup and length, so that a history of few distinct tokens stays cheap.
  static constexpr int32_t kLinksMax = 64;

  // Empties the index. The next find() sets memory aside for `length_max` tokens, about 24 bytes each, where
  // an earlier sequence has not left it: a sequence that nobody looks up costs nothing.
  void reset(int64_t length_max);

  // Enters what `history` has gained since the last call and finds the longest earlier occurrences of its
  // end. `history` begins with the history of the last call; its size is at most length_max + 1.
  NgramMatch find(std::span<const int32_t> history);

 private:
  static constexpr int32_t kLengths = kLengthMax - kLengthMin + 1;
  static constexpr int32_t kNone = -1;

  struct Chains {
    std::vector<int32_t> newest;   // per hash bucket: end of the newest run
    std::vector<int32_t> earlier;  // per position: end of the next older run of its bucket
  };

  void prepare();
  size_t bucket(std::span<const int32_t> run) const;

  std::array<Chains, kLengths> chains_;
  int64_t length_max_ = 0;
  bool prepared_ = false;
  int shift_ = 0;
  int64_t entered_ = 0;  // runs that end before this position are in
};

}  // namespace ft::draft
