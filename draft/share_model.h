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
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/exp.h"

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

inline Float4 sigmoid(Float4 x) {
  const Float4 one = Float4{} + 1.0f;
  const Int4 sign = std::bit_cast<Int4>(x) >> 31;  // all bits of it
  const Float4 z = exp_nonpositive(std::bit_cast<Float4>(std::bit_cast<Int4>(x) | INT32_MIN));
  const Float4 part = (sign ? z : one) / (one + z);
  return x == x ? part : x;  // not a number stays one
}
inline float sigmoid(float x) {
  return sigmoid(Float4{} + x)[0];
}

struct ShareParameters {
  float scale = 1.0f;
  float offset = 0.0f;
};

// The parameters of one depth, a lane per rank: those of several children are one vector.
class ShareRow {
 public:
  static constexpr int kLanes = 4;
  static_assert(kBranchMax <= kLanes);

  // rank >= 0; ranks beyond the last use the last.
  ShareParameters at(int rank) const { return {scale_[lane(rank)], offset_[lane(rank)]}; }
  void set(int rank, ShareParameters parameters) {
    const size_t first = lane(rank);
    // Lanes that no rank has are the last one's.
    for (size_t j = first; j == first || (first + 1 == kBranchMax && j < kLanes); ++j) {
      scale_[j] = parameters.scale;
      offset_[j] = parameters.offset;
    }
  }
  // sigmoid(scale * score + offset).
  float share(int rank, float score) const {
    return sigmoid(scale_[lane(rank)] * score + offset_[lane(rank)]);
  }
  // Of the first four ranks at once.
  Float4 shares(Float4 scores) const {
    return sigmoid(load4(scale_.data()) * scores + load4(offset_.data()));
  }

 private:
  static size_t lane(int rank) { return static_cast<size_t>(std::min(rank, kBranchMax - 1)); }

  std::array<float, kLanes> scale_ = {1.0f, 1.0f, 1.0f, 1.0f};
  std::array<float, kLanes> offset_{};
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

// log(p / (1 - p)) of a probability, which is kept away from 0 and 1 first.
float log_odds(float probability);

}  // namespace ft::draft
