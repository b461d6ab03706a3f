#include "core/kv_cache.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/at.h"
#include "core/check.h"

namespace ft {

namespace {

int64_t pages_needed(const RatioLayout& ratio, int64_t tokens) {
  const int64_t page_tokens = int64_t{ratio.ratio} * ratio.entries_per_page;
  return (tokens + page_tokens - 1) / page_tokens;
}

// `total_tokens` stands for the one in `limits`.
CacheLayout layout_of(const ModelConfig& config, std::span<const int> ratios, const CacheLimits& limits,
                      int64_t total_tokens) {
  CacheLayout layout;
  layout.sequences = limits.sequences;
  layout.rows_max = limits.rows;
  layout.window = config.sliding_window;
  layout.ring_rows = config.sliding_window - 1 + kRewindMax;
  for (int ratio : ratios) {
    if (ratio == 0 || std::ranges::any_of(layout.ratios, [&](const auto& r) { return r.ratio == ratio; }))
      continue;
    RatioLayout r;
    r.ratio = ratio;
    r.ring_rows = r.coff() * ratio - 1 + kRewindMax;
    r.entries_per_page = std::max(1, kPageTokens / ratio);
    r.page_stride = static_cast<int32_t>(pages_needed(r, limits.context));
    // Each sequence may hold one partly filled page beyond its share of the total.
    r.page_count = static_cast<int32_t>(pages_needed(r, total_tokens)) + limits.sequences;
    layout.ratios.push_back(r);
  }
  return layout;
}

// add(member of LayerCache, rows, cols) for every tensor that a layer of this ratio has.
template <class Add>
void visit_tensors(const ModelConfig& config, const CacheLayout& layout, int ratio, Add add) {
  const int64_t staged = int64_t{layout.rows_max} + 1;
  add(&LayerCache::raw, int64_t{layout.sequences} * layout.ring_rows + staged, config.head_dim);
  if (ratio == 0) return;
  const RatioLayout& r =
      *std::ranges::find_if(layout.ratios, [&](const RatioLayout& x) { return x.ratio == ratio; });
  const int64_t entries = int64_t{r.page_count} * r.entries_per_page + staged;
  const int64_t states = int64_t{layout.sequences} * r.ring_rows + staged;
  add(&LayerCache::compressed, entries, config.head_dim);
  add(&LayerCache::state, states, 2 * r.coff() * config.head_dim);
  if (ratio != 4) return;
  add(&LayerCache::index_keys, entries, config.index_head_dim);
  add(&LayerCache::index_state, states, 2 * r.coff() * config.index_head_dim);
}

int64_t tensor_bytes(const ModelConfig& config, const CacheLayout& layout, std::span<const int> ratios) {
  int64_t bytes = 0;
  for (int ratio : ratios)
    visit_tensors(config, layout, ratio, [&](auto, int64_t rows, int64_t cols) {
      bytes += rows * cols * static_cast<int64_t>(sizeof(float));
    });
  return bytes;
}

}  // namespace

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
  return cache.planner_->plan(cache.staged_, first, cache.lengths_, cache.page_tables_, visibility);
}

std::span<const Row> KvTransaction::rows() const {
  return cache_->staged_;
}

void KvTransaction::commit(std::span<const int32_t> rows) && {
  KvTransaction ending(std::move(*this));
  ending.cache_->commit(rows);
}

