#include "core/step_plan.h"

#include <algorithm>

#include "core/check.h"

namespace ft {

namespace {

constexpr size_t kAlignment = 64;

constexpr size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Widest window list: the causal window, or W committed rows and a block of drafts.
int64_t window_width_max(const CacheLayout& layout) {
  return int64_t{layout.window} + layout.rows_max;
}

}  // namespace

StepPlanner::StepPlanner(const CacheLayout& layout, const ModelConfig& config, DeviceMemory& memory)
    : layout_(layout),
      memory_(memory),
      plain_(RopeTable::plain(config)),
      compressed_(RopeTable::compressed(config)) {
  const size_t rows = static_cast<size_t>(layout.rows_max);
  const size_t rope_bytes = static_cast<size_t>(plain_.rope_dim()) * sizeof(float);
  size_t bytes = 4 * aligned(rows * 4) + 2 * aligned(rows * rope_bytes);
  // A block is at most a few rows, so W + 64 columns serve both visibilities for every batch that is wide.
  bytes += aligned(rows *
                   static_cast<size_t>(std::min<int64_t>(window_width_max(layout), layout.window + 64)) * 4);
  for (const RatioLayout& r : layout.ratios) {
    bytes += 4 * aligned((rows + 1) * 4) + aligned(rows * (rows / static_cast<size_t>(r.ratio) + 2) * 4);
    bytes += aligned(rows * static_cast<size_t>(r.blocks() * r.ratio) * 4) + aligned(rows * rope_bytes);
  }
  host_.resize(bytes);
  device_ = memory.allocate(bytes);
  closer_.resize(rows);
  plan_.ratios.resize(layout.ratios.size());
}

template <class T>
T* StepPlanner::take(int64_t count, const T*& device) {
  T* host = reinterpret_cast<T*>(host_.data() + used_);
  device = reinterpret_cast<const T*>(static_cast<const uint8_t*>(device_.data()) + used_);
  used_ += aligned(static_cast<size_t>(count) * sizeof(T));
  FT_CHECK(used_ <= host_.size(), used_, host_.size());
  return host;
}

void StepPlanner::plan_window(std::span<const Row> rows, int64_t first, std::span<const int64_t> lengths,
                              Visibility visibility) {
  const int64_t count = static_cast<int64_t>(rows.size()) - first;
  const int32_t window = layout_.window;
  if (visibility == Visibility::kCausal) {
    plan_.window_width = window;
    int32_t* out = take(count * window, plan_.window);
    for (int64_t i = 0; i < count; ++i, out += window) {
      const Row& row = rows[static_cast<size_t>(first + i)];
      const int32_t keys = std::min(row.position + 1, window);
      int32_t slot = keys - 1;
      int32_t ancestor = static_cast<int32_t>(first + i);
      for (; slot >= 0 && ancestor != kCommitted; --slot) {
        out[slot] = layout_.raw_staged(ancestor);
        ancestor = rows[static_cast<size_t>(ancestor)].parent;
      }
      for (; slot >= 0; --slot) out[slot] = layout_.raw_ring(row.sequence, row.position - (keys - 1 - slot));
      std::fill(out + keys, out + window, -1);
    }
    return;
  }
  // Block: the widest block of the call sets the width; rows of a sequence are adjacent.
  int32_t block_max = 0;
  for (int64_t begin = first, end; begin < first + count; begin = end) {
    for (end = begin; end < first + count &&
                      rows[static_cast<size_t>(end)].sequence == rows[static_cast<size_t>(begin)].sequence;)
      ++end;
    block_max = std::max(block_max, static_cast<int32_t>(end - begin));
  }
  plan_.window_width = window + block_max;
  int32_t* out = take(count * plan_.window_width, plan_.window);
  for (int64_t begin = first, end; begin < first + count; begin = end) {
    const SequenceId sequence = rows[static_cast<size_t>(begin)].sequence;
    for (end = begin; end < first + count && rows[static_cast<size_t>(end)].sequence == sequence;) ++end;
    const int64_t length = lengths[static_cast<size_t>(sequence)];
    for (int64_t i = begin; i < end; ++i, out += plan_.window_width) {
      int32_t* slot = out;
      for (int64_t position = std::max<int64_t>(0, length - window); position < length; ++position)
        *slot++ = layout_.raw_ring(sequence, position);
      for (int64_t row = begin; row < end; ++row) *slot++ = layout_.raw_staged(row);
      std::fill(slot, out + plan_.window_width, -1);
    }
  }
}

void StepPlanner::plan_ratio(size_t index, std::span<const Row> rows, int64_t first,
                             std::span<const int64_t> lengths, const int32_t* page_table) {
  const RatioLayout& r = layout_.ratios[index];
  RatioPlan& plan = plan_.ratios[index];
  const int64_t count = static_cast<int64_t>(rows.size()) - first;
  plan.ratio = r.ratio;
  plan.view.page_table = page_table;
  plan.view.page_stride = r.page_stride;
  plan.view.entries_per_page = r.entries_per_page;
  plan.view.visible_max = 0;
  int32_t* sequence = take(count, plan.view.sequence);
  int32_t* committed = take(count, plan.view.committed);
  int32_t* private_offset = take(count + 1, plan.view.private_offset);
  int32_t* state_dst = take(count, plan.state_dst);

  int64_t closing = 0;
  int64_t private_count = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const bool closes = (row.position + 1) % r.ratio == 0;
    closer_[i] = closes                     ? static_cast<int32_t>(i)
                 : row.parent == kCommitted ? kCommitted
                                            : closer_[static_cast<size_t>(row.parent)];
    if (static_cast<int64_t>(i) < first) continue;
    const int64_t at = static_cast<int64_t>(i) - first;
    const int64_t length = lengths[static_cast<size_t>(row.sequence)];
    sequence[at] = row.sequence;
    committed[at] = static_cast<int32_t>(length / r.ratio);
    private_offset[at] = static_cast<int32_t>(private_count);
    private_count += (row.position + 1) / r.ratio - length / r.ratio;
    state_dst[at] = layout_.state_staged(r, static_cast<int64_t>(i));
    plan.view.visible_max = std::max(plan.view.visible_max, (row.position + 1) / r.ratio);
    closing += closes ? 1 : 0;
  }
  private_offset[count] = static_cast<int32_t>(private_count);

