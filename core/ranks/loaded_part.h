// What one rank has loaded of a shared model.
#pragma once

#include <cstdint>
#include <string>

namespace ft::ranks {

struct LoadedPart {
  std::string rank;     // for people: "rank 1 (pid 4242 on node7)"
  int64_t bytes = 0;    // of weights that it has read
  int64_t program = 0;  // of memory that its process took before
};

}  // namespace ft::ranks
