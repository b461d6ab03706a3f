#include "tests/support/backends.h"

namespace ft::test {

std::vector<BackendUnderTest> backends_under_test() {
  return {
      {"reference", "reference", [](Numerics numerics) { return make_reference_backend(numerics); }},
      {"cpu, 1 thread", "cpu", [](Numerics numerics) { return make_cpu_backend(numerics, 1); }},
      {"cpu, 2 threads", "cpu", [](Numerics numerics) { return make_cpu_backend(numerics, 2); }},
  };
}

}  // namespace ft::test
