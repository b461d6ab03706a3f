#include "core/ranks/op_stream.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/ranks/comm.h"

namespace ft::ranks {

namespace {

constexpr int32_t kNone = -1;

[[noreturn]] void foreign(const char* what, int64_t number) {
  throw RankError(fmt::format("the stream of ops names {} {}, which this rank does not have", what, number));
}

template <class T>
const T* known(const Numbered<T>& things, int32_t number, const char* what) {
  const T* thing = things.thing(number);
  if (thing == nullptr) foreign(what, number);
  return thing;
}

}  // namespace

void AddressBook::add(BufferId id, const void* data, size_t bytes) {
  entries_[static_cast<const uint8_t*>(data)] = {id, bytes};
}

void AddressBook::remove(const void* data) {
  entries_.erase(static_cast<const uint8_t*>(data));
}

AddressBook::Place AddressBook::find(const void* address) const {
  if (address == nullptr) return {};
  const auto* at = static_cast<const uint8_t*>(address);
  auto found = entries_.upper_bound(at);
  FT_CHECK(found != entries_.begin(), address);
  --found;
  const auto offset = static_cast<size_t>(at - found->first);
  // The end of a buffer is the place of a list without elements.
  FT_CHECK(offset <= found->second.bytes, address, found->second.bytes);
  return {found->second.buffer, offset};
}

void Writer::raw(const void* data, size_t size) {
  const auto* from = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + size);
}

void Writer::put(const void* address) {
  const AddressBook::Place place = book_.find(address);
  (*this)(place.buffer, place.offset);
}

void Writer::put(const CacheRows& rows) {
  (*this)(static_cast<const void*>(rows.data), rows.format);
}

void Writer::put(const KeyRows& rows) {
  (*this)(rows.data, rows.format);
}

void Writer::put(const Matrix& matrix) {
  (*this)(static_cast<const void*>(matrix.data), matrix.rows, matrix.cols, matrix.stride);
}

void Writer::put(const Vector& vector) {
  const int32_t number = vector ? catalog_->vector_at(vector.data) : kNone;
  FT_CHECK(!vector || number != kNone, vector.size);
  (*this)(number);
}

void Writer::put(const Rotations& rotations) {
  (*this)(static_cast<const void*>(rotations.data), rotations.rope_dim);
}

void Writer::put(const CompressedView& view) {
  (*this)(static_cast<const void*>(view.page_table), view.page_stride, view.entries_per_page,
          static_cast<const void*>(view.sequence), static_cast<const void*>(view.committed),
          static_cast<const void*>(view.private_offset), static_cast<const void*>(view.private_entry),
          view.visible_max);
}

void Writer::put(const WeightArgument& argument) {
  const Weight& weight = argument.get();
  const int32_t number = catalog_->weights.number(&weight);
  if (number != kNone) return (*this)(number, false);
  const int32_t around = catalog_->weight_around(weight.data);
  FT_CHECK(around != kNone && weight.scale == nullptr, weight.rows, weight.cols);
  const Weight& whole = *catalog_->weights.thing(around);
  const auto offset = static_cast<const uint8_t*>(weight.data) - static_cast<const uint8_t*>(whole.data);
  (*this)(around, true, static_cast<int64_t>(offset), weight.rows, weight.cols);
}

void Writer::put(const HyperConnectionWeights* hc) {
  const int32_t number = catalog_->hyper_connections.number(hc);
  FT_CHECK(number != kNone);
  (*this)(number);
}

void Writer::put(const HeadCollapseWeights* head) {
  const int32_t number = catalog_->head_collapses.number(head);
  FT_CHECK(number != kNone);
  (*this)(number);
}

void Writer::put(const MoeWeights* moe) {
  const int32_t number = catalog_->moes.number(moe);
  FT_CHECK(number != kNone);
  (*this)(number);
}

