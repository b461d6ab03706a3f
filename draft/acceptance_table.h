// Conditional acceptance probabilities: how likely the target takes each of the ranked children of a node, given
// that its path runs through the node and that it takes none of the children ranked before.
//
// A drafter gives every child a score: the log-odds that its source sees for just that. The table maps scores to
// probabilities, by a scale and an offset per source, depth and rank:
//
//   p_j = (1 - p_0 - ... - p_(j-1)) * sigmoid(scale * score_j + offset)
//
// A path's probability is the product over its nodes. Trees are grown and pruned by it. The scheduler's
// acceptance model fits scale and offset to what the target really takes (dspark.md 1.7, 6.2); drafters only read
// them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace ft::draft {

// Children that a source considers per node (dspark.md 6.1: 2 get most of the gain).
inline constexpr int kBranchMax = 3;
// Depths with parameters of their own; deeper nodes use the last.
inline constexpr int kAcceptanceDepths = 8;

// Where a drafted token comes from.
enum class DraftSource : uint8_t {
  kModel,       // DSpark or MTP
  kNgram,       // prompt lookup
  kBoth,        // both propose it behind the same parent
  kPrediction,  // the client's prediction of the reply
  kForced,      // the request's constraint allows no other token: certain, so nothing is learned of it
};
inline constexpr int kDraftSources = 4;  // that are learned of

// Scores are within this of 0: nothing that a drafter says is beyond being put right by what is observed.
inline constexpr float kScoreMost = 10.0f;
// The nearest score that may be; the lowest for what is not a number.
float bounded_score(float score);

// 1 / (1 + exp(-x)) for whole trees, from a table: within 2e-5 and never falling. Never 0, from
// -kMost down it stays as it is there; 1 from kMost on.
class Sigmoid {
 public:
  static constexpr int kMost = 16;

  Sigmoid();

  float operator()(float x) const {
    constexpr float kLast = 2 * kMost * kPerUnit;
    // In this order what is not a number becomes the lowest.
    const float place = std::min(std::max(0.0f, x * kPerUnit + kMost * kPerUnit), kLast);
    const auto cell = static_cast<int32_t>(place);
    const Cell& line = cells_[static_cast<size_t>(cell)];
    return line.value + line.rise * (place - static_cast<float>(cell));
  }

 private:
  static constexpr int kPerUnit = 32;
  struct Cell {
    float value = 0.0f;  // at its beginning
    float rise = 0.0f;   // to its end
  };
  std::array<Cell, 2 * kMost * kPerUnit + 1> cells_;
};
inline const Sigmoid kSigmoid;

// From a score to a probability: sigmoid(scale * score + offset).
struct LogisticMap {
  float scale = 1.0f;
  float offset = 0.0f;
};

// The parameters of one depth.
class DepthAcceptance {
 public:
  // rank >= 0; ranks beyond the last use the last.
  const LogisticMap& at(int rank) const { return ranks_[place(rank)]; }
  void set(int rank, LogisticMap parameters) { ranks_[place(rank)] = parameters; }
  // sigmoid(scale * score + offset).
  float probability(int rank, float score) const {
    const LogisticMap& own = at(rank);
    return kSigmoid(own.scale * score + own.offset);
  }

 private:
  static size_t place(int rank) { return static_cast<size_t>(std::min(rank, kBranchMax - 1)); }

  std::array<LogisticMap, kBranchMax> ranks_;
};

// Parameters of one source, from depth 1 on.
using SourceAcceptance = std::array<DepthAcceptance, kAcceptanceDepths>;

struct AcceptanceTable {
  std::array<SourceAcceptance, kDraftSources> tables{};

  // depth >= 1.
  const DepthAcceptance& row(DraftSource source, int depth) const {
    return tables[static_cast<size_t>(source)][static_cast<size_t>(std::min(depth, kAcceptanceDepths) - 1)];
  }
  DepthAcceptance& row(DraftSource source, int depth) {
    return const_cast<DepthAcceptance&>(static_cast<const AcceptanceTable*>(this)->row(source, depth));
  }
  float probability(DraftSource source, int depth, int rank, float score) const {
    return row(source, depth).probability(rank, score);
  }
};

// What holds before anything was observed. `greedy`: temperature 0.
const AcceptanceTable& default_acceptance(bool greedy);

// log(p / (1 - p)) of a probability, which is kept away from 0 and 1 first: a score. The lowest for what is
// not a number.
float log_odds(float probability);

}  // namespace ft::draft
