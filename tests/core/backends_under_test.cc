#include "tests/support/backends.h"

namespace ft::test {

std::vector<BackendUnderTest> backends_under_test() {
  return {
      {"reference", "reference", [](Numerics numerics) { return make_reference_backend(numerics); }},
  };
}

}  // namespace ft::test