KvCache::KvCache(Backend& backend, const ModelConfig& config, std::vector<int> ratios,
                 const CacheLimits& limits)
    : backend_(backend), head_dim_(config.head_dim), index_head_dim_(config.index_head_dim), limits_(limits) {
  FT_CHECK(limits.sequences > 0 && limits.rows > 0 && limits.context > 0);
  limits_.total_tokens = std::max(limits.total_tokens, limits.context);
  layout_ = layout_of(config, ratios, limits_, limits_.total_tokens);
  for (int ratio : ratios) {
    LayerCache& layer = layers_.emplace_back();
    layer.ratio = ratio;
    visit_tensors(config, layout_, ratio, [&](float* LayerCache::*tensor, int64_t rows, int64_t cols) {
      const int64_t bytes = rows * cols * static_cast<int64_t>(sizeof(float));
      memory_.push_back(backend.allocate(static_cast<size_t>(bytes)));
      layer.*tensor = memory_.back().f32();
      bytes_ += bytes;
    });
  }
  for (const RatioLayout& r : layout_.ratios) {
    Pages pages;
    for (int32_t page = r.page_count - 1; page >= 0; --page) pages.free.push_back(page);
    pages.references.assign(static_cast<size_t>(r.page_count), 0);
    pages.owned.resize(static_cast<size_t>(limits.sequences));
    for (auto& owned : pages.owned) owned.reserve(static_cast<size_t>(r.page_stride));
    pages.reserved.assign(static_cast<size_t>(limits.sequences), 0);
    pages.table = backend.allocate(static_cast<size_t>(limits.sequences) *
                                   static_cast<size_t>(r.page_stride) * sizeof(int32_t));
    page_tables_.push_back(static_cast<const int32_t*>(pages.table.data()));
    pages_.push_back(std::move(pages));
  }
  const auto slots = static_cast<size_t>(limits.sequences);
  lengths_.assign(slots, 0);
  length_max_.assign(slots, 0);
  rewind_floor_.assign(slots, 0);
  open_.assign(slots, 0);
  tips_.assign(slots, kCommitted);
  staged_.reserve(static_cast<size_t>(limits.rows));
  // One copy moves at most the staged rows, a snapshot's rows or a page's entries; an image goes in pieces.
  int64_t copy_max = std::max<int64_t>({limits.rows, layout_.ring_rows, kPageTokens});
  for (const RatioLayout& r : layout_.ratios) copy_max = std::max<int64_t>(copy_max, r.ring_rows);
  copy_src_.reserve(static_cast<size_t>(copy_max));
  copy_dst_.reserve(static_cast<size_t>(copy_max));
  page_src_.reserve(static_cast<size_t>(kPageTokens));
  page_dst_.reserve(static_cast<size_t>(kPageTokens));
  copy_indices_ = backend.allocate(static_cast<size_t>(copy_max) * 2 * sizeof(int32_t));
  planner_ = std::make_unique<StepPlanner>(layout_, config, backend);
}

KvCache::~KvCache() {
  FT_CHECK(!in_transaction_);
}

KvCache::Footprint KvCache::footprint(const ModelConfig& config, std::span<const int> ratios,
                                      const CacheLimits& limits) {
  Footprint footprint;
  footprint.fixed_bytes = tensor_bytes(config, layout_of(config, ratios, limits, 0), ratios);
  footprint.bytes_per_page_tokens =
      tensor_bytes(config, layout_of(config, ratios, limits, kPageTokens), ratios) - footprint.fixed_bytes;
  return footprint;
}

int64_t KvCache::available_tokens() const {
  return open_count_ < limits_.sequences ? std::min(limits_.context, unreserved_tokens()) : 0;
}

int64_t KvCache::unreserved_tokens() const {
  int64_t tokens = std::numeric_limits<int64_t>::max();
  for (size_t k = 0; k < pages_.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    tokens = std::min(tokens, unreserved_pages(k) * r.ratio * r.entries_per_page);
  }
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
  for (size_t k = 0; k < pages_.size(); ++k) {
    const int64_t needed = pages_to_take(k, sequence, length(sequence)) - at(pages_[k].reserved, sequence);
    if (needed <= unreserved_pages(k)) continue;
    current = before;
    return fail(ErrorCode::kOverloaded,
                "a sequence of {} tokens needs {} more cache pages of ratio {}, {} are unreserved",
                length_max, needed, layout_.ratios[k].ratio, unreserved_pages(k));
  }
  for (size_t k = 0; k < pages_.size(); ++k)
    set_reserved(k, sequence,
                 std::max(at(pages_[k].reserved, sequence), pages_to_take(k, sequence, length(sequence))));
  return {};
}

