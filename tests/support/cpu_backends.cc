#include "core/check.h"
#include "tests/support/loaded_model.h"

namespace ft::support {

// "cpu" has two threads, "cpu1" one.
std::vector<std::string> model_backends() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // The sanitizers are after host logic, which is the same code;
  // whole models on scalar loops would take them an hour.
  return {"cpu", "cpu1"};
#else
  return {"reference", "cpu", "cpu1"};
#endif
}

std::unique_ptr<Backend> make_test_backend(const std::string& name, Numerics numerics) {
  if (name == "reference") return make_reference_backend(numerics);
  FT_CHECK(name == "cpu" || name == "cpu1", name);
  return make_cpu_backend(numerics, name == "cpu" ? 2 : 1);
}

OpenCheckpoint open_checkpoint(const std::string& path, const std::string& backend_name, Numerics numerics) {
  return open_on(make_test_backend(backend_name, numerics), path);
}

}  // namespace ft::support
