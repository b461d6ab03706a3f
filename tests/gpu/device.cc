// The executable of the `gpu` label: the op table, goldens and whole models on a CUDA device. Without one,
// every test is skipped with the reason.
#include <gtest/gtest.h>

#include "core/check.h"
#include "tests/support/backends.h"
#include "tests/support/loaded_model.h"

namespace ft {

namespace {

std::unique_ptr<Backend> cuda(Numerics numerics) {
  auto backend = make_cuda_backend(numerics);
  FT_CHECK(backend.has_value(), backend.error().message);
  return std::move(*backend);
}

class Device final : public testing::Environment {
 public:
  void SetUp() override {
    auto backend = make_cuda_backend(Numerics::kExact);
    if (!backend) GTEST_SKIP() << "SKIPPED: no CUDA device: " << backend.error().message;
    std::fprintf(stderr, "device: %s\n", (*backend)->description().c_str());
  }
};

const testing::Environment* const kDevice = testing::AddGlobalTestEnvironment(new Device);

}  // namespace

namespace test {

std::vector<BackendUnderTest> backends_under_test() {
  return {{"cuda", "cuda", cuda}};
}

}  // namespace test

namespace support {

std::vector<std::string> model_backends() {
  return {"cuda"};
}

std::unique_ptr<Backend> make_test_backend(const std::string& name, Numerics numerics) {
  if (name == "reference") return make_reference_backend(numerics);
  FT_CHECK(name == "cuda", name);
  return cuda(numerics);
}

OpenCheckpoint open_checkpoint(const std::string& path, const std::string& backend_name, Numerics numerics) {
  return open_on(make_test_backend(backend_name, numerics), path);
}

}  // namespace support
}  // namespace ft
