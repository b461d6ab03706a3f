// Clusters of the emulator.
#pragma once

#include "tests/gpu/emulator/emulator.h"

namespace cooperative_groups {

struct cluster_group {
  unsigned block_rank() const { return ft::emulator::block_rank(); }
  void sync() const { ft::emulator::sync_cluster(); }
  template <class T>
  T* map_shared_rank(T* address, int rank) const {
    return static_cast<T*>(ft::emulator::shared_of(static_cast<unsigned>(rank), address));
  }
};

inline cluster_group this_cluster() {
  return {};
}

}  // namespace cooperative_groups
