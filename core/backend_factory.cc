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

Result<ranks::BackendOffer> offer_backend(BackendChoice choice, Numerics numerics, const CpuOptions& cpu,
                                          std::string* why, RankGroup ranks) {
  ranks::BackendOffer offer;
  std::function<Result<std::unique_ptr<Backend>>()> make;
  if (choice == BackendChoice::kAuto || choice == BackendChoice::kCuda) {
    const Result<void> usable = cuda_usable(ranks);
    if (!usable && choice == BackendChoice::kCuda) return tl::make_unexpected(usable.error());
    if (usable) {
      offer.kind = "cuda";
      if (choice == BackendChoice::kAuto) offer.because = "found on this machine";
      make = [numerics, ranks] { return make_cuda_backend(numerics, ranks); };
    } else {
      offer.because = fmt::format("because cuda is unavailable: {}", usable.error().message);
    }
  }
  if (choice == BackendChoice::kReference) {
    offer.kind = "reference";
    make = [numerics, ranks] { return make_reference_backend(numerics, ranks); };
  } else if (!make) {
    if (auto fine = cpu::use_target(cpu.target); !fine) return tl::make_unexpected(std::move(fine.error()));
    offer.kind = "cpu";
    make = [numerics, threads = cpu.threads, ranks] { return make_cpu_backend(numerics, threads, ranks); };
  }
  offer.make = [make = std::move(make), because = offer.because, why] {
    Result<std::unique_ptr<Backend>> made = make();
    if (made && why != nullptr)
      *why = fmt::format("{} ({}){}{}", (*made)->name(), (*made)->description(), because.empty() ? "" : ", ",
                         because);
    return made;
  };
  return offer;
}

Result<std::unique_ptr<Backend>> make_backend(BackendChoice choice, Numerics numerics, const CpuOptions& cpu,
                                              std::string* why) {
  const auto offer = offer_backend(choice, numerics, cpu, why);
  if (!offer) return tl::make_unexpected(offer.error());
  return offer->make();
}

Result<ranks::BackendOffer> offer_rank_backend(const ranks::ModelRequest& request, const ranks::Ranks& ranks,
                                               std::string* why) {
  const Result<Numerics> numerics = parse_numerics(request.mode);
  if (!numerics) return tl::make_unexpected(numerics.error());
  const Result<BackendChoice> choice = parse_backend_choice(request.backend);
  if (!choice) return tl::make_unexpected(choice.error());
  CpuOptions cpu{request.threads, request.cpu_target};
  if (cpu.threads == 0 && ranks.sharing_cores() > 1)
    cpu.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks.sharing_cores());
  return offer_backend(*choice, *numerics, cpu, why, ranks.group());
}

}  // namespace ft
