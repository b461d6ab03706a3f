#include "core/backend_factory.h"

#include <utility>

namespace ft {

Result<BackendChoice> parse_backend_choice(std::string_view name) {
  if (name == "auto") return BackendChoice::kAuto;
  if (name == "cpu") return BackendChoice::kCpu;
  if (name == "cuda") return BackendChoice::kCuda;
  if (name == "reference") return BackendChoice::kReference;
  return fail(ErrorCode::kInvalidArgument, "backend '{}' is unknown: expected auto, cpu, cuda or reference",
              name);
}

Result<std::unique_ptr<Backend>> make_backend(BackendChoice choice, Numerics numerics, int threads,
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
  if (!backend) {
    backend = choice == BackendChoice::kReference ? make_reference_backend(numerics)
                                                  : make_cpu_backend(numerics, threads);
  }
  if (why != nullptr) *why = fmt::format("{} ({}){}", backend->name(), backend->description(), reason);
  return backend;
}

}  // namespace ft
