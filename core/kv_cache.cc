#include "core/kv_cache.h"

#include <algorithm>

#include "core/check.h"

namespace ft {

namespace {

template <class T>
T& at(std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}
template <class T>
const T& at(const std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}

// First position whose compressor inputs a block that closes at or after `length` can need (model.md 5.2).
int64_t first_state_position(const RatioLayout& ratio, int64_t length) {
  return std::max<int64_t>(0, (length / ratio.ratio - (ratio.coff() - 1)) * ratio.ratio);
}

}  // namespace

KvSnapshot::~KvSnapshot() {
  for (size_t ratio = 0; ratio < pages_.size(); ++ratio)
    for (int32_t page : pages_[ratio]) cache_.release_page(ratio, page);
}

int64_t KvSnapshot::bytes() const {
  int64_t total = static_cast<int64_t>(rows_.bytes());
  for (size_t ratio = 0; ratio < pages_.size(); ++ratio) {
    const RatioLayout& r = cache_.layout_.ratios[ratio];
    int64_t entry_bytes = 0;
    for (const LayerCache& layer : cache_.layers_)
      if (layer.ratio == r.ratio)
        entry_bytes += (cache_.head_dim_ + (layer.index_keys != nullptr ? cache_.index_head_dim_ : 0)) * 4;
    total += static_cast<int64_t>(pages_[ratio].size()) * r.entries_per_page * entry_bytes;
  }
  return total;
}

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
  layout_.sequences = limits.sequences;
  layout_.rows_max = limits.rows;
  layout_.window = config.sliding_window;
  layout_.ring_rows = config.sliding_window - 1 + kRewindMax;
  std::vector<int> distinct;
  for (int ratio : ratios)
    if (ratio != 0 && std::find(distinct.begin(), distinct.end(), ratio) == distinct.end())
      distinct.push_back(ratio);
  for (int ratio : distinct) {
    RatioLayout r;
    r.ratio = ratio;
    r.ring_rows = r.coff() * ratio - 1 + kRewindMax;
    r.entries_per_page = std::max(1, kPageTokens / ratio);
    r.page_stride = static_cast<int32_t>(pages_needed(r, limits_.context));
    // Each sequence may hold one partly filled page beyond its share of the total.
    r.page_count = static_cast<int32_t>(pages_needed(r, limits_.total_tokens)) + limits.sequences;
    layout_.ratios.push_back(r);
  }
  const auto tensor = [&](int64_t rows, int64_t cols) {
    memory_.push_back(backend.allocate(static_cast<size_t>(rows * cols) * sizeof(float)));
    bytes_ += rows * cols * static_cast<int64_t>(sizeof(float));
    return memory_.back().f32();
  };
  const int64_t staged = int64_t{limits.rows} + 1;
  for (int ratio : ratios) {
    LayerCache layer;
    layer.ratio = ratio;
    layer.raw = tensor(int64_t{limits.sequences} * layout_.ring_rows + staged, head_dim_);
    if (ratio != 0) {
      const RatioLayout& r = *std::find_if(layout_.ratios.begin(), layout_.ratios.end(),
                                           [&](const RatioLayout& x) { return x.ratio == ratio; });
      const int64_t entries = int64_t{r.page_count} * r.entries_per_page + staged;
      const int64_t states = int64_t{limits.sequences} * r.ring_rows + staged;
      layer.compressed = tensor(entries, head_dim_);
      layer.state = tensor(states, 2 * r.coff() * head_dim_);
      if (ratio == 4) {
        layer.index_keys = tensor(entries, index_head_dim_);
        layer.index_state = tensor(states, 2 * r.coff() * index_head_dim_);
      }
    }
    layers_.push_back(layer);
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
  // A copy moves at most the staged rows, a snapshot's rows or a page's entries.
  int64_t copy_max = std::max<int64_t>({limits.rows, layout_.ring_rows, kPageTokens});
  for (const RatioLayout& r : layout_.ratios) copy_max = std::max<int64_t>(copy_max, r.ring_rows);
  copy_src_.reserve(static_cast<size_t>(copy_max));
  copy_dst_.reserve(static_cast<size_t>(copy_max));
  copy_indices_ = backend.allocate(static_cast<size_t>(copy_max) * 2 * sizeof(int32_t));
  planner_ = std::make_unique<StepPlanner>(layout_, config, backend);
}

KvCache::~KvCache() {
  FT_CHECK(!in_transaction_);
}

int64_t KvCache::pages_needed(const RatioLayout& ratio, int64_t tokens) const {
  const int64_t page_tokens = int64_t{ratio.ratio} * ratio.entries_per_page;
  return (tokens + page_tokens - 1) / page_tokens;
}

int64_t KvCache::available_tokens() const {
  int64_t tokens = limits_.context;
  for (size_t k = 0; k < pages_.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    const int64_t pages = static_cast<int64_t>(pages_[k].free.size()) - pages_[k].reserved_total;
    tokens = std::min(tokens, pages * r.ratio * r.entries_per_page);
  }
  return open_count_ < limits_.sequences ? tokens : 0;
}

Result<SequenceId> KvCache::open_slot(int64_t length_max) {
  if (length_max > limits_.context)
    return fail(ErrorCode::kTooLarge, "a sequence of {} tokens is longer than the context of {}", length_max,
                limits_.context);
  if (open_count_ == limits_.sequences)
    return fail(ErrorCode::kOverloaded, "all {} sequence slots are in use", limits_.sequences);
  for (size_t k = 0; k < pages_.size(); ++k) {
    const int64_t needed = pages_needed(layout_.ratios[k], length_max);
    const int64_t spare = static_cast<int64_t>(pages_[k].free.size()) - pages_[k].reserved_total;
    if (needed > spare)
      return fail(ErrorCode::kOverloaded,
                  "a sequence of {} tokens needs {} cache pages of ratio {}, {} are unreserved", length_max,
                  needed, layout_.ratios[k].ratio, spare);
  }
  const auto slot = static_cast<SequenceId>(std::find(open_.begin(), open_.end(), 0) - open_.begin());
  at(open_, slot) = 1;
  ++open_count_;
  at(lengths_, slot) = 0;
  at(length_max_, slot) = length_max;
  at(rewind_floor_, slot) = 0;
  for (size_t k = 0; k < pages_.size(); ++k) {
    const int64_t needed = pages_needed(layout_.ratios[k], length_max);
    at(pages_[k].reserved, slot) = needed;
    pages_[k].reserved_total += needed;
  }
  return slot;
}

Result<SequenceId> KvCache::open(int64_t length_max) {
  return open_slot(length_max);
}

Result<SequenceId> KvCache::open(int64_t length_max, const KvSnapshot& snapshot) {
  FT_CHECK(&snapshot.cache_ == this && length_max >= snapshot.length_);
  Result<SequenceId> opened = open_slot(length_max);
  if (!opened) return opened;
  const SequenceId slot = *opened;
  for (size_t k = 0; k < pages_.size(); ++k) {
    for (size_t i = 0; i < snapshot.pages_[k].size(); ++i) {
      const int32_t page = snapshot.pages_[k][i];
      ++at(pages_[k].references, page);
      set_page(k, slot, i, page);
    }
    // Full shared pages are never written, so their share of the reservation goes back; a partial one may be
    // copied.
    const int64_t full =
        snapshot.length_ / (int64_t{layout_.ratios[k].ratio} * layout_.ratios[k].entries_per_page);
    at(pages_[k].reserved, slot) -= full;
    pages_[k].reserved_total -= full;
  }
  at(lengths_, slot) = snapshot.length_;
  at(rewind_floor_, slot) = snapshot.length_;
  const float* from = snapshot.rows_.f32();
  visit_snapshot_rows(snapshot.length_, slot,
                      [&](float* tensor, int64_t width, std::span<const int32_t> addresses) {
                        copy_src_.clear();
                        for (size_t i = 0; i < addresses.size(); ++i)
                          copy_src_.push_back(static_cast<int32_t>(i));
                        const int32_t* indices = upload_indices(copy_src_, addresses);
                        const auto count = static_cast<int64_t>(addresses.size());
                        backend_.copy_rows(tensor, from, width * 4, indices, indices + count, count);
                        from += count * width;
                      });
  return slot;
}

void KvCache::close(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  for (const Row& row : staged_) FT_CHECK(row.sequence != sequence);
  for (size_t k = 0; k < pages_.size(); ++k) {
    for (int32_t page : at(pages_[k].owned, sequence)) release_page(k, page);
    at(pages_[k].owned, sequence).clear();
    pages_[k].reserved_total -= at(pages_[k].reserved, sequence);
    at(pages_[k].reserved, sequence) = 0;
  }
  at(lengths_, sequence) = 0;
  at(open_, sequence) = 0;
  --open_count_;
}

void KvCache::skip_to(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_ && layout_.ratios.empty(), sequence);
  FT_CHECK(length >= at(lengths_, sequence) && length <= at(length_max_, sequence), length,
           at(lengths_, sequence), at(length_max_, sequence));
  at(lengths_, sequence) = length;
  at(rewind_floor_, sequence) = length;
}

