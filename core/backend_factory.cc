#include "core/backend_factory.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "core/cpu/target.h"
#include "core/ranks/shared_model.h"

namespace ft {

Result<Numerics> parse_numerics(const std::string& mode) {
  if (mode == "exact") return Numerics::kExact;
  if (mode == "official") return Numerics::kOfficial;
  return fail(ErrorCode::kInvalidArgument, "mode is \"{}\", expected exact or official", mode);
}

Result<BackendChoice> parse_backend_choice(std::string_view name) {
  if (name == "auto") return BackendChoice::kAuto;
  if (name == "cpu") return BackendChoice::kCpu;
  if (name == "cuda") return BackendChoice::kCuda;
  if (name == "reference") return BackendChoice::kReference;
  return fail(ErrorCode::kInvalidArgument, "backend '{}' is unknown: expected auto, cpu, cuda or reference",
              name);
}

Result<std::unique_ptr<Backend>> make_backend(BackendChoice choice, Numerics numerics, const CpuOptions& cpu,
                                              std::string* why, RankGroup ranks) {
  std::string reason;
  std::unique_ptr<Backend> backend;
  if (choice == BackendChoice::kAuto || choice == BackendChoice::kCuda) {
    auto cuda = make_cuda_backend(numerics, ranks);
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
    backend = make_reference_backend(numerics, ranks);
  } else if (!backend) {
    if (auto fine = cpu::use_target(cpu.target); !fine) return tl::make_unexpected(std::move(fine.error()));
    backend = make_cpu_backend(numerics, cpu.threads, ranks);
  }
  if (why != nullptr) *why = fmt::format("{} ({}){}", backend->name(), backend->description(), reason);
  return backend;
}

Result<std::unique_ptr<Backend>> make_rank_backend(const ranks::ModelRequest& request,
                                                   const ranks::Ranks& ranks, std::string* why) {
  const Result<Numerics> numerics = parse_numerics(request.mode);
  if (!numerics) return tl::make_unexpected(numerics.error());
  const Result<BackendChoice> choice = parse_backend_choice(request.backend);
  if (!choice) return tl::make_unexpected(choice.error());
  CpuOptions cpu{request.threads, request.cpu_target};
  if (cpu.threads == 0 && ranks.sharing_cores() > 1)
    cpu.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks.sharing_cores());
  return make_backend(*choice, *numerics, cpu, why, ranks.group());
}

}  // namespace ft
