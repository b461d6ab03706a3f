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

Result<PrefillGemm> parse_prefill_gemm(std::string_view name) {
  if (name == "invariant") return PrefillGemm::kInvariant;
  if (name == "cublaslt") return PrefillGemm::kCublasLt;
  return fail(ErrorCode::kInvalidArgument, "prefill-gemm '{}' is unknown: expected invariant or cublaslt",
              name);
}

namespace {

// Adds to an offer what ranks must have in common so that cuBLASLt gives the same bits on all of them.
Result<void> offer_cublaslt(Numerics numerics, ranks::BackendOffer& offer) {
  if (numerics == Numerics::kExact)
    return fail(ErrorCode::kInvalidArgument,
                "--prefill-gemm cublaslt needs --mode official: with exact numerics sums have one order");
  if (offer.kind != "cuda")
    return fail(ErrorCode::kInvalidArgument, "--prefill-gemm cublaslt needs the CUDA backend: this is {}{}{}",
                offer.kind, offer.because.empty() ? "" : ", ", offer.because);
  const Result<std::string> usable = cublaslt_usable();
  if (!usable)
    return fail(ErrorCode::kUnavailable, "--prefill-gemm cublaslt: there is no cuBLASLt: {}",
                usable.error().message);
  offer.kind = fmt::format("cuda, long prompts by {}", *usable);
  return {};
}

}  // namespace

Result<ranks::BackendOffer> offer_backend(const BackendOptions& options, std::string* why, RankGroup ranks) {
  const auto& [choice, numerics, prefill, cpu] = options;
  ranks::BackendOffer offer;
  std::function<Result<std::unique_ptr<Backend>>()> make;
  if (choice == BackendChoice::kAuto || choice == BackendChoice::kCuda) {
    const Result<void> usable = cuda_usable(ranks);
    if (!usable && choice == BackendChoice::kCuda) return tl::make_unexpected(usable.error());
    if (usable) {
      offer.kind = "cuda";
      if (choice == BackendChoice::kAuto) offer.because = "found on this machine";
      make = [=, numerics = numerics, prefill = prefill] {
        return make_cuda_backend(numerics, ranks, prefill);
      };
    } else {
      offer.because = fmt::format("because cuda is unavailable: {}", usable.error().message);
    }
  }
  if (choice == BackendChoice::kReference) {
    offer.kind = "reference";
    make = [=, numerics = numerics] { return make_reference_backend(numerics, ranks); };
  } else if (!make) {
    if (auto fine = cpu::use_target(cpu.target); !fine) return tl::make_unexpected(std::move(fine.error()));
    offer.kind = "cpu";
    make = [=, numerics = numerics, threads = cpu.threads] {
      return make_cpu_backend(numerics, threads, ranks);
    };
  }
  if (prefill == PrefillGemm::kCublasLt) {
    if (auto fine = offer_cublaslt(numerics, offer); !fine)
      return tl::make_unexpected(std::move(fine.error()));
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

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options, std::string* why) {
  const auto offer = offer_backend(options, why);
  if (!offer) return tl::make_unexpected(offer.error());
  return offer->make();
}

Result<ranks::BackendOffer> offer_rank_backend(const ranks::ModelRequest& request, const ranks::Ranks& ranks,
                                               std::string* why) {
  const Result<Numerics> numerics = parse_numerics(request.mode);
  if (!numerics) return tl::make_unexpected(numerics.error());
  const Result<BackendChoice> choice = parse_backend_choice(request.backend);
  if (!choice) return tl::make_unexpected(choice.error());
  const Result<PrefillGemm> prefill = parse_prefill_gemm(request.prefill_gemm);
  if (!prefill) return tl::make_unexpected(prefill.error());
  CpuOptions cpu{request.threads, request.cpu_target};
  if (cpu.threads == 0 && ranks.sharing_cores() > 1)
    cpu.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks.sharing_cores());
  return offer_backend({*choice, *numerics, *prefill, std::move(cpu)}, why, ranks.group());
}

}  // namespace ft
