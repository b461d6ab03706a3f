// The backends that the op tests of an executable run on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"

namespace ft::test {

struct BackendUnderTest {
  std::string label;   // unique, e.g. "cpu, 2 threads"
  std::string family;  // members of a family must agree bitwise, e.g. "cpu"
  std::function<std::unique_ptr<Backend>(Numerics)> make;
};

// Defined once in each executable that compiles tests/core/ops_*_test.cc, so that the same tests can run
// where a device is. The reference backend is one of them.
std::vector<BackendUnderTest> backends_under_test();

inline constexpr Numerics kBothNumerics[] = {Numerics::kExact, Numerics::kOfficial};

inline const char* numerics_name(Numerics numerics) {
  return numerics == Numerics::kExact ? "exact" : "official";
}

}  // namespace ft::test
