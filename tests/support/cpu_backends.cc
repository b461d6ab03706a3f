#include "core/check.h"
#include "tests/support/loaded_model.h"

namespace ft::support {

// "cpu" has two threads, "cpu1" one.
std::vector<std::string> model_backends() {
  return {"reference", "cpu", "cpu1"};
}

std::unique_ptr<Backend> make_test_backend(const std::string& name, Numerics numerics) {
  if (name == "reference") return make_reference_backend(numerics);
  FT_CHECK(name == "cpu" || name == "cpu1", name);
  return make_cpu_backend(numerics, name == "cpu" ? 2 : 1);
}

}  // namespace ft::support
