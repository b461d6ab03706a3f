#include "core/backend_factory.h"

#include <utility>

#include "core/cpu/target.h"

namespace ft {

Result<BackendChoice> parse_backend_choice(std::string_view name) {
  if (name == "auto") return BackendChoice::kAuto;
  if (name == "cpu") return BackendChoice::kCpu;
  if (name == "cuda") return BackendChoice::kCuda;
  if (name == "reference") return BackendChoice::kReference;
  return fail(ErrorCode::kInvalidArgument, "backend '{}' is unknown: expected auto, cpu, cuda or reference",
              name);
}

Result<std::unique_ptr<Backend>> make_backend(BackendChoice choice, Numerics numerics, const CpuOptions& cpu,
                                              std::string* why) {
  std::string reason;
  std::unique_ptr<Backend> backend;
  if (choice == BackendChoice::kAuto || choice == BackendChoice::kCuda) {
    auto cuda = make_cuda_backend(numerics);
    if (cuda) {
      backend = std::move(*cuda);
      reason = choice == BackendChoice::kAuto ? ", found on this machine" : "";
    } else if (choice == BackendChoice::kCuda) {
      return tl::make_unexpected(std::move(cuda.error()));
    } else {
      reason = fmt::format(", because cuda is unavailable: {}", cuda.error().message);
    }
  }
  if (!backend && choice == BackendChoice::kReference) {
    backend = make_reference_backend(numerics);
  } else if (!backend) {
    if (auto fine = cpu::use_target(cpu.target); !fine) return tl::make_unexpected(std::move(fine.error()));
    backend = make_cpu_backend(numerics, cpu.threads);
  }
  if (why != nullptr) *why = fmt::format("{} ({}){}", backend->name(), backend->description(), reason);
  return backend;
}

}  // namespace ft