KvTransaction KvCache::begin() {
  FT_CHECK(!in_transaction_);
  in_transaction_ = true;
  staged_.clear();
  return KvTransaction(this);
}

Result<void> KvCache::rewind(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  int64_t& current = at(lengths_, sequence);
  int64_t& floor = at(rewind_floor_, sequence);
  if (length < 0 || length > current)
    return fail(ErrorCode::kInvalidArgument, "rewind to {}: the sequence has {} tokens", length, current);
  // Nothing before position 0 is ever needed, so a fresh start is always possible.
  if (length < floor && length != 0)
    return fail(ErrorCode::kInvalidArgument, "rewind to {}: rows before {} are no longer kept", length,
                floor);
  // Pages behind the new length go back, so that a later write never meets a full page that a snapshot
  // shares.
  for (size_t k = 0; k < pages_.size(); ++k) {
    if (!reserve_rewound(k, sequence, length))
      return fail(ErrorCode::kOverloaded, "rewind to {}: snapshots hold the pages that it would write",
                  length);
  }
  for (size_t k = 0; k < pages_.size(); ++k) {
    std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    for (size_t used = used_pages(k, length); owned.size() > used; owned.pop_back())
      release_page(k, owned.back());
  }
  current = length;
  if (length == 0) floor = 0;
  return {};
}

