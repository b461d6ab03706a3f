#include "core/kv_snapshot.h"

#include <algorithm>

#include "core/at.h"
#include "core/check.h"
#include "core/kv_cache.h"

namespace ft {

namespace {

// First position whose compressor inputs a block that closes at or after `length` can need
// (docs/spec/model.md 5.2).
int64_t first_state_position(const RatioLayout& ratio, int64_t length) {
  return std::max<int64_t>(0, (length / ratio.ratio - (ratio.blocks() - 1)) * ratio.ratio);
}

}  // namespace

KvSnapshot::~KvSnapshot() {
  for (size_t ratio = 0; ratio < pages_.size(); ++ratio)
    for (int32_t page : pages_[ratio]) cache_.pools_[ratio].release(page);
}

int64_t KvSnapshot::page_bytes() const {
  int64_t total = 0;
  for (size_t ratio = 0; ratio < pages_.size(); ++ratio)
    total += static_cast<int64_t>(pages_[ratio].size()) * cache_.layout_.page_bytes(ratio);
  return total;
}

template <class Visit>
void KvCache::visit_tail_rows(SequenceId sequence, int64_t length, Visit visit) const {
  const int layers = static_cast<int>(layout_.layers.size());
  // DSpark's block sees W rows before the anchor, one more than a causal row.
  const int64_t window_first = std::max<int64_t>(0, length - layout_.window);
  for (int layer = 0; layer < layers; ++layer)
    visit(layer, &LayerCache::raw, layout_.key_row_bytes(), window_first, length,
          [&](int64_t position) { return layout_.raw_ring(sequence, position); });
  for (size_t k = 0; k < layout_.ratios.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    for (int layer = 0; layer < layers; ++layer) {
      if (at(layout_.layers, layer) != static_cast<int>(k)) continue;
      layout_.visit_state(r, [&](LayerTensor tensor, int64_t row_bytes) {
        visit(layer, tensor, row_bytes, first_state_position(r, length), length,
              [&](int64_t position) { return layout_.state_ring(r, sequence, position); });
      });
    }
  }
}

template <class Visit>
void KvCache::visit_entries(SequenceId sequence, int64_t length, Visit visit) const {
  for (size_t k = 0; k < layout_.ratios.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    const std::span<const int32_t> pages = pools_[k].held_by(sequence);
    for (int layer = 0; layer < static_cast<int>(layout_.layers.size()); ++layer) {
      if (at(layout_.layers, layer) != static_cast<int>(k)) continue;
      layout_.visit_entries(r, [&](LayerTensor tensor, int64_t row_bytes) {
        visit(layer, tensor, row_bytes, 0, length / r.ratio, [&](int64_t entry) {
          return r.entry(pages[static_cast<size_t>(entry / r.entries_per_page)], entry);
        });
      });
    }
  }
}

template <class Visit>
void KvCache::visit_image_pieces(SequenceId sequence, Visit visit) const {
  const auto in_pieces = [&](int layer, LayerTensor tensor, int64_t row_bytes, int64_t first, int64_t end,
                             auto address) {
    for (const int64_t piece = layout_.copy_rows_max(); first < end; first += piece)
      visit(layer, tensor, row_bytes, first, std::min(end, first + piece), address);
  };
  visit_tail_rows(sequence, length(sequence), in_pieces);
  visit_entries(sequence, length(sequence), in_pieces);
}

template <class Address>
std::span<const int32_t> KvCache::addresses(int64_t first, int64_t end, Address address) {
  addresses_.clear();
  for (int64_t i = first; i < end; ++i) addresses_.push_back(address(i));
  return addresses_;
}

int64_t KvCache::tail_bytes(SequenceId sequence, int64_t length) const {
  int64_t total = 0;
  visit_tail_rows(sequence, length,
                  [&](int, LayerTensor, int64_t row_bytes, int64_t first, int64_t end, auto) {
                    total += (end - first) * row_bytes;
                  });
  return total;
}

std::shared_ptr<KvSnapshot> KvCache::snapshot(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  const int64_t current = at(lengths_, sequence);
  FT_CHECK(length >= 0 && length <= current && current - length < kRewindMax, length, current);
  if (!keeps_rows_before(sequence, length)) return nullptr;
  // The sequence will have to copy a partly filled page that becomes shared now: reserve for that first.
  const auto will_take = [&](size_t k) {
    const PagePool& pool = pools_[k];
    const std::span<const int32_t> held = pool.held_by(sequence);
    const bool shares =
        pool.ends_inside_page(current) && pool.used_by(length) == held.size() && !pool.is_shared(held.back());
    return std::max(pool.reserved_for(sequence), growth(k, sequence, current) + (shares ? 1 : 0));
  };
  for (size_t k = 0; k < pools_.size(); ++k)
    if (will_take(k) - pools_[k].reserved_for(sequence) > pools_[k].unreserved()) return nullptr;
  for (size_t k = 0; k < pools_.size(); ++k) pools_[k].reserve(sequence, will_take(k));
  std::shared_ptr<KvSnapshot> snapshot(new KvSnapshot(*this));
  snapshot->length_ = length;
  snapshot->rewind_floor_ = std::max(length, at(rewind_floor_, sequence));
  for (PagePool& pool : pools_) {
    const std::span<const int32_t> shared = pool.held_by(sequence).first(pool.used_by(length));
    snapshot->pages_.emplace_back(shared.begin(), shared.end());
    for (int32_t page : shared) pool.hold(page);
  }
  snapshot->copied_bytes_ = tail_bytes(sequence, length);
  if (!tensors_ || snapshot->copied_bytes_ == 0) return snapshot;
  snapshot->rows_ = tensors_->memory().allocate(static_cast<size_t>(snapshot->copied_bytes_));
  auto* to = static_cast<std::byte*>(snapshot->rows_.data());
  visit_tail_rows(
      sequence, length,
      [&](int layer, LayerTensor tensor, int64_t row_bytes, int64_t first, int64_t end, auto address) {
        tensors_->gather(to, tensors_->layer(layer).*tensor, row_bytes, addresses(first, end, address));
        to += (end - first) * row_bytes;
      });
  return snapshot;
}

Result<SequenceId> KvCache::open(int64_t length_max, const KvSnapshot& snapshot) {
  FT_CHECK(&snapshot.cache_ == this && length_max >= snapshot.length_, length_max, snapshot.length_);
  const Result<SequenceId> claimed = claim_slot(length_max);
  if (!claimed) return claimed;
  const SequenceId slot = *claimed;
  for (size_t k = 0; k < pools_.size(); ++k)
    for (size_t i = 0; i < snapshot.pages_[k].size(); ++i) {
      pools_[k].append_shared(slot, snapshot.pages_[k][i]);
      set_page(k, slot, i);
    }
  at(lengths_, slot) = snapshot.length_;
  at(rewind_floor_, slot) = snapshot.rewind_floor_;
  // Of the shared pages only a partly filled one will ever be written, so the others need no reservation.
  if (const Result<void> reserved = extend(slot, length_max); !reserved) {
    close(slot);
    return tl::make_unexpected(reserved.error());
  }
  if (!tensors_) return slot;
  const auto* from = static_cast<const std::byte*>(snapshot.rows_.data());
  visit_tail_rows(
      slot, snapshot.length_,
      [&](int layer, LayerTensor tensor, int64_t row_bytes, int64_t first, int64_t end, auto address) {
        tensors_->scatter(tensors_->layer(layer).*tensor, from, row_bytes, addresses(first, end, address));
        from += (end - first) * row_bytes;
      });
  return slot;
}

int64_t KvCache::image_bytes(SequenceId sequence) const {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  int64_t total = 0;
  visit_entries(sequence, length(sequence),
                [&](int, LayerTensor, int64_t row_bytes, int64_t first, int64_t end, auto) {
                  total += (end - first) * row_bytes;
                });
  return tail_bytes(sequence, length(sequence)) + total;
}

Buffer KvCache::image_staging(SequenceId sequence) {
  int64_t total = 0;
  visit_image_pieces(sequence, [&](int, LayerTensor, int64_t row_bytes, int64_t first, int64_t end, auto) {
    total = std::max(total, (end - first) * row_bytes);
  });
  return tensors_->memory().allocate(static_cast<size_t>(total));
}

std::unique_ptr<KvImage> KvCache::save(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  auto image = std::make_unique<KvImage>();
  image->length_ = length(sequence);
  image->rewind_floor_ = std::max(length(sequence), at(rewind_floor_, sequence));
  image->bytes_ = image_bytes(sequence);
  if (!tensors_) return image;
  image->rows_.resize(static_cast<size_t>(image->bytes_));
  const Buffer staging = image_staging(sequence);
  std::byte* to = image->rows_.data();
  visit_image_pieces(sequence, [&](int layer, LayerTensor tensor, int64_t row_bytes, int64_t first,
                                   int64_t end, auto address) {
    const int64_t bytes = (end - first) * row_bytes;
    tensors_->gather(staging.data(), tensors_->layer(layer).*tensor, row_bytes,
                     addresses(first, end, address));
    tensors_->memory().download(to, staging.data(), static_cast<size_t>(bytes));
    to += bytes;
  });
  return image;
}

Result<SequenceId> KvCache::open(int64_t length_max, const KvImage& image) {
  FT_CHECK(length_max >= image.length_, length_max, image.length_);
  const Result<SequenceId> opened = open(length_max);
  if (!opened) return opened;
  const SequenceId slot = *opened;
  for (size_t k = 0; k < pools_.size(); ++k)
    for (size_t i = 0; i < pools_[k].used_by(image.length_); ++i) {
      pools_[k].append_free(slot);
      set_page(k, slot, i);
    }
  at(lengths_, slot) = image.length_;
  at(rewind_floor_, slot) = image.rewind_floor_;
  FT_CHECK(image_bytes(slot) == image.bytes(), image_bytes(slot), image.bytes());
  if (!tensors_) return slot;
  FT_CHECK(static_cast<int64_t>(image.rows_.size()) == image.bytes(), image.rows_.size(), image.bytes());
  const Buffer staging = image_staging(slot);
  const std::byte* from = image.rows_.data();
  visit_image_pieces(
      slot, [&](int layer, LayerTensor tensor, int64_t row_bytes, int64_t first, int64_t end, auto address) {
        const int64_t bytes = (end - first) * row_bytes;
        tensors_->memory().upload(staging.data(), from, static_cast<size_t>(bytes));
        tensors_->scatter(tensors_->layer(layer).*tensor, staging.data(), row_bytes,
                          addresses(first, end, address));
        from += bytes;
      });
  return slot;
}

}  // namespace ft
