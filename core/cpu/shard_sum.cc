#include "core/cpu/shard_sum.h"

// clang-format off: every include below must come after foreach_target.h
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/shard_sum.cc"
#include "hwy/foreach_target.h"
// clang-format on

#include "core/cpu/lanes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ft::cpu::HWY_NAMESPACE {

void add_shards_target(const float* const* sums, int shards, int64_t count, float* y, bool round) {
  const D d;
  // Where one shard has it all, the others add zeros.
  const float* only = nullptr;
  int there = 0;
  for (int s = 0; s < shards; ++s) {
    if (sums[s] == nullptr) continue;
    only = sums[s];
    ++there;
  }
  V part[kShards];
  for (int64_t c = 0; c < count; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(std::min<int64_t>(kLanes, count - c)));
    if (there == 1) {
      part[0] = hn::Add(hn::MaskedLoad(mask, d, only + c), hn::Zero(d));
    } else {
      for (int s = 0; s < shards; ++s)
        part[s] = sums[s] != nullptr ? hn::MaskedLoad(mask, d, sums[s] + c) : hn::Zero(d);
      for (int step = 1; step < shards; step *= 2) {
        for (int s = 0; s < shards; s += 2 * step) part[s] = hn::Add(part[s], part[s + step]);
      }
    }
    hn::BlendedStore(round_if(d, part[0], round), mask, d, y + c);
  }
}

}  // namespace ft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ft::cpu {

HWY_EXPORT(add_shards_target);

void add_shards(const float* const* sums, int shards, int64_t count, float* y, bool round) {
  HWY_DYNAMIC_DISPATCH(add_shards_target)(sums, shards, count, y, round);
}

namespace {
constexpr int64_t kPanel = 16;           // what the kernels take at once
constexpr int64_t kCacheFloats = 16384;  // 64 KB of sums
}  // namespace

int64_t shard_sum_scratch_floats(int64_t rows, int shards, int threads) {
  return threads * std::max(kCacheFloats, rows * shards * kPanel);
}

int64_t shard_sum_panel(int64_t rows, int shards, int64_t outputs, int threads) {
  constexpr int64_t kPanelsPerThread = 4;
  const int64_t fits = kCacheFloats / std::max<int64_t>(rows * shards, 1);
  const int64_t shared = threads == 1 ? outputs : outputs / (kPanelsPerThread * threads);
  return std::clamp<int64_t>(std::min(fits, shared), kPanel, 64 * kPanel) / kPanel * kPanel;
}

void shard_sum_units(const ShardSumJob& job, int64_t begin, int64_t end, int thread) {
  // Of the shards that have columns; the others add zeros.
  PartialSums partial;
  int place[kShards];
  for (int s = 0; s < job.edges.count; ++s) {
    place[s] = -1;
    if (job.edges.at[s + 1] == job.edges.at[s]) continue;
    place[s] = partial.blocks.count++;
    partial.blocks.at[partial.blocks.count] = blocks_of(job.edges.at[s + 1]);
  }
  const int64_t row_floats = partial.blocks.count * job.panel;
  float* sums = job.sums + thread * job.y.rows * row_floats;
  for (int64_t unit = begin; unit < end; ++unit) {
    partial.first_output = unit * job.panel;
    const int64_t count = std::min(job.panel, job.y.cols - partial.first_output);
    std::fill_n(sums, job.y.rows * row_floats, 0.0f);
    for (LinearJob product : job.products) {
      product.y = sums;
      product.y_stride = job.panel;
      product.partial = &partial;
      linear_tiles(product, partial.first_output / kTileOutputs,
                   (partial.first_output + count + kTileOutputs - 1) / kTileOutputs);
    }
    const float* of_shard[kShards];
    for (int64_t r = 0; r < job.y.rows; ++r) {
      for (int s = 0; s < job.edges.count; ++s)
        of_shard[s] = place[s] < 0 ? nullptr : sums + r * row_floats + place[s] * job.panel;
      add_shards(of_shard, job.edges.count, count, job.y.row(r) + partial.first_output, job.round);
    }
  }
}

}  // namespace ft::cpu
#endif  // HWY_ONCE
