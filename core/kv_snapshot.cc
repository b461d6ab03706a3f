// Sequences kept aside: snapshots, which share compressed pages with the cache that they lie in,
// and images, which leave it.
#include <algorithm>
#include <numeric>

#include "core/at.h"
#include "core/check.h"
#include "core/kv_cache.h"

namespace ft {

namespace {

// First position whose compressor inputs a block that closes at or after `length` can need (model.md 5.2).
int64_t first_state_position(const RatioLayout& ratio, int64_t length) {
  return std::max<int64_t>(0, (length / ratio.ratio - (ratio.coff() - 1)) * ratio.ratio);
}

}  // namespace

KvSnapshot::~KvSnapshot() {
  for (size_t ratio = 0; ratio < pages_.size(); ++ratio)
    for (int32_t page : pages_[ratio]) cache_.release_page(ratio, page);
}

int64_t KvSnapshot::page_bytes() const {
  int64_t total = 0;
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

template <class Visit>
void KvCache::visit_tail_rows(SequenceId sequence, int64_t length, Visit visit) const {
  // DSpark's block sees W rows before the anchor, one more than a causal row.
  const int64_t window_first = std::max<int64_t>(0, length - layout_.window);
  for (const LayerCache& layer : layers_)
    visit(layer.raw, head_dim_, window_first, length,
          [&](int64_t position) { return layout_.raw_ring(sequence, position); });
  for (const RatioLayout& r : layout_.ratios) {
    const int64_t first = first_state_position(r, length);
    const auto address = [&](int64_t position) { return layout_.state_ring(r, sequence, position); };
    for (const LayerCache& layer : layers_) {
      if (layer.ratio != r.ratio) continue;
      visit(layer.state, 2 * r.coff() * head_dim_, first, length, address);
      if (layer.index_state != nullptr)
        visit(layer.index_state, 2 * r.coff() * index_head_dim_, first, length, address);
    }
  }
}

template <class Visit>
void KvCache::visit_entries(SequenceId sequence, int64_t length, Visit visit) const {
  for (size_t k = 0; k < pages_.size(); ++k) {
    const RatioLayout& r = layout_.ratios[k];
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    const auto address = [&](int64_t entry) {
      return at(owned, entry / r.entries_per_page) * r.entries_per_page +
             static_cast<int32_t>(entry % r.entries_per_page);
    };
    for (const LayerCache& layer : layers_) {
      if (layer.ratio != r.ratio) continue;
      visit(layer.compressed, head_dim_, 0, length / r.ratio, address);
      if (layer.index_keys != nullptr) visit(layer.index_keys, index_head_dim_, 0, length / r.ratio, address);
    }
  }
}

template <class Address>
void KvCache::pack(float* packed, const float* tensor, int64_t cols, int64_t first, int64_t end,
                   Address address) {
  if (first == end) return;
  copy_src_.clear();
  for (int64_t i = first; i < end; ++i) copy_src_.push_back(address(i));
  copy_dst_.resize(copy_src_.size());
  std::iota(copy_dst_.begin(), copy_dst_.end(), 0);
  const int32_t* indices = upload_indices(copy_src_, copy_dst_);
  backend_.copy_rows(packed, tensor, cols * static_cast<int64_t>(sizeof(float)), indices,
                     indices + (end - first), end - first);
}

template <class Address>
void KvCache::unpack(float* tensor, const float* packed, int64_t cols, int64_t first, int64_t end,
                     Address address) {
  if (first == end) return;
  copy_dst_.clear();
  for (int64_t i = first; i < end; ++i) copy_dst_.push_back(address(i));
  copy_src_.resize(copy_dst_.size());
  std::iota(copy_src_.begin(), copy_src_.end(), 0);
  const int32_t* indices = upload_indices(copy_src_, copy_dst_);
  backend_.copy_rows(tensor, packed, cols * static_cast<int64_t>(sizeof(float)), indices,
                     indices + (end - first), end - first);
}

std::shared_ptr<KvSnapshot> KvCache::snapshot(SequenceId sequence, int64_t length) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  const int64_t current = at(lengths_, sequence);
  FT_CHECK(length >= 0 && length <= current && current - length < kRewindMax, length, current);
  if (!keeps_rows_before(sequence, length)) return nullptr;
  // The sequence will have to copy a partly filled page that becomes shared now: reserve for that first.
  const auto will_take = [&](size_t k) {
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    const bool shares = ends_inside_page(k, current) && used_pages(k, length) == owned.size() &&
                        at(pages_[k].references, owned.back()) == 1;
    return std::max(at(pages_[k].reserved, sequence), pages_to_take(k, sequence, current) + (shares ? 1 : 0));
  };
  for (size_t k = 0; k < pages_.size(); ++k)
    if (will_take(k) - at(pages_[k].reserved, sequence) > unreserved_pages(k)) return nullptr;
  for (size_t k = 0; k < pages_.size(); ++k) set_reserved(k, sequence, will_take(k));
  std::shared_ptr<KvSnapshot> snapshot(new KvSnapshot(*this));
  snapshot->length_ = length;
  snapshot->rewind_floor_ = std::max(length, at(rewind_floor_, sequence));
  for (size_t k = 0; k < pages_.size(); ++k) {
    const std::vector<int32_t>& owned = at(pages_[k].owned, sequence);
    const std::span shared = std::span(owned).first(used_pages(k, length));
    snapshot->pages_.emplace_back(shared.begin(), shared.end());
    for (int32_t page : shared) ++at(pages_[k].references, page);
  }
  int64_t floats = 0;
  visit_tail_rows(
      sequence, snapshot->length_,
      [&](const float*, int64_t cols, int64_t first, int64_t end, auto) { floats += (end - first) * cols; });
  if (floats == 0) return snapshot;
  snapshot->rows_ = backend_.allocate(static_cast<size_t>(floats) * sizeof(float));
  float* to = snapshot->rows_.f32();
  visit_tail_rows(sequence, snapshot->length_,
                  [&](const float* tensor, int64_t cols, int64_t first, int64_t end, auto address) {
                    pack(to, tensor, cols, first, end, address);
                    to += (end - first) * cols;
                  });
  return snapshot;
}

Result<SequenceId> KvCache::open(int64_t length_max, const KvSnapshot& snapshot) {
  FT_CHECK(&snapshot.cache_ == this && length_max >= snapshot.length_, length_max, snapshot.length_);
  const Result<SequenceId> claimed = claim_slot(length_max);
  if (!claimed) return claimed;
  const SequenceId slot = *claimed;
  for (size_t k = 0; k < pages_.size(); ++k)
    for (size_t i = 0; i < snapshot.pages_[k].size(); ++i) {
      const int32_t page = snapshot.pages_[k][i];
      ++at(pages_[k].references, page);
      set_page(k, slot, i, page);
    }
  at(lengths_, slot) = snapshot.length_;
  at(rewind_floor_, slot) = snapshot.rewind_floor_;
  // Of the shared pages only a partly filled one will ever be written, so the others need no reservation.
  if (const Result<void> reserved = extend(slot, length_max); !reserved) {
    close(slot);
    return tl::make_unexpected(reserved.error());
  }
  const float* from = snapshot.rows_.f32();
  visit_tail_rows(slot, snapshot.length_,
                  [&](float* tensor, int64_t cols, int64_t first, int64_t end, auto address) {
                    unpack(tensor, from, cols, first, end, address);
                    from += (end - first) * cols;
                  });
  return slot;
}

int64_t KvCache::image_bytes(SequenceId sequence) const {
  FT_CHECK(at(open_, sequence) != 0, sequence);
  int64_t floats = 0;
  const auto add = [&](const float*, int64_t cols, int64_t first, int64_t end, auto) {
    floats += (end - first) * cols;
  };
  visit_tail_rows(sequence, length(sequence), add);
  visit_entries(sequence, length(sequence), add);
  return floats * static_cast<int64_t>(sizeof(float));
}

// Calls move(tensor, cols, first, end, address) for everything that an image holds,
// in pieces of bounded size.
template <class Move>
void KvCache::each_image_piece(SequenceId sequence, Move move) const {
  const auto in_pieces = [&](float* tensor, int64_t cols, int64_t first, int64_t end, auto address) {
    for (; first < end; first += copy_rows_max())
      move(tensor, cols, first, std::min(end, first + copy_rows_max()), address);
  };
  visit_tail_rows(sequence, length(sequence), in_pieces);
  visit_entries(sequence, length(sequence), in_pieces);
}

Buffer KvCache::image_staging(SequenceId sequence) {
  int64_t floats = 0;
  each_image_piece(sequence, [&](const float*, int64_t cols, int64_t first, int64_t end, auto) {
    floats = std::max(floats, (end - first) * cols);
  });
  return backend_.allocate(static_cast<size_t>(floats) * sizeof(float));
}

std::unique_ptr<KvImage> KvCache::save(SequenceId sequence) {
  FT_CHECK(at(open_, sequence) != 0 && !in_transaction_, sequence);
  auto image = std::make_unique<KvImage>();
  image->length_ = length(sequence);
  image->rewind_floor_ = std::max(length(sequence), at(rewind_floor_, sequence));
  image->rows_.resize(static_cast<size_t>(image_bytes(sequence)) / sizeof(float));
  const Buffer staging = image_staging(sequence);
  float* to = image->rows_.data();
  each_image_piece(sequence,
                   [&](const float* tensor, int64_t cols, int64_t first, int64_t end, auto address) {
                     pack(staging.f32(), tensor, cols, first, end, address);
                     const int64_t floats = (end - first) * cols;
                     backend_.download(to, staging.data(), static_cast<size_t>(floats) * sizeof(float));
                     to += floats;
                   });
  return image;
}

Result<SequenceId> KvCache::open(int64_t length_max, const KvImage& image) {
  FT_CHECK(length_max >= image.length_, length_max, image.length_);
  const Result<SequenceId> opened = open(length_max);
  if (!opened) return opened;
  const SequenceId slot = *opened;
  for (size_t k = 0; k < pages_.size(); ++k)
    for (size_t i = 0; i < used_pages(k, image.length_); ++i) set_page(k, slot, i, take_page(k, slot));
  at(lengths_, slot) = image.length_;
  at(rewind_floor_, slot) = image.rewind_floor_;
  FT_CHECK(image_bytes(slot) == image.bytes(), image_bytes(slot), image.bytes());
  const Buffer staging = image_staging(slot);
  const float* from = image.rows_.data();
  each_image_piece(slot, [&](float* tensor, int64_t cols, int64_t first, int64_t end, auto address) {
    const int64_t floats = (end - first) * cols;
    backend_.upload(staging.data(), from, static_cast<size_t>(floats) * sizeof(float));
    unpack(tensor, staging.f32(), cols, first, end, address);
    from += floats;
  });
  return slot;
}

}  // namespace ft