size_t KvCache::used_pages(size_t ratio, int64_t length) const {
  const RatioLayout& r = layout_.ratios[ratio];
  return static_cast<size_t>((length / r.ratio + r.entries_per_page - 1) / r.entries_per_page);
}

bool KvCache::reserve(size_t ratio, SequenceId sequence, int64_t count) {
  Pages& pages = pages_[ratio];
  if (pages.reserved_total + count > static_cast<int64_t>(pages.free.size())) return false;
  at(pages.reserved, sequence) += count;
  pages.reserved_total += count;
  return true;
}

bool KvCache::reserve_rewound(size_t ratio, SequenceId sequence, int64_t length) {
  Pages& pages = pages_[ratio];
  const std::vector<int32_t>& owned = at(pages.owned, sequence);
  int64_t freed = 0;
  int64_t dropped = 0;
  // The page that the new length ends in may be a snapshot's full one; writing on then takes a copy.
  const RatioLayout& r = layout_.ratios[ratio];
  const auto tail = static_cast<size_t>(length / r.ratio / r.entries_per_page);
  if (length / r.ratio % r.entries_per_page != 0 && at(pages.references, owned[tail]) > 1) ++dropped;
  for (size_t i = used_pages(ratio, length); i < owned.size(); ++i) {
    ++dropped;
    freed += at(pages.references, owned[i]) == 1 ? 1 : 0;
  }
  if (pages.reserved_total + dropped > static_cast<int64_t>(pages.free.size()) + freed) return false;
  at(pages.reserved, sequence) += dropped;
  pages.reserved_total += dropped;
  return true;
}

void KvCache::release_page(size_t ratio, int32_t page) {
  Pages& pages = pages_[ratio];
  FT_CHECK(at(pages.references, page) > 0, page);
  if (--at(pages.references, page) == 0) pages.free.push_back(page);
}

