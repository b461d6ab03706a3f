// Elements of vectors by the signed indices that this code counts with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ft {

template <class T>
T& at(std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}
template <class T>
const T& at(const std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}

}  // namespace ft
