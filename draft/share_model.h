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
#include <cmath>
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

inline float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

struct ShareParameters {
  float scale = 1.0f;
  float offset = 0.0f;
};

// Parameters of one source.
using ShareTable = std::array<std::array<ShareParameters, kBranchMax>, kShareDepthMax>;

struct ShareModel {
  std::array<ShareTable, kDraftSources> tables{};

  // depth >= 1; rank >= 0, ranks beyond the last use the last.
  const ShareParameters& at(DraftSource source, int depth, int rank) const {
    return tables[static_cast<size_t>(source)][static_cast<size_t>(std::min(depth, kShareDepthMax) - 1)]
                 [static_cast<size_t>(std::min(rank, kBranchMax - 1))];
  }
  ShareParameters& at(DraftSource source, int depth, int rank) {
    return const_cast<ShareParameters&>(static_cast<const ShareModel*>(this)->at(source, depth, rank));
  }
  // sigmoid(scale * score + offset).
  float share(DraftSource source, int depth, int rank, float score) const {
    const ShareParameters& parameters = at(source, depth, rank);
    return sigmoid(parameters.scale * score + parameters.offset);
  }
};

// What holds before anything was observed. `greedy`: temperature 0.
const ShareModel& default_share_model(bool greedy);

// log(p / (1 - p)) of a probability, which is kept away from 0 and 1 first.
float log_odds(float probability);

}  // namespace ft::draft