int32_t KvCache::take_page(size_t ratio, SequenceId sequence) {
  Pages& pages = pages_[ratio];
  FT_CHECK(at(pages.reserved, sequence) > 0 && !pages.free.empty(), sequence, pages.free.size());
  --at(pages.reserved, sequence);
  --pages.reserved_total;
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
    std::vector<int32_t> src;
    std::vector<int32_t> dst;
    for (int32_t i = 0; i < r.entries_per_page; ++i) {
      src.push_back(old_page * r.entries_per_page + i);
      dst.push_back(new_page * r.entries_per_page + i);
    }
    copy_entries(ratio, src, dst);
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

template <class Visit>
int64_t KvCache::visit_snapshot_rows(int64_t length, SequenceId sequence, Visit visit) {
  int64_t floats = 0;
  std::vector<int32_t> addresses;
  for (int64_t p = std::max<int64_t>(0, length - layout_.window + 1); p < length; ++p)
    addresses.push_back(layout_.raw_ring(sequence, p));
  // DSpark's block sees W rows before the anchor, one more than a causal row; keep that one too.
  if (length >= layout_.window) addresses.push_back(layout_.raw_ring(sequence, length - layout_.window));
  for (const LayerCache& layer : layers_) {
    floats += static_cast<int64_t>(addresses.size()) * head_dim_;
    visit(layer.raw, head_dim_, std::span<const int32_t>(addresses));
  }
  for (const RatioLayout& r : layout_.ratios) {
    addresses.clear();
    for (int64_t p = first_state_position(r, length); p < length; ++p)
      addresses.push_back(layout_.state_ring(r, sequence, p));
    for (const LayerCache& layer : layers_) {
      if (layer.ratio != r.ratio) continue;
      floats += static_cast<int64_t>(addresses.size()) * 2 * r.coff() * head_dim_;
      visit(layer.state, 2 * r.coff() * head_dim_, std::span<const int32_t>(addresses));
      if (layer.index_state == nullptr) continue;
      floats += static_cast<int64_t>(addresses.size()) * 2 * r.coff() * index_head_dim_;
      visit(layer.index_state, 2 * r.coff() * index_head_dim_, std::span<const int32_t>(addresses));
    }
  }
  return floats;
}

std::shared_ptr<KvSnapshot> KvCache::snapshot(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  // The sequence will have to copy a partly filled page that becomes shared now: reserve for that first.
  const auto shares_partial = [&](size_t k) {
    const RatioLayout& r = layout_.ratios[k];
    const auto page = static_cast<size_t>(length(sequence) / r.ratio / r.entries_per_page);
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    return length(sequence) / r.ratio % r.entries_per_page != 0 && at(pages_[k].references, owned[page]) == 1;
  };
  for (size_t k = 0; k < pages_.size(); ++k)
    if (shares_partial(k) && pages_[k].reserved_total == static_cast<int64_t>(pages_[k].free.size()))
      return nullptr;
  for (size_t k = 0; k < pages_.size(); ++k)
    if (shares_partial(k)) reserve(k, sequence, 1);
  std::shared_ptr<KvSnapshot> snapshot(new KvSnapshot(*this));
  snapshot->length_ = length(sequence);
  for (size_t k = 0; k < pages_.size(); ++k) {
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    const auto used = static_cast<std::ptrdiff_t>(used_pages(k, snapshot->length_));
    snapshot->pages_.emplace_back(owned.begin(), owned.begin() + used);
    for (int32_t page : snapshot->pages_.back()) ++at(pages_[k].references, page);
  }
  const int64_t floats =
      visit_snapshot_rows(snapshot->length_, sequence, [](float*, int64_t, std::span<const int32_t>) {});
  if (floats == 0) return snapshot;
  snapshot->rows_ = backend_.allocate(static_cast<size_t>(floats) * sizeof(float));
  float* to = snapshot->rows_.f32();
  visit_snapshot_rows(snapshot->length_, sequence,
                      [&](float* tensor, int64_t width, std::span<const int32_t> addresses) {
                        copy_dst_.clear();
                        for (size_t i = 0; i < addresses.size(); ++i)
                          copy_dst_.push_back(static_cast<int32_t>(i));
                        const int32_t* indices = upload_indices(addresses, copy_dst_);
                        const auto count = static_cast<int64_t>(addresses.size());
                        backend_.copy_rows(to, tensor, width * 4, indices, indices + count, count);
                        to += count * width;
                      });
  return snapshot;
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
      FT_CHECK(at(pages.reserved, s) >= 0, s);
      FT_CHECK(static_cast<int64_t>(at(pages.owned, s).size()) * r.entries_per_page >= length(s) / r.ratio,
               s);
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
