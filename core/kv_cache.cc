#include "core/kv_cache.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/at.h"
#include "core/check.h"

namespace ft {

KvTransaction::~KvTransaction() {
  if (cache_ == nullptr) return;
  cache_->staged_.clear();
  cache_->in_transaction_ = false;
}

const StepPlan& KvTransaction::stage(std::span<const Row> rows, Visibility visibility) {
  KvCache& cache = *cache_;
  const int64_t first = static_cast<int64_t>(cache.staged_.size());
  FT_CHECK(!rows.empty());
  FT_CHECK(first + static_cast<int64_t>(rows.size()) <= cache.limits_.rows, first, rows.size(),
           cache.limits_.rows);
  for (const Row& row : rows) {
    const int32_t index = static_cast<int32_t>(cache.staged_.size());
    FT_CHECK(
        row.sequence >= 0 && row.sequence < cache.limits_.sequences && at(cache.open_, row.sequence) != 0,
        row.sequence);
    FT_CHECK(row.parent >= kCommitted && row.parent < index, row.parent, index);
    if (row.parent == kCommitted) {
      FT_CHECK(row.position == cache.length(row.sequence), row.position, cache.length(row.sequence));
    } else {
      const Row& parent = at(cache.staged_, row.parent);
      FT_CHECK(parent.sequence == row.sequence && parent.position + 1 == row.position, row.position,
               parent.position);
    }
    cache.staged_.push_back(row);
  }
  if (cache.planner_)
    return cache.planner_->plan(cache.staged_, first, cache.lengths_, cache.tensors_->page_tables(),
                                visibility);
  cache.empty_plan_.rows = static_cast<int64_t>(rows.size());
  return cache.empty_plan_;
}

std::span<const Row> KvTransaction::rows() const {
  return cache_->staged_;
}

void KvTransaction::commit(std::span<const int32_t> rows) && {
  KvTransaction ending(std::move(*this));
  ending.cache_->commit(rows);
}

KvCache::KvCache(DeviceMemory& memory, const ModelConfig& config, const std::vector<int>& layer_ratios,
                 const CacheLimits& limits)
    : KvCache(&memory, config, layer_ratios, limits, memory.cache_format()) {}

KvCache::KvCache(const ModelConfig& config, const std::vector<int>& layer_ratios, const CacheLimits& limits,
                 RowFormat format)
    : KvCache(nullptr, config, layer_ratios, limits, format) {}

KvCache::KvCache(DeviceMemory* memory, const ModelConfig& config, const std::vector<int>& layer_ratios,
                 const CacheLimits& limits, RowFormat format)
    : limits_(limits) {
  FT_CHECK(limits.sequences > 0 && limits.rows > 0 && limits.context > 0);
  limits_.total_tokens = std::max(limits.total_tokens, limits.context);
  layout_ = CacheLayout::make(config, layer_ratios, limits_, limits_.total_tokens, format);
  for (const RatioLayout& r : layout_.ratios) pools_.emplace_back(r, limits.sequences);
  const auto slots = static_cast<size_t>(limits.sequences);
  lengths_.assign(slots, 0);
  length_max_.assign(slots, 0);
  rewind_floor_.assign(slots, 0);
  open_.assign(slots, 0);
  tips_.assign(slots, kCommitted);
  staged_.reserve(static_cast<size_t>(limits.rows));
  moves_.reserve(layout_.copy_rows_max());
  page_moves_.reserve(kPageTokens);
  addresses_.reserve(static_cast<size_t>(layout_.copy_rows_max()));
  if (memory == nullptr) return;
  tensors_.emplace(*memory, layout_);
  planner_.emplace(layout_, config, *memory);
}

KvCache::~KvCache() {
  FT_CHECK(!in_transaction_);
}

const LayerCache& KvCache::layer(int index) const {
  FT_CHECK(tensors_.has_value());
  return tensors_->layer(index);
}

KvCache::Footprint KvCache::footprint(const ModelConfig& config, std::span<const int> ratios,
                                      const CacheLimits& limits, RowFormat format) {
  const int64_t fixed = CacheLayout::make(config, ratios, limits, 0, format).bytes();
  const int64_t with_a_page = CacheLayout::make(config, ratios, limits, kPageTokens, format).bytes();
  return {.bytes_per_page_tokens = with_a_page - fixed, .fixed_bytes = fixed};
}

int64_t KvCache::available_tokens() const {
  return open_count_ < limits_.sequences ? std::min(limits_.context, unreserved_tokens()) : 0;
}

int64_t KvCache::unreserved_tokens() const {
  int64_t tokens = std::numeric_limits<int64_t>::max();
  for (const PagePool& pool : pools_)
    tokens = std::min(tokens, pool.unreserved() * pool.layout().page_tokens());
  return tokens;
}

Result<void> KvCache::check_context(int64_t length_max) const {
  if (length_max > limits_.context)
    return fail(ErrorCode::kTooLarge, "a sequence of {} tokens is longer than the context of {}", length_max,
                limits_.context);
  return {};
}

Result<SequenceId> KvCache::claim_slot(int64_t length_max) {
  // What can never fit is not blamed on the load.
  if (const Result<void> fits = check_context(length_max); !fits) return tl::make_unexpected(fits.error());
  if (open_count_ == limits_.sequences)
    return fail(ErrorCode::kOverloaded, "all {} sequence slots are in use", limits_.sequences);
  const auto slot = static_cast<SequenceId>(std::find(open_.begin(), open_.end(), 0) - open_.begin());
  at(open_, slot) = 1;
  ++open_count_;
  at(lengths_, slot) = 0;
  at(length_max_, slot) = 0;
  at(rewind_floor_, slot) = 0;
  return slot;
}

Result<SequenceId> KvCache::open(int64_t length_max) {
  const Result<SequenceId> slot = claim_slot(length_max);
  if (!slot) return slot;
  if (const Result<void> reserved = extend(*slot, length_max); !reserved) {
    close(*slot);
    return tl::make_unexpected(reserved.error());
  }
  return slot;
}

Result<void> KvCache::extend(SequenceId sequence, int64_t length_max) {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  int64_t& current = at(length_max_, sequence);
  if (length_max <= current) return {};
  if (Result<void> fits = check_context(length_max); !fits) return fits;
  const int64_t before = std::exchange(current, length_max);
  for (size_t k = 0; k < pools_.size(); ++k) {
    const int64_t needed = growth(k, sequence, length(sequence)) - pools_[k].reserved_for(sequence);
    if (needed <= pools_[k].unreserved()) continue;
    current = before;
    return fail(ErrorCode::kOverloaded,
                "a sequence of {} tokens needs {} more cache pages of ratio {}, {} are unreserved",
                length_max, needed, layout_.ratios[k].ratio, pools_[k].unreserved());
  }
  for (size_t k = 0; k < pools_.size(); ++k)
    pools_[k].reserve(sequence,
                      std::max(pools_[k].reserved_for(sequence), growth(k, sequence, length(sequence))));
  return {};
}

void KvCache::close(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  for (const Row& row : staged_) FT_CHECK(row.sequence != sequence);
  for (PagePool& pool : pools_) {
    pool.truncate(sequence, 0);
    pool.reserve(sequence, 0);
  }
  at(lengths_, sequence) = 0;
  at(open_, sequence) = 0;
  --open_count_;
}

KvTransaction KvCache::begin() {
  FT_CHECK(!in_transaction_);
  in_transaction_ = true;
  staged_.clear();
  return KvTransaction(this);
}

// Nothing before position 0 is ever needed, so a fresh start is always possible. The floor is above the
// length while the window after skip_to() is not full.
bool KvCache::keeps_rows_before(SequenceId sequence, int64_t length) const {
  return length == 0 || length >= std::min(at(rewind_floor_, sequence), at(lengths_, sequence));
}

Result<void> KvCache::rewind(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  int64_t& current = at(lengths_, sequence);
  int64_t& floor = at(rewind_floor_, sequence);
  if (length < 0 || length > current)
    return fail(ErrorCode::kInvalidArgument, "rewind to {}: the sequence has {} tokens", length, current);
  if (!keeps_rows_before(sequence, length))
    return fail(ErrorCode::kInvalidArgument, "rewind to {}: rows before {} are no longer kept", length,
                floor);
  // Pages behind the new length go back, so that a later write never
  // meets a full page that a snapshot shares.
  for (size_t k = 0; k < pools_.size(); ++k) {
    const PagePool& pool = pools_[k];
    const int64_t needed = growth(k, sequence, length) - pool.reserved_for(sequence);
    if (needed > pool.unreserved() + pool.freed_by_truncate(sequence, pool.used_by(length)))
      return fail(ErrorCode::kOverloaded, "rewind to {}: snapshots hold the pages that it would write",
                  length);
  }
  for (size_t k = 0; k < pools_.size(); ++k) {
    pools_[k].reserve(sequence, growth(k, sequence, length));
    pools_[k].truncate(sequence, pools_[k].used_by(length));
  }
  current = length;
  if (length == 0) floor = 0;
  return {};
}

void KvCache::skip_to(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  FT_CHECK(layout_.ratios.empty(), layout_.ratios.size());
  int64_t& current = at(lengths_, sequence);
  FT_CHECK(length >= current && length <= at(length_max_, sequence), length, current,
           at(length_max_, sequence));
  if (length == current) return;
  current = length;
  at(rewind_floor_, sequence) = length + layout_.window;
}

int64_t KvCache::growth(size_t ratio, SequenceId sequence, int64_t length) const {
  return pools_[ratio].growth(sequence, length, at(length_max_, sequence));
}

void KvCache::set_page(size_t ratio, SequenceId sequence, size_t index) {
  if (tensors_) tensors_->set_page(ratio, sequence, index, pools_[ratio].held_by(sequence)[index]);
}

int32_t KvCache::writable_entry(size_t ratio, SequenceId sequence, int64_t entry) {
  PagePool& pool = pools_[ratio];
  const RatioLayout& r = layout_.ratios[ratio];
  const auto index = static_cast<size_t>(entry / r.entries_per_page);
  const size_t held = pool.held_by(sequence).size();
  FT_CHECK(index <= held, index, held);
  if (index == held) {
    pool.append_free(sequence);
    set_page(ratio, sequence, index);
  } else if (const int32_t shared = pool.held_by(sequence)[index]; pool.is_shared(shared)) {
    // Copy on write: the other holders keep the page as it is.
    const int32_t own = pool.replace_shared(sequence, index);
    page_moves_.clear();
    for (int32_t i = 0; i < r.entries_per_page; ++i) page_moves_.add(r.entry(shared, i), r.entry(own, i));
    if (tensors_) tensors_->move_entries(ratio, page_moves_);
    set_page(ratio, sequence, index);
  }
  return r.entry(pool.held_by(sequence)[index], entry);
}

void KvCache::commit(std::span<const int32_t> rows) {
  // Grow the sequences first: everything below addresses by final length.
  for (int32_t index : rows) {
    const Row& row = at(staged_, index);
    FT_CHECK(row.position == length(row.sequence) && row.parent == at(tips_, row.sequence), index,
             row.position);
    FT_CHECK(row.position < at(length_max_, row.sequence), row.position, at(length_max_, row.sequence));
    ++at(lengths_, row.sequence);
    at(tips_, row.sequence) = index;
  }
  for (int32_t index : rows) {
    const SequenceId sequence = at(staged_, index).sequence;
    at(tips_, sequence) = kCommitted;
    at(rewind_floor_, sequence) = std::max(at(rewind_floor_, sequence), length(sequence) - kRewindMax);
  }
  // A path longer than a ring writes only its last round: two rows must not race for one slot.
  const auto kept = [&](const Row& row, int32_t ring_rows) {
    return row.position >= length(row.sequence) - ring_rows;
  };
  // Without memory too: naming the destination of an entry takes its page.
  const auto collect = [&](auto keep, auto from, auto to) {
    moves_.clear();
    for (int32_t index : rows) {
      const Row& row = at(staged_, index);
      if (keep(row)) moves_.add(from(index), to(row));
    }
  };
  collect([&](const Row& row) { return kept(row, layout_.ring_rows); },
          [&](int32_t index) { return layout_.raw_staged(index); },
          [&](const Row& row) { return layout_.raw_ring(row.sequence, row.position); });
  if (tensors_) tensors_->move_window(moves_);
  for (size_t k = 0; k < layout_.ratios.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    collect([&](const Row& row) { return kept(row, r.ring_rows); },
            [&](int32_t index) { return layout_.state_staged(r, index); },
            [&](const Row& row) { return layout_.state_ring(r, row.sequence, row.position); });
    if (tensors_) tensors_->move_states(k, moves_);
    collect([&](const Row& row) { return (row.position + 1) % r.ratio == 0; },
            [&](int32_t index) { return layout_.entry_staged(r, index); },
            [&](const Row& row) { return writable_entry(k, row.sequence, row.position / r.ratio); });
    if (tensors_) tensors_->move_entries(k, moves_);
  }
}

void KvCache::check_integrity() const {
  int32_t open = 0;
  for (int32_t s = 0; s < limits_.sequences; ++s) {
    open += at(open_, s);
    FT_CHECK(length(s) <= at(length_max_, s) || at(open_, s) == 0, s, length(s));
    FT_CHECK(at(open_, s) != 0 || length(s) == 0, s);
  }
  FT_CHECK(open == open_count_, open, open_count_);
  for (size_t k = 0; k < pools_.size(); ++k) {
    const PagePool& pool = pools_[k];
    for (int32_t s = 0; s < limits_.sequences; ++s) {
      FT_CHECK(pool.reserved_for(s) >= (at(open_, s) != 0 ? growth(k, s, length(s)) : 0), s);
      FT_CHECK(pool.held_by(s).size() == pool.used_by(length(s)), s);
    }
    pool.check_integrity();
  }
}

}  // namespace ft
