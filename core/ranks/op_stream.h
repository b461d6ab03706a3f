// The ops of a backend as bytes that mean the same on every rank. Addresses travel as a place in a numbered buffer,
// weights as their number in the catalog; both ends write and read the same list of fields (ops.h), so that they
// cannot come to differ.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "core/backend.h"
#include "core/ranks/weight_catalog.h"

namespace ft::ranks {

using BufferId = uint32_t;  // 0 is the null pointer

// What a stream holds: an op of AllOps (ops.h) by its place there, or one of these.
enum class Verb : uint8_t {
  kAllocate = 200,  // id, bytes
  kFree,            // id
  kUpload,          // id, offset, bytes, data
  kReserve,         // rows
  kAgree,           // compare digests here
  kIndependent,     // the ops from here
  kTogether,        // to here do not depend on each other
  kRecord,          // graph id, bytes: the ops of a step of fixed shape, run now and again
  kReplay,          // graph id
  kForget,          // graph id
  kPromptRows,      // how many ranges, first and count of each: what the ops from here know as long prompts
};

// The buffers of one rank, by address.
class AddressBook {
 public:
  struct Place {
    BufferId buffer = 0;
    uint64_t offset = 0;
  };
  void add(BufferId id, const void* data, size_t bytes);
  void remove(const void* data);
  // Ends the program where no buffer has the address: it is none of this backend.
  Place find(const void* address) const;

 private:
  struct Entry {
    BufferId buffer;
    size_t bytes;
  };
  std::map<const uint8_t*, Entry> entries_;
};

// A weight as ops take it: one of the tree, or a view of a part of one that lies in one piece.
struct WeightArgument {
  WeightArgument() = default;
  explicit WeightArgument(const Weight& weight) : whole(&weight) {}
  const Weight* whole = nullptr;  // null: `part`
  Weight part;
  const Weight& get() const { return whole != nullptr ? *whole : part; }
};

// Appends fields to a message.
class Writer {
 public:
  Writer(std::vector<uint8_t>& bytes, const AddressBook& book, const WeightCatalog* catalog)
      : bytes_(bytes), book_(book), catalog_(catalog) {}

  template <class... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }
  void raw(const void* data, size_t size);

 private:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) { raw(&value, sizeof(value)); }
  void put(bool value) { put(static_cast<uint8_t>(value)); }
  void put(const void* address);
  void put(const CacheRows& rows);
  void put(const KeyRows& rows);
  void put(const Matrix& matrix);
  void put(const Vector& vector);
  void put(const Rotations& rotations);
  void put(const CompressedView& view);
  void put(const WeightArgument& weight);
  void put(const HyperConnectionWeights* hc);
  void put(const HeadCollapseWeights* head);
  void put(const MoeWeights* moe);
  void put(const LinearCall& call);
  void put(const std::vector<LinearCall>& calls);

  std::vector<uint8_t>& bytes_;
  const AddressBook& book_;
  const WeightCatalog* catalog_;
};

// The buffers of one rank, by number.
using BufferTable = std::map<BufferId, Buffer>;

// Takes the same fields from a message, with the addresses of this rank. A message that ends inside a field, or names
// what this rank does not have, throws RankError: the ranks run different programs.
class Reader {
 public:
  Reader(std::span<const uint8_t> bytes, const BufferTable& buffers, const WeightCatalog* catalog)
      : bytes_(bytes), buffers_(buffers), catalog_(catalog) {}

  bool done() const { return at_ == bytes_.size(); }
  size_t at() const { return at_; }
  template <class... Fields>
  void operator()(Fields&... fields) {
    (get(fields), ...);
  }
  std::span<const uint8_t> raw(size_t size);
  // The address of `offset` in `buffer`.
  void* address(BufferId buffer, uint64_t offset) const;

 private:
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void get(T& value) { std::memcpy(&value, raw(sizeof(value)).data(), sizeof(value)); }
  void get(bool& value);
  template <class T>
  void get(T*& address) {
    address = static_cast<T*>(pointer());
  }
  void get(CacheRows& rows);
  void get(KeyRows& rows);
  void get(Matrix& matrix);
  void get(Vector& vector);
  void get(Rotations& rotations);
  void get(CompressedView& view);
  void get(WeightArgument& weight);
  void get(const HyperConnectionWeights*& hc);
  void get(const HeadCollapseWeights*& head);
  void get(const MoeWeights*& moe);
  void get(std::vector<LinearCall>& calls);
  void get(LinearCall& call);
  void* pointer();
  const WeightCatalog& catalog() const;

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  const BufferTable& buffers_;
  const WeightCatalog* catalog_;
  // Weights of LinearCalls that are views: a call points at its weight.
  std::vector<std::unique_ptr<Weight>> parts_;
};

}  // namespace ft::ranks