  // With fixed shapes the lists keep their size whatever the rows close,
  // so that a captured step can be replayed.
  const bool fixed = memory_.fixed_shapes();
  plan.close_count = fixed ? count : closing;
  if (fixed) plan.view.visible_max = r.page_stride * r.entries_per_page;
  int32_t* private_entry =
      take(fixed ? count * (count / r.ratio + 2) : private_count, plan.view.private_entry);
  const int64_t source_count = int64_t{r.blocks()} * r.ratio;
  int32_t* sources = take(plan.close_count * source_count, plan.close_sources);
  int32_t* close_dst = take(plan.close_count, plan.close_dst);
  float* rotations = take(plan.close_count * compressed_.rope_dim(), plan.close_rotations.data);
  plan.close_rotations.rope_dim = compressed_.rope_dim();

  int64_t closed = 0;
  for (int64_t at = 0; at < count; ++at) {
    const size_t i = static_cast<size_t>(first + at);
    const Row& row = rows[i];
    // Private entries of the path, youngest first from the back.
    int32_t closer = closer_[i];
    for (int32_t k = private_offset[at + 1] - 1; k >= private_offset[at]; --k) {
      private_entry[k] = layout_.entry_staged(r, closer);
      const int32_t above = rows[static_cast<size_t>(closer)].parent;
      closer = above == kCommitted ? kCommitted : closer_[static_cast<size_t>(above)];
    }
    if ((row.position + 1) % r.ratio != 0) continue;
    int32_t* source = sources + closed * source_count;
    int32_t ancestor = static_cast<int32_t>(i);
    for (int64_t k = source_count - 1; k >= 0; --k) {
      const int64_t position = row.position - (source_count - 1 - k);
      if (ancestor != kCommitted) {
        source[k] = layout_.state_staged(r, ancestor);
        ancestor = rows[static_cast<size_t>(ancestor)].parent;
      } else {
        source[k] = position < 0 ? -1 : layout_.state_ring(r, row.sequence, position);
      }
    }
    close_dst[closed] = layout_.entry_staged(r, static_cast<int64_t>(i));
    compressed_.rotate(row.position + 1 - r.ratio, rotations + closed * compressed_.rope_dim());
    ++closed;
  }
  for (; closed < plan.close_count; ++closed) {
    std::fill_n(sources + closed * source_count, source_count, -1);
    close_dst[closed] = layout_.entry_staged(r, layout_.staged_dummy());
    std::fill_n(rotations + closed * compressed_.rope_dim(), compressed_.rope_dim(), 0.0f);
  }
}

const StepPlan& StepPlanner::plan(std::span<const Row> rows, int64_t first, std::span<const int64_t> lengths,
                                  std::span<const int32_t* const> page_tables, Visibility visibility) {
  const int64_t count = static_cast<int64_t>(rows.size()) - first;
  used_ = 0;
  plan_.rows = count;
  int32_t* tokens = take(count, plan_.tokens);
  int32_t* positions = take(count, plan_.positions);
  int32_t* raw_dst = take(count, plan_.raw_dst);
  float* plain = take(count * plain_.rope_dim(), plan_.plain.data);
  plan_.plain.rope_dim = plain_.rope_dim();
  float* compressed = nullptr;
  if (!layout_.ratios.empty()) {
    compressed = take(count * compressed_.rope_dim(), plan_.compressed.data);
    plan_.compressed.rope_dim = compressed_.rope_dim();
  }
  for (int64_t i = 0; i < count; ++i) {
    const Row& row = rows[static_cast<size_t>(first + i)];
    tokens[i] = row.token;
    positions[i] = row.position;
    raw_dst[i] = layout_.raw_staged(first + i);
    plain_.rotate(row.position, plain + i * plain_.rope_dim());
    if (compressed != nullptr) compressed_.rotate(row.position, compressed + i * compressed_.rope_dim());
  }
  plan_window(rows, first, lengths, visibility);
  for (size_t k = 0; k < layout_.ratios.size(); ++k) plan_ratio(k, rows, first, lengths, page_tables[k]);
  memory_.upload(device_.data(), host_.data(), used_);
  return plan_;
}

}  // namespace ft