void KvCache::close(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  for (const Row& row : staged_) FT_CHECK(row.sequence != sequence);
  for (size_t k = 0; k < pages_.size(); ++k) {
    for (int32_t page : at(pages_[k].owned, sequence)) release_page(k, page);
    at(pages_[k].owned, sequence).clear();
    set_reserved(k, sequence, 0);
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
  const auto freed = [&](size_t k) {
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    return std::count_if(owned.begin() + static_cast<std::ptrdiff_t>(used_pages(k, length)), owned.end(),
                         [&](int32_t page) { return at(pages_[k].references, page) == 1; });
  };
  for (size_t k = 0; k < pages_.size(); ++k) {
    const int64_t needed = pages_to_take(k, sequence, length) - at(pages_[k].reserved, sequence);
    if (needed > unreserved_pages(k) + freed(k))
      return fail(ErrorCode::kOverloaded, "rewind to {}: snapshots hold the pages that it would write",
                  length);
  }
  for (size_t k = 0; k < pages_.size(); ++k) {
    std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    set_reserved(k, sequence, pages_to_take(k, sequence, length));
    for (size_t used = used_pages(k, length); owned.size() > used; owned.pop_back())
      release_page(k, owned.back());
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

size_t KvCache::used_pages(size_t ratio, int64_t length) const {
  const RatioLayout& r = layout_.ratios[ratio];
  return static_cast<size_t>((length / r.ratio + r.entries_per_page - 1) / r.entries_per_page);
}

bool KvCache::ends_inside_page(size_t ratio, int64_t length) const {
  const RatioLayout& r = layout_.ratios[ratio];
  return length / r.ratio % r.entries_per_page != 0;
}

int64_t KvCache::unreserved_pages(size_t ratio) const {
  return static_cast<int64_t>(pages_[ratio].free.size()) - pages_[ratio].reserved_total;
}

int64_t KvCache::pages_to_take(size_t ratio, SequenceId sequence, int64_t length) const {
  const Pages& pages = pages_[ratio];
  const size_t used = used_pages(ratio, length);
  // A page that `length` ends in is written next: where others hold it too, that takes a copy.
  const bool copies =
      ends_inside_page(ratio, length) && at(pages.references, at(pages.owned, sequence)[used - 1]) > 1;
  return pages_needed(layout_.ratios[ratio], at(length_max_, sequence)) - static_cast<int64_t>(used) +
         (copies ? 1 : 0);
}

void KvCache::set_reserved(size_t ratio, SequenceId sequence, int64_t count) {
  pages_[ratio].reserved_total += count - at(pages_[ratio].reserved, sequence);
  at(pages_[ratio].reserved, sequence) = count;
}

void KvCache::release_page(size_t ratio, int32_t page) {
  Pages& pages = pages_[ratio];
  FT_CHECK(at(pages.references, page) > 0, page);
  if (--at(pages.references, page) == 0) pages.free.push_back(page);
}

int32_t KvCache::take_page(size_t ratio, SequenceId sequence) {
  Pages& pages = pages_[ratio];
  FT_CHECK(at(pages.reserved, sequence) > 0 && !pages.free.empty(), sequence, pages.free.size());
  set_reserved(ratio, sequence, at(pages.reserved, sequence) - 1);
  const int32_t page = pages.free.back();
  pages.free.pop_back();
  at(pages.references, page) = 1;
  return page;
}

void KvCache::set_page(size_t ratio, SequenceId sequence, size_t index, int32_t page) {
  Pages& pages = pages_[ratio];
  const RatioLayout& r = layout_.ratios[ratio];
  std::vector<int32_t>& owned = at(pages.owned, sequence);
  if (index == owned.size()) owned.push_back(page);
  owned[index] = page;
  const int32_t address = page * r.entries_per_page;
  int32_t* table = static_cast<int32_t*>(pages.table.data());
  backend_.upload(table + static_cast<int64_t>(sequence) * r.page_stride + static_cast<int64_t>(index),
                  &address, sizeof(address));
}

int32_t KvCache::writable_entry(size_t ratio, SequenceId sequence, int64_t entry) {
  Pages& pages = pages_[ratio];
  const RatioLayout& r = layout_.ratios[ratio];
  const auto index = static_cast<size_t>(entry / r.entries_per_page);
  std::vector<int32_t>& owned = at(pages.owned, sequence);
  FT_CHECK(index <= owned.size(), index, owned.size());
  if (index == owned.size()) {
    set_page(ratio, sequence, index, take_page(ratio, sequence));
  } else if (at(pages.references, owned[index]) > 1) {
    // Copy on write: the other holders keep the page as it is.
    const int32_t old_page = owned[index];
    const int32_t new_page = take_page(ratio, sequence);
    page_src_.clear();
    page_dst_.clear();
    for (int32_t i = 0; i < r.entries_per_page; ++i) {
      page_src_.push_back(old_page * r.entries_per_page + i);
      page_dst_.push_back(new_page * r.entries_per_page + i);
    }
    copy_entries(ratio, page_src_, page_dst_);
    set_page(ratio, sequence, index, new_page);
    release_page(ratio, old_page);
  }
  return owned[index] * r.entries_per_page + static_cast<int32_t>(entry % r.entries_per_page);
}

const int32_t* KvCache::upload_indices(std::span<const int32_t> src, std::span<const int32_t> dst) {
  int32_t* indices = static_cast<int32_t*>(copy_indices_.data());
  FT_CHECK((src.size() + dst.size()) * sizeof(int32_t) <= copy_indices_.bytes(), src.size());
  backend_.upload(indices, src.data(), src.size_bytes());
  backend_.upload(indices + src.size(), dst.data(), dst.size_bytes());
  return indices;
}

void KvCache::copy_window(std::span<const int32_t> src, std::span<const int32_t> dst) {
  const int32_t* indices = upload_indices(src, dst);
  const auto count = static_cast<int64_t>(src.size());
  for (const LayerCache& layer : layers_)
    backend_.copy_rows(layer.raw, layer.raw, head_dim_ * 4, indices, indices + count, count);
}

void KvCache::copy_state(size_t ratio, std::span<const int32_t> src, std::span<const int32_t> dst) {
  const RatioLayout& r = layout_.ratios[ratio];
  const int32_t* indices = upload_indices(src, dst);
  const auto count = static_cast<int64_t>(src.size());
  for (const LayerCache& layer : layers_) {
    if (layer.ratio != r.ratio) continue;
    backend_.copy_rows(layer.state, layer.state, 2 * r.coff() * head_dim_ * 4, indices, indices + count,
                       count);
    if (layer.index_state != nullptr)
      backend_.copy_rows(layer.index_state, layer.index_state, 2 * r.coff() * index_head_dim_ * 4, indices,
                         indices + count, count);
  }
}

void KvCache::copy_entries(size_t ratio, std::span<const int32_t> src, std::span<const int32_t> dst) {
  if (src.empty()) return;
  const int32_t* indices = upload_indices(src, dst);
  const auto count = static_cast<int64_t>(src.size());
  for (const LayerCache& layer : layers_) {
    if (layer.ratio != layout_.ratios[ratio].ratio) continue;
    backend_.copy_rows(layer.compressed, layer.compressed, head_dim_ * 4, indices, indices + count, count);
    if (layer.index_keys != nullptr)
      backend_.copy_rows(layer.index_keys, layer.index_keys, index_head_dim_ * 4, indices, indices + count,
                         count);
  }
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
  const auto collect = [&](auto address, auto keep) {
    copy_src_.clear();
    copy_dst_.clear();
    for (int32_t index : rows) {
      const Row& row = at(staged_, index);
      if (keep(row)) address(index, row);
    }
  };
  collect(
      [&](int32_t index, const Row& row) {
        copy_src_.push_back(layout_.raw_staged(index));
        copy_dst_.push_back(layout_.raw_ring(row.sequence, row.position));
      },
      [&](const Row& row) { return kept(row, layout_.ring_rows); });
  copy_window(copy_src_, copy_dst_);
  for (size_t k = 0; k < layout_.ratios.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    collect(
        [&](int32_t index, const Row& row) {
          copy_src_.push_back(layout_.state_staged(r, index));
          copy_dst_.push_back(layout_.state_ring(r, row.sequence, row.position));
        },
        [&](const Row& row) { return kept(row, r.ring_rows); });
    copy_state(k, copy_src_, copy_dst_);
    collect(
        [&](int32_t index, const Row& row) {
          copy_src_.push_back(layout_.entry_staged(r, index));
          copy_dst_.push_back(writable_entry(k, row.sequence, row.position / r.ratio));
        },
        [&](const Row& row) { return (row.position + 1) % r.ratio == 0; });
    copy_entries(k, copy_src_, copy_dst_);
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
  for (size_t k = 0; k < pages_.size(); ++k) {
    const Pages& pages = pages_[k];
    const RatioLayout& r = layout_.ratios[k];
    int64_t reserved = 0;
    std::vector<int32_t> holders(static_cast<size_t>(r.page_count), 0);
    for (int32_t s = 0; s < limits_.sequences; ++s) {
      reserved += at(pages.reserved, s);
      FT_CHECK(at(pages.reserved, s) >= (at(open_, s) != 0 ? pages_to_take(k, s, length(s)) : 0), s);
      FT_CHECK(at(pages.owned, s).size() == used_pages(k, length(s)), s);
      for (int32_t page : at(pages.owned, s)) ++at(holders, page);
    }
    FT_CHECK(reserved == pages.reserved_total, reserved, pages.reserved_total);
    FT_CHECK(reserved <= static_cast<int64_t>(pages.free.size()), reserved, pages.free.size());
    for (int32_t page : pages.free) FT_CHECK(at(pages.references, page) == 0, page);
    int64_t idle = 0;
    for (int32_t page = 0; page < r.page_count; ++page) {
      // Snapshots hold references that no sequence has, so sequences bound them from below.
      FT_CHECK(at(pages.references, page) >= at(holders, page), page);
      idle += at(pages.references, page) == 0 ? 1 : 0;
    }
    FT_CHECK(idle == static_cast<int64_t>(pages.free.size()), idle, pages.free.size());
  }
}

}  // namespace ft
