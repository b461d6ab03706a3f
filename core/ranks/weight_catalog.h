// Names for the weights of a loaded checkpoint that mean the same on every rank: places in the order of the tree.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "core/weights.h"

namespace ft::ranks {

// Things of one type by number, and back by address.
template <class T>
class Numbered {
 public:
  void add(const T& thing) {
    numbers_.emplace(&thing, static_cast<int32_t>(things_.size()));
    things_.push_back(&thing);
  }
  // -1 where it is not one of these.
  int32_t number(const T* thing) const {
    const auto found = numbers_.find(thing);
    return found == numbers_.end() ? -1 : found->second;
  }
  // Null where there is none of that number.
  const T* thing(int32_t number) const {
    return number >= 0 && number < static_cast<int32_t>(things_.size()) ? things_[static_cast<size_t>(number)]
                                                                        : nullptr;
  }
  const std::vector<const T*>& things() const { return things_; }

 private:
  std::vector<const T*> things_;
  std::unordered_map<const T*, int32_t> numbers_;
};

// What the ops of a backend name of a tree. The checkpoint outlives it.
class WeightCatalog {
 public:
  explicit WeightCatalog(const Checkpoint& checkpoint);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  Numbered<Weight> weights;
  Numbered<Vector> vectors;
  Numbered<HyperConnectionWeights> hyper_connections;
  Numbered<HeadCollapseWeights> head_collapses;
  Numbered<MoeWeights> moes;

  // The vector with that data, since vectors are passed by value; -1 where none has it.
  int32_t vector_at(const float* data) const;
  // The weight whose data `address` lies in, for views of a part of one; -1 where none has it.
  int32_t weight_around(const void* address) const;

 private:
  class Walk;
  const Checkpoint& checkpoint_;
  std::unordered_map<const float*, int32_t> vectors_by_data_;
  std::map<const uint8_t*, int32_t> weights_by_data_;
};

}  // namespace ft::ranks