void Writer::put(const LinearCall& call) {
  (*this)(call.x, WeightArgument(*call.weight), call.y, call.input, call.output, call.groups);
}

void Writer::put(const std::vector<LinearCall>& calls) {
  (*this)(static_cast<uint32_t>(calls.size()));
  for (const LinearCall& call : calls) put(call);
}

std::span<const uint8_t> Reader::raw(size_t size) {
  if (size > bytes_.size() - at_)
    throw RankError(fmt::format("the stream of ops ends at byte {} where {} more were expected", at_, size));
  const auto taken = bytes_.subspan(at_, size);
  at_ += size;
  return taken;
}

void* Reader::address(BufferId buffer, uint64_t offset) const {
  if (buffer == 0) return nullptr;
  const auto found = buffers_.find(buffer);
  if (found == buffers_.end() || offset > found->second.bytes()) foreign("buffer", buffer);
  return static_cast<uint8_t*>(found->second.data()) + offset;
}

void* Reader::pointer() {
  AddressBook::Place place;
  (*this)(place.buffer, place.offset);
  return address(place.buffer, place.offset);
}

const WeightCatalog& Reader::catalog() const {
  if (catalog_ == nullptr) throw RankError("the stream of ops names a weight before a checkpoint was loaded");
  return *catalog_;
}

void Reader::get(bool& value) {
  uint8_t byte = 0;
  get(byte);
  value = byte != 0;
}

void Reader::get(CacheRows& rows) {
  (*this)(rows.data, rows.format);
}

void Reader::get(KeyRows& rows) {
  (*this)(rows.data, rows.format);
}

void Reader::get(Matrix& matrix) {
  (*this)(matrix.data, matrix.rows, matrix.cols, matrix.stride);
}

void Reader::get(Vector& vector) {
  int32_t number = kNone;
  get(number);
  vector = number == kNone ? Vector{} : *known(catalog().vectors, number, "vector");
}

void Reader::get(Rotations& rotations) {
  (*this)(rotations.data, rotations.rope_dim);
}

void Reader::get(CompressedView& view) {
  (*this)(view.page_table, view.page_stride, view.entries_per_page, view.sequence, view.committed,
          view.private_offset, view.private_entry, view.visible_max);
}

void Reader::get(WeightArgument& weight) {
  int32_t number = kNone;
  bool is_part = false;
  (*this)(number, is_part);
  const Weight* whole = known(catalog().weights, number, "weight");
  weight.whole = is_part ? nullptr : whole;
  if (!is_part) return;
  int64_t offset = 0;
  weight.part = *whole;
  weight.part.scale = nullptr;
  (*this)(offset, weight.part.rows, weight.part.cols);
  if (offset < 0 || offset + weight.part.data_bytes() > whole->data_bytes())
    foreign("a part of weight", number);
  weight.part.data = static_cast<const uint8_t*>(whole->data) + offset;
}

void Reader::get(const HyperConnectionWeights*& hc) {
  int32_t number = kNone;
  get(number);
  hc = known(catalog().hyper_connections, number, "hyper-connection");
}

void Reader::get(const HeadCollapseWeights*& head) {
  int32_t number = kNone;
  get(number);
  head = known(catalog().head_collapses, number, "head collapse");
}

void Reader::get(const MoeWeights*& moe) {
  int32_t number = kNone;
  get(number);
  moe = known(catalog().moes, number, "mixture of experts");
}

void Reader::get(LinearCall& call) {
  WeightArgument weight;
  (*this)(call.x, weight, call.y, call.input, call.output, call.groups);
  call.weight = weight.whole;
  if (call.weight == nullptr) call.weight = parts_.emplace_back(std::make_unique<Weight>(weight.part)).get();
}

void Reader::get(std::vector<LinearCall>& calls) {
  uint32_t count = 0;
  get(count);
  calls.clear();
  for (uint32_t i = 0; i < count; ++i) get(calls.emplace_back());
}

}  // namespace ft::ranks
