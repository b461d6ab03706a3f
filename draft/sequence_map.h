// The target's sequence ids and the ids a drafter's own cache has given them.
#pragma once

#include <vector>

#include "core/batch.h"
#include "core/check.h"

namespace ft::draft {

class SequenceMap {
 public:
  explicit SequenceMap(int32_t sequences) : own_(static_cast<size_t>(sequences), kClosed) {}

  void open(SequenceId target, SequenceId own) {
    if (static_cast<size_t>(target) >= own_.size()) own_.resize(static_cast<size_t>(target) + 1, kClosed);
    FT_CHECK(own_[static_cast<size_t>(target)] == kClosed, target);
    own_[static_cast<size_t>(target)] = own;
  }
  // The own id of an open sequence.
  SequenceId own(SequenceId target) const {
    FT_CHECK(target >= 0 && static_cast<size_t>(target) < own_.size(), target);
    const SequenceId found = own_[static_cast<size_t>(target)];
    FT_CHECK(found != kClosed, target);
    return found;
  }
  // Forgets the sequence; returns the own id it had.
  SequenceId close(SequenceId target) {
    const SequenceId found = own(target);
    own_[static_cast<size_t>(target)] = kClosed;
    return found;
  }

 private:
  static constexpr SequenceId kClosed = -1;
  std::vector<SequenceId> own_;  // by target id
};

}  // namespace ft::draft
