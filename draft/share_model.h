// How likely the target takes each of the ranked children of a node: the numbers a tree is grown and pruned
// by.
//
// Every drafted child carries a raw score, the log-odds its source gives to "the target takes this token,
// given that its path runs through the parent and that it takes none of the siblings ranked before". A share
// model turns scores into probabilities: share_j = (1 - sum of the shares before j) * sigmoid(scale * score_j
// + offset), with a scale and an offset per depth and rank. The scheduler's calibration fits them to what is
// accepted (dspark.md 1.7, 6.2); drafters only read them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace ft::draft {

// Children that a source considers per node (dspark.md 6.1: 2 get most of the gain).
inline constexpr int kBranchMax = 3;
// Depths with parameters of their own; deeper nodes use the last.
inline constexpr int kShareDepthMax = 8;

// Where a drafted token comes from.
enum class DraftSource : uint8_t {
  kModel,  // DSpark or MTP
  kNgram,  // prompt lookup
  kBoth,   // both propose it behind the same parent
};
inline constexpr int kDraftSources = 3;

// Scores are within this of 0: nothing that a drafter says is beyond being put right by what is observed.
inline constexpr float kScoreMost = 10.0f;
// The nearest score that may be; the lowest for what is not a number.
float bounded_score(float score);

// 1 / (1 + exp(-x)) for the shares of whole trees, from a table: within 2e-5 and never falling. Never 0, from
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

struct ShareParameters {
  float scale = 1.0f;
  float offset = 0.0f;
};

// The parameters of one depth.
class ShareRow {
 public:
  // rank >= 0; ranks beyond the last use the last.
  const ShareParameters& at(int rank) const { return ranks_[place(rank)]; }
  void set(int rank, ShareParameters parameters) { ranks_[place(rank)] = parameters; }
  // sigmoid(scale * score + offset).
  float share(int rank, float score) const {
    const ShareParameters& own = at(rank);
    return kSigmoid(own.scale * score + own.offset);
  }

 private:
  static size_t place(int rank) { return static_cast<size_t>(std::min(rank, kBranchMax - 1)); }

  std::array<ShareParameters, kBranchMax> ranks_;
};

// Parameters of one source, from depth 1 on.
using ShareTable = std::array<ShareRow, kShareDepthMax>;

struct ShareModel {
  std::array<ShareTable, kDraftSources> tables{};

  // depth >= 1.
  const ShareRow& row(DraftSource source, int depth) const {
    return tables[static_cast<size_t>(source)][static_cast<size_t>(std::min(depth, kShareDepthMax) - 1)];
  }
  ShareRow& row(DraftSource source, int depth) {
    return const_cast<ShareRow&>(static_cast<const ShareModel*>(this)->row(source, depth));
  }
  float share(DraftSource source, int depth, int rank, float score) const {
    return row(source, depth).share(rank, score);
  }
};

// What holds before anything was observed. `greedy`: temperature 0.
const ShareModel& default_share_model(bool greedy);

// log(p / (1 - p)) of a probability, which is kept away from 0 and 1 first: a score. The lowest for what is
// not a number.
float log_odds(float probability);

}  // namespace ft::draft
