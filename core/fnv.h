// FNV-1a, a hash of 64 bits for names and buckets.
// Two values may share a hash: compare the values where that would matter.
#pragma once

#include <cstdint>
#include <type_traits>

namespace ft {

inline constexpr uint64_t kFnvStart = 0xcbf29ce484222325u;

// Of a range of integers, each taken as one unit whatever its size.
template <class Units>
constexpr uint64_t fnv1a(const Units& units, uint64_t hash = kFnvStart) {
  for (const auto unit : units)
    hash =
        (hash ^ static_cast<std::make_unsigned_t<std::remove_cv_t<decltype(unit)>>>(unit)) * 0x100000001b3u;
  return hash;
}

}  // namespace ft
