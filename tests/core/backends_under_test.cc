#include "core/check.h"
#include "core/cpu/target.h"
#include "tests/support/backends.h"

namespace ft::test {

namespace {

// The instruction set is that of the process, so a test uses what it makes before it makes the next.
BackendUnderTest on_cpu(const std::string& label, int threads, std::string_view target) {
  return {label, "cpu", [threads, target](Numerics numerics) {
            const auto chosen = cpu::use_target(target);
            FT_CHECK(chosen.has_value(), chosen.error().message);
            return make_cpu_backend(numerics, threads);
          }};
}

}  // namespace

// Every instruction set that this processor has belongs to the family "cpu": they agree in every bit.
std::vector<BackendUnderTest> backends_under_test() {
  std::vector<BackendUnderTest> all = {
      {"reference", "reference", [](Numerics numerics) { return make_reference_backend(numerics); }},
      on_cpu("cpu, 1 thread", 1, "auto"),
      on_cpu("cpu, 2 threads", 2, "auto"),
  };
  const auto restored = cpu::use_target("auto");
  FT_CHECK(restored.has_value(), restored.error().message);
  const std::vector<std::string_view> targets = cpu::available_targets();
  for (size_t i = 1; i < targets.size(); ++i)
    all.push_back(on_cpu(fmt::format("cpu, {}", targets[i]), 1, targets[i]));
  return all;
}

}  // namespace ft::test
